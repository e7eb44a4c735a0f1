"""The trained network that corrects a pilot: its weights, and what it computes, without PyTorch.

It is trained by :mod:`nlmeans.learned.training`, whose network computes the same.
"""
