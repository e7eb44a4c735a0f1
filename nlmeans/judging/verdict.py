"""What was removed, in words: noise, structure, or too little."""

from __future__ import annotations

from nlmeans.judging.removed import Removed
from nlmeans.parameters import BY_GROUPS, Parameters

# Part of the expected squared error that is bias, and correlation of neighbours in what was removed: at the
# best strength in between.  The thresholds were chosen one by one on 24 pictures of train400, sigma 5 to 50.
# Together, on 8 pictures, sigma 10 and 25, strengths 0.4 to 2.5 of the table's: 81 % of NL-means and 83 % of
# NL-Ridge told rightly, which is within 0.15 dB of the best.  "verdicts" in benchmarks/studies/judging.
_LITTLE_BIAS, _MUCH_BIAS = 0.07, 0.45
_ALIKE = 0.015
_SHARED = 0.2  # correlation of neighbours that hardly any structure leaves: noise that they share
_FOLLOWS = 0.1  # correlation with steepness that tells structure from noise
_HARDLY = 0.5  # of the variance of the noise: where so much error is expected it is not noise that is gone
_LEAST = 0.02  # of sigma: less was removed by rounding alone
_FEWEST = 1024  # numbers: fewer tell nothing


def verdict_of(
    removed: Removed,
    averaged: float | None,
    mse: tuple[float, float] | None,
    sigma: float,
    parameters: Parameters,
) -> tuple[str, str]:
    """One word, and a sentence with what to do; `mse` is the expected squared error and its own error."""
    name = "strength" if parameters.method in BY_GROUPS else "k"
    if removed.tolerance > _FEWEST**-0.5:
        return "unknown", "there are too few pixels to tell what was removed"
    if not sigma or mse is None or averaged is None:
        return "unknown", "there is no noise to compare with what was removed"
    if removed.strength < _LEAST:
        return "nothing", "nothing was removed"
    least, most = (1 - sigma**2 / averaged / max(mse[0] + e, 1e-9 * sigma**2) for e in (-mse[1], mse[1]))
    alike = removed.autocorrelation > _ALIKE + 3 * removed.tolerance
    better = mse[0] - mse[1] < _HARDLY * sigma**2
    if removed.autocorrelation > _SHARED and removed.structure < _FOLLOWS and better:
        return "noise", (
            "what was removed is alike in neighbouring pixels, also where the result is flat: noise that "
            "they share; the expected error does not hold for it"
        )
    if alike or least > _MUCH_BIAS:
        return "structure", f"structure was removed: lower {name}"
    if most < _LITTLE_BIAS and removed.autocorrelation < _ALIKE:
        return "noise is left", f"noise is left: raise {name}"
    return "noise", "what was removed looks like the noise"
