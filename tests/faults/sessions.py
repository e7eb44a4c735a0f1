"""Fixtures that several test modules share; import them by name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .zygote import Zygote


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    """A process that runs the command line in quick forks of itself."""
    started = Zygote()
    yield started
    started.close()
