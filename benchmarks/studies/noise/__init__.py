"""Kinds of noise: are they told, and what does a model of the noise win?"""
