"""Special functions that NumPy does not have, for scalars and small arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_FROM = 8  # the asymptotic series below are exact to 1e-10 from here on


def digamma(x: float) -> float:
    """Derivative of ln Gamma, x > 0.

    ``psi(x) = psi(x + 1) - 1 / x`` leads up to `_FROM`; there ``ln x - 1 / 2x`` and the Bernoulli terms
    ``B_2n / (2n x^2n)`` of the asymptotic series (Abramowitz and Stegun 6.3.5, 6.3.18).
    """
    result = 0.0
    while x < _FROM:
        result -= 1 / x
        x += 1
    y = 1 / x**2
    return result + math.log(x) - 1 / (2 * x) - y * (1 / 12 - y * (1 / 120 - y * (1 / 252 - y / 240)))


def trigamma(x: float) -> float:
    """Its derivative: ``psi'(x) = psi'(x + 1) + 1 / x^2``, and the series differentiated (6.4.12)."""
    result = 0.0
    while x < _FROM:
        result += 1 / x**2
        x += 1
    y = 1 / x**2
    return result + 1 / x + y / 2 + y / x * (1 / 6 - y * (1 / 30 - y * (1 / 42 - y / 30)))


def inverse_trigamma(value: float) -> float:
    """x > 0 with ``trigamma(x) = value > 0``: bisection, for the function falls from infinity to 0."""
    low, high = 1e-6, 1e9
    for _ in range(100):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if trigamma(middle) > value else (low, middle)
    return math.sqrt(low * high)


def bessel_i(order: int, x: Any) -> Any:
    """Modified Bessel function of order 0 or 1, times exp(-x), x >= 0.

    ``I_n(x) = 1 / pi int_0^pi exp(x cos t) cos(n t) dt`` (9.6.19) by the trapezoidal rule, which for periodic
    functions converges exponentially: 200 nodes are exact to 1e-12 up to x = 1000.
    """
    t = (np.arange(200) + 0.5) * np.pi / 200
    return (np.exp(np.multiply.outer(x, np.cos(t) - 1)) * np.cos(order * t)).mean(axis=-1)
