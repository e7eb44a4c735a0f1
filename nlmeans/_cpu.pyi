"""The compiled window kernel (kernels/cpu/module.c).

Arguments are read by the names of their attributes, which are those of the structs in kernels/cpu/contract.h;
arrays are float32 and C-contiguous.
"""

from typing import Any

from nlmeans.backends.contract import PlanePair, Slab, Sums

def isas() -> list[str]:
    """The instruction sets that this build has and this processor runs, best first."""

def accumulate(isa: str, pair: PlanePair, sums: Sums, band: Any, /) -> None:
    """The contract's accumulate for the query pixels of a band, into its rows of sums.

    `band` has rows, spill, stop and scratch, a bytearray that is made larger when it is too small.
    """

def aggregate(isa: str, pair: PlanePair, normalised: Any, sums: Sums, band: Any, /) -> None:
    """The contract's aggregate for the query pixels of a band, into its rows of sums.

    `normalised` has normaliser, weight_sum and, within one plane, center.
    """

def nearest(isa: str, search: Any, band: Any, /) -> None:
    """The nearest patches of the references at hand, into their rows of partners.

    `search` and `band` have what struct search of kernels/cpu/groups_contract.h names, `band` the rows
    `at_hand`, `stop` and `scratch`.
    """

def combine(isa: str, group: Any, band: Any, /) -> None:
    """The combined patches of the references at hand, added to the sums of the band.

    `band` has besides the rows `sums` that it holds, `numerator` and `votes`.
    """

def accumulate_slab(isa: str, slab: Slab, sums: Sums, band: Any, /) -> None:
    """The contract's accumulate_slab for the pixels of a band, into its rows of sums."""

def aggregate_slab(isa: str, slab: Slab, normalised: Any, sums: Sums, band: Any, /) -> None:
    """The contract's aggregate_slab for the pixels of a band, into its rows of sums."""
