"""The compiled window kernel (kernels/cpu/module.c)."""

from typing import Any

def isas() -> list[str]:
    """The instruction sets that this build has and this processor runs, best first."""

def band(
    rows: tuple[int, int],
    isa: str,
    stop: bytearray,
    query: Any,
    key: Any,
    value: Any,
    vote: Any,
    radius: tuple[int, int],
    taps: tuple[Any, Any],
    bias: Any,
    scale: Any,
    own: bool,
    normaliser: Any,
    centre: Any,
    weight_sum: Any,
    numerator: Any,
    denominator: Any,
    peak: Any,
    spill: Any,
    scratch: bytearray,
    /,
) -> None:
    """The sums of the contract for the query pixels of some rows, into the four arrays from numerator on.

    `scratch` is a bytearray to work in, made larger when it is too small.
    """
