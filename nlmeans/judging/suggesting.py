"""`nlmeans.suggest`: the settings for an image, from the tables or by the error that is expected of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Unpack

from nlmeans.arrays import Array, is_chunked, library, on_device_of
from nlmeans.carriers import carried
from nlmeans.choosing import choose
from nlmeans.choosing.batches import suggested
from nlmeans.choosing.modelled import with_model
from nlmeans.errors import InvalidValueError, Parameter
from nlmeans.inputs import check, tell_of_batch
from nlmeans.judging.curve import learned_curve
from nlmeans.judging.tuning import Tuning
from nlmeans.noise.copies import reduced
from nlmeans.noise.impulses import without_impulses
from nlmeans.noise.stabilised import stabilised
from nlmeans.parameters import Parameters, Settings, check_names, number, one_of
from nlmeans.sampling import sample

_WAYS = ("table", "sure")


def suggest(
    image: Array,
    *,
    by: str = "table",
    budget: float | None = None,
    batch_axis: int | None = None,
    share: str | None = None,
    **settings: Unpack[Settings],
) -> Parameters:
    """What `denoise` would use: the settings given, and its choices for those left out.

    Parameters
    ----------
    image : array
        As for `denoise`.  Of a Dask array regions are computed, about 16 of 256 x 256 pixels.
    by : {"table", "sure"}
        "table" is what `denoise` does.  "sure" looks for the strength with the least expected squared error,
        by Stein's estimate on four regions of the image (see `nlmeans.judging.trial`), from a third of the
        table's to three times.  It stays with the table's where no other is better by more than the estimate
        is sure of, and where neighbouring pixels are found to share the noise, which a warning says: it is
        for noise that is independent from pixel to pixel.  Worth while for images unlike the photographs that
        the tables were made from.
    budget : float, optional
        With "sure" seconds after which no further strength is tried, > 0.  Without it the same image gives
        the same settings every time.  Default: none; 1.3 to 3 times as long as `denoise`.
    batch_axis, share : optional
        As for `denoise`, and together: each picture of a batch has settings of its own unless they share
        them.  A sigma that is given for each picture is no part of what is returned.  Not with "sure".
    **settings
        Any of `denoise`'s parameters from `method` to `impulses`.  With "sure" `method` may be a sequence,
        from which the better is taken, and `h`, `k` and `strength` are where the search begins.

    Returns
    -------
    Parameters
        ``denoise(image, **suggest(image).to_dict())`` is ``denoise(image)``, and likewise with `batch_axis`
        for what ``share="settings"`` chooses.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        As `denoise`; for another `by`, or a budget without "sure".

    References
    ----------
    S. Ramani, T. Blu, M. Unser, "Monte-Carlo SURE", IEEE Transactions on Image Processing 17 (2008),
    doi:10.1109/TIP.2008.2001404.

    Examples
    --------
    >>> import numpy as np
    >>> suggest(np.zeros((8, 8)), sigma=1.0, patch_radius=1, search_radius=3).patch_radius
    1
    """
    one_of("by", by, _WAYS)
    if budget is not None and (by != "sure" or number("budget", budget) == 0):
        raise InvalidValueError(
            Parameter("budget"), " is a number of seconds > 0 for ", Parameter('by="sure"'), f", got {budget}"
        )
    if batch_axis is not None or share is not None:
        if by != "table":
            raise InvalidValueError(Parameter('by="sure"'), " is for one image: suggest for each of a batch")
        check_names(settings)
        return suggested(image, batch_axis, share, settings)
    return _with_strength(image, by, budget, settings)[0]


def tuned(image: Array, settings: Settings) -> tuple[Parameters, float]:
    """What `suggest` finds with "sure", and how many times the table's strength that is: 1 where kept."""
    return _with_strength(image, "sure", None, settings)


def _with_strength(
    image: Array, by: str, budget: float | None, settings: Settings
) -> tuple[Parameters, float]:
    if library(image) is None and (found := carried(image, settings)):
        image, settings = found[0], found[1]  # type: ignore[assignment]
    if (small := reduced(image, settings)) is not None:
        of_own: Any = small.settings
        chosen, times = _with_strength(small.image, by, budget, of_own)
        return replace(chosen, repeats=small.repeats), times
    if is_chunked(image):
        image, settings = sample(image, settings)
    else:
        tell_of_batch(image, settings)
    white = stabilised(image, settings, learned_curve)
    own = image if white is None else white.image
    known: Any = settings if white is None else white.settings
    with on_device_of(own):
        inputs = without_impulses(check(own, known), known)
        if by == "table":
            chosen, times = choose(inputs, known).parameters, 1.0
        else:
            chosen, times = Tuning(inputs, known, budget).best()
    return (chosen if white is None else with_model(chosen, white.model, settings)), times
