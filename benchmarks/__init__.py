"""Measures this package and other programs in one run, and writes the tables."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  #: the checkout
RESULTS = Path(__file__).resolve().parent / "results"
