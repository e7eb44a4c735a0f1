"""Kinds of input: pictures like those that people have, with known noise, and what one call makes of it."""
