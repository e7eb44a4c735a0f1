"""Tests that need a browser."""

from __future__ import annotations

import pytest
from nlmeans.benchmarks.browser import BROWSER, Browser, browsing

__all__ = ["Browser", "browsing", "needs_browser"]
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium on the PATH")
