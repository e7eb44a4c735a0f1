"""What was removed, in words: noise, structure, or too little."""

from __future__ import annotations

from collections.abc import Callable

from nlmeans.judging.removed import Removed
from nlmeans.parameters import BY_GROUPS, Parameters

# Part of the expected squared error that is bias, and correlation of neighbours in what was removed: at the
# best strength in between.  The thresholds were chosen one by one on 24 pictures of train400, sigma 5 to 50.
# Together, on 8 pictures, sigma 10 and 25, strengths 0.4 to 2.5 of the table's: 81 % of NL-means, 92 % of
# NL-Ridge and 96 % of the learned method told rightly, which is within 0.15 dB of the best.  "verdicts" in
# benchmarks/studies/judging.
_LITTLE_BIAS, _MUCH_BIAS = 0.07, 0.45
_ALIKE = 0.015
_SHARED = 0.2  # correlation of neighbours that hardly any structure leaves: noise that they share
_FOLLOWS = 0.1  # correlation with steepness that tells structure from noise
# Of what methods by groups remove neither tells noise that neighbours share: there the estimate of the noise
# does, where it finds it, and what is weaker than this part of sigma is too little.  Chosen on 7 pictures of
# train400 that are not of the study, blurred by 0.7 and 1.2 pixels.  In the study, blurred by 0.9, 62 % of
# NL-Ridge and 63 % of the learned method are told rightly, 45 and 39 % without it; "structure" is said where
# there is none in 11 and 3 %, 35 and 54 % without it.
_PART = 0.45
_HARDLY = 0.5  # of the variance of the noise: where so much error is expected it is not noise that is gone
_LEAST = 0.02  # of sigma: less was removed by rounding alone
_FEWEST = 1024  # numbers: fewer tell nothing


def verdict_of(
    removed: Removed,
    averaged: float | None,
    mse: tuple[float, float] | None,
    sigma: float,
    parameters: Parameters,
    shared: Callable[[], bool],
) -> tuple[str, str]:
    """One word, and a sentence with what to do; `mse` is the expected squared error and its own error.

    `shared` tells whether the noise is found to be shared by neighbours, which takes time.
    """
    by_groups = parameters.method in BY_GROUPS
    name = "strength" if by_groups else "k"
    if removed.tolerance > _FEWEST**-0.5:
        return "unknown", "there are too few pixels to tell what was removed"
    if not sigma or mse is None or averaged is None:
        return "unknown", "there is no noise to compare with what was removed"
    if removed.strength < _LEAST:
        return "nothing", "nothing was removed"
    least, most = (1 - sigma**2 / averaged / max(mse[0] + e, 1e-9 * sigma**2) for e in (-mse[1], mse[1]))
    alike = removed.autocorrelation > _ALIKE + 3 * removed.tolerance
    better = mse[0] - mse[1] < _HARDLY * sigma**2
    even = removed.autocorrelation > _SHARED and removed.structure < _FOLLOWS
    if by_groups and alike and better and shared():
        if removed.strength < _PART:
            return "noise is left", f"noise that neighbouring pixels share is left: raise {name}"
        even = True
    if even and better:
        return "noise", (
            "what was removed is alike in neighbouring pixels, as is the noise, which they share; the "
            "expected error does not hold for it"
        )
    if alike or least > _MUCH_BIAS:
        return "structure", f"structure was removed: lower {name}"
    if most < _LITTLE_BIAS and removed.autocorrelation < _ALIKE:
        return "noise is left", f"noise is left: raise {name}"
    return "noise", "what was removed looks like the noise"
