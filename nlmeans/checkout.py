"""What a checkout of the sources lacks, and which installed package it hides.

Python started in a checkout finds the folder ``nlmeans`` there before the installed package.  That folder
has no compiled part, and ``cli``, ``kernels`` and ``benchmarks`` lie beside it; only ``pip install -e .``
makes it whole.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_BESIDE = ("nlmeans.cli", "nlmeans.kernels", "nlmeans.benchmarks")
_REMEDY = "start it elsewhere, or install with: pip install -e ."


def hiding(part: str) -> str | None:
    """What to say if an installed package that has a part, such as ``"cli"``, is hidden by these sources.

    Parameters
    ----------
    part : str
        A pattern of the part's name within the installed package.

    Returns
    -------
    str or None
        What is the matter and, after a semicolon, what to do about it; None if nothing is hidden.
    """
    for folder in map(Path, sys.path):
        found = folder / "nlmeans"
        if any(found.glob(part)) and found.resolve() != _PACKAGE:
            return (
                f"Python started in {_PACKAGE.parent} imports the sources there, "
                f"not the package installed in {folder}; {_REMEDY}"
            )
    return None


class MissingParts:
    """The last finder of `sys.meta_path`: says why a part of the package was not found."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: object = None) -> None:
        """Refuse the parts that lie beside a checkout's package; nobody has found them."""
        if name in _BESIDE:
            reason = hiding(name.rpartition(".")[2])
            raise ModuleNotFoundError(
                reason or f"{name} is not a part of a checkout; install it with: pip install -e .", name=name
            )
