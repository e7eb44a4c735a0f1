"""The front door: check, choose, then the method in tiles, restore."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

from nlmeans.arrays import Array, is_chunked, library, on_device_of
from nlmeans.carriers import carried
from nlmeans.choosing import choose
from nlmeans.choosing.doubts import doubt_rounding
from nlmeans.errors import InvalidValueError, Parameter
from nlmeans.inputs import check, tell_of_batch
from nlmeans.judging.curve import learned_curve
from nlmeans.noise.copies import reduced
from nlmeans.noise.impulses import without_impulses
from nlmeans.noise.stabilised import stabilised
from nlmeans.noise_models.model import NoiseModel
from nlmeans.parameters import Parameters, Settings, settings_among
from nlmeans.running import Progress, apply


def denoise(
    image: Array,
    *,
    method: str = "nlmeans",
    noise: str | NoiseModel | Mapping[str, Any] = "gaussian",
    sigma: float | Sequence[float] | Array | None = None,
    h: float | None = None,
    k: float | None = None,
    patch_radius: int | tuple[int, ...] | None = None,
    search_radius: int | tuple[int, ...] | Literal["image"] | None = None,
    channel_axis: int | None = None,
    spacing: tuple[float, ...] | None = None,
    patch: str | None = None,
    center: str | None = None,
    aggregate: str | None = None,
    color: str | None = None,
    passes: int | None = None,
    differences: Parameters | Mapping[str, Any] | None = None,
    second: Parameters | Mapping[str, Any] | None = None,
    strength: float | tuple[float, float] = 1.0,
    blend: float = 0.0,
    guide: Array | None = None,
    guide_sigma: float | None = None,
    mask: Array | None = None,
    nan: str = "raise",
    impulses: str = "keep",
    repeats: int | tuple[int, ...] | None = None,
    batch_axis: int | None = None,
    share: str | None = None,
    backend: str = "auto",
    workers: int | None = None,
    progress: Progress | None = None,
    memory_limit: int | None = None,
    return_info: bool = False,
) -> Array:
    """Remove noise by non-local means.

    Every pixel becomes the average of the pixels around it whose neighbourhoods look alike,
    the more alike the heavier.  Called with an image alone, it estimates the noise and takes the
    radii and the strength from a table tuned on photographs.  Colours are filtered as luminance and
    differences, and strong noise in two passes.

    Parameters
    ----------
    image : array
        A signal, image or volume: one to three grid axes and at most one channel axis, in that
        order of the user.  NumPy, CuPy, torch or Dask; int8, uint8, int16, uint16, float16, float32 or
        float64; any range, nothing is rescaled.  It is not written to.  Images of Pillow, arrays
        of xarray and other objects with ``__array__`` are taken where nothing is lost; `channel_axis`
        may then be the name of an axis of xarray.
    method : {"nlmeans", "nlridge", "learned"}
        "nlridge" replaces groups of like patches by their best linear combinations, in two steps with
        NL-means between them: 0.5 dB better than two passes of "nlmeans" on photographs, 0.9 dB better
        than one, in 3 and 6 times the time.  It takes `sigma`, `color`, `strength`, `blend`, `mask` and
        `nan`, and denoises images, and volumes plane by plane.  On a GPU it is plain array operations,
        which "auto" takes for arrays that are there.
        Equal colours come back, sigma 0 returns the image.  "learned" corrects that by a small network
        trained on photographs, in five to seven times the time: see docs/learned_denoiser.md.
    noise : {"gaussian", "auto", "poisson", "poisson-gaussian", "rician", "speckle", "curve"} or NoiseModel
        What kind of noise it is: white, of counted photons, of photons and a sensor's electronics, of
        magnitudes in MRI, of radar or ultrasound.  All but white noise is made white by a transform of the
        values, filtered with sigma 1, and led back by the exact unbiased inverse; `h` and `sigma` have no
        place then, `k` and `strength` have.  A guide is transformed alike.  Parameters of the model are
        estimated, or given by a `NoiseModel`.  "auto" tells the kind (not "rician") by `noise_curve`, and
        takes the noise for white, with a warning, where it is not 95 % sure.  "curve" is for noise that none
        of these fits: how strong it is at each brightness is learned from the image alone, by hiding pixels
        from NL-Ridge, in about 200 times the time of NL-Ridge on at most 256 x 256 pixels of each channel.
        It must be independent from pixel to pixel; of one image, in memory, of 32 pixels a side or more.
        `suggest` gives the curve that was learned, for others like it.  Default: "gaussian", white.
    sigma : float, sequence of float, or array, optional
        Standard deviation of the noise in the units of the image, >= 0: one number, one per
        channel, or a map of the shape of the grid.  Default: estimated, see `estimate_sigma`.
        0 switches the noise correction of the distances off (then `h` is needed).
    h : float, optional
        Filtering strength in the units of the image, >= 0; 0 returns the image.  Default: ``k sigma``.
        `h`, `k` and radii are those of the first pass, of all channels or of the luminance.
    k : float, optional
        Filtering strength in units of sigma.  Default: from the table, about 0.4 to 0.6.
    patch_radius, search_radius : int or tuple of int, optional
        Radii of the compared patches and of the window in which they are sought, one number or one
        per grid axis; sizes are ``2 r + 1``.  ``search_radius="image"`` searches everywhere, at a
        cost of pixels squared.  Default: from the table by sigma / data range.
    channel_axis : int, optional
        The axis of colours or other channels; see `color`.  Default: no such axis.
    spacing : tuple of float, optional
        Distance of neighbouring samples along each grid axis, > 0, in any unit: the voxel size of a volume.
        Radii that are not given are then equally long along all axes.  Default: radii of as many samples.
    patch : {"box", "gaussian"}, optional
        Weights in the patch: equal, or a Gaussian of standard deviation ``r / 2``.  Default: "box".
    center : {"max", "one", "zero"}, optional
        A pixel's weight for itself: the largest of the others, 1, or 0, but at least 2^-20.  Default: "max".
    aggregate : {"patch", "pixel"}, optional
        Every patch estimates all of its pixels (better, 2.5 times the time), or only its centre.
        Default: "patch".
    color : {"auto", "luminance", "joint", "separate"}, optional
        How channels are compared.  "luminance" is for the three channels of a colour picture: their sum
        (R + G + B) / sqrt 3 is filtered by its own patches, the differences (R - B) / sqrt 2 and
        (R - 2 G + B) / sqrt 6 together by theirs.  "joint" compares all channels at once, so that one
        weight serves them all; "separate" denoises each by itself (bands or stains that show different
        things).  "auto" is "luminance" for three channels unless the differences hold as much as the
        channels do, and then, as for other numbers of channels, "joint" or, where channels vary at
        different places, "separate".  Default: "auto"; with a guide "joint", and nothing else is possible.
        A sigma that is not given is estimated for each component or channel that is compared apart; with
        "luminance" a sequence as `sigma` has the three components in that order.
    passes : {1, 2}, optional
        2 filters once more, by patches of the first result mixed with some of the image: better, in about
        twice the time.  Default: 2 for pictures whose noise is above about 3 % of the data range, where the
        strength and the radii are left to the tables and patches are aggregated; else 1.  A guide allows
        only 1.
    differences, second : Parameters or dict, optional
        The filter of the differences of colours, and of the second pass, as `suggest` gives them.
        Default: from tables; a strength that is given is scaled there as the tables' are.
    strength : float or (float, float)
        Multiplies `h`, or `k`, of every part, whether given or chosen, and sigma of other methods; >= 0, 0
        returns the image.  Of two the second is for the differences of colours, where `color` is "luminance".
    blend : float
        How much of the image is mixed into the result, 0 to 1: 0 none, 1 returns the image.
    guide : array, optional
        What is compared instead of the image; same grid, any number of channels.  Distances,
        `sigma` and `h` then refer to it.
    guide_sigma : float, optional
        Noise of the guide in the correction ``2 sigma^2``, where it differs from `sigma`, which then
        sets the strength only; 0 for a clean guide.
    mask : array of bool, optional
        True where a pixel is valid; shape of the grid.  Others are neither used nor changed.
    nan : {"raise", "keep"}
        Refuse NaN and infinity, or treat such pixels as invalid: they are kept, and never spread.
    impulses : {"keep", "replace"}
        Keep single pixels that have nothing to do with what is around them (hot and dead ones, salt and
        pepper), or replace them by the average of others, none of which is an impulse: by what `method` makes
        of their place once it is filled with the median around it.  In several channels a pixel is an impulse
        where one of them is.
    repeats : int or tuple of int, optional
        How many times each pixel stands in an image that was enlarged by repeating pixels, one number or one
        per grid axis.  It is filtered at its own resolution, which radii and noise then refer to, and
        enlarged again.  Default: 2 to 4 where all pixels are such copies, and neither a level, a strength
        nor a radius is given, and a warning says so; else 1, as it is.
    batch_axis : int, optional
        The axis along which `image` holds pictures that have nothing to do with each other: a batch, wells,
        time points.  Each is denoised alone, with its own noise.  A mask, a guide or a sigma map may have
        this axis too, or is shared; an array of as many sigma has one for each picture.
    share : {"settings"}, optional
        With `batch_axis`: choose noise, radii and strength once for all.  Sigma is then the root mean square
        over the pictures.
    backend : {"auto", "reference", "cpu", "cuda"}
        "auto" is the fastest that can run.
    workers : int, optional
        Threads.  Default: the processors this process may use, 1 for each chunk of a Dask array.  The
        result does not depend on it.
    progress : callable, optional
        Called with the fraction done, from 0 to 1, in the calling thread; not with Dask arrays.
    memory_limit : int, optional
        Bytes for intermediate arrays; larger images are done in tiles.  Default: 192 MiB, on a GPU
        60 % of its free memory; there tiles become smaller by themselves when it is full.
    return_info : bool
        Give an `Info` too: the noise, the expected error, and what was removed.  An image of up to
        512 x 512 pixels, or nine regions of 160 x 160, are denoised twice more for it.  Not for Dask arrays.

    Returns
    -------
    array
        Same shape, type and library as `image`; integers are rounded half to even and clipped.
    Info
        With `return_info` the second of two; with `batch_axis` a list of one for each picture.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        For what is outside of the ranges above.
    BackendUnavailableError
        When the backend that was asked for cannot run: the message says why.
    MemoryLimitError
        When not even the smallest tile fits.

    Notes
    -----
    With patches P_i around pixel i, C channels and a patch average over c and o::

        d2(i, j) = mean over c, o of (u_c(i + o) - u_c(j + o))^2
        w(i, j)  = exp(-max(d2 - 2 sigma^2, 0) / h^2)

    Outside of the image patches are completed by symmetric reflection; only real pixels are
    averaged.  In a second pass u is ``mixing pilot + (1 - mixing) image``, whose noise is taken for
    ``(1 - mixing) sigma``; what is averaged is the image.  Each component of colours is filtered so, and
    the change transformed back.  Time is O(pixels (2R + 1)^n), for box patches independent of r on the
    compiled backends.  Averages are of float32 differences to the pixel's own value (float64 images stay
    float64 on the reference backend): where the search window holds one value, that value comes back bit for
    bit.  Accuracy is 1e-5 of the data range or better.

    CuPy arrays and torch tensors on a GPU stay there: work is queued on their device and on the
    library's current stream.  NumPy arrays go up and come down in their own type, large ones in tiles
    through pinned memory while others are worked on; ``with cupy.cuda.Device(1):`` chooses the GPU.

    The result of a Dask array is one with the same chunks, of any size, and is computed when it is asked
    for: one task for each chunk, which takes the chunks that its halo touches.  `mask`, `guide` and a map
    `sigma` may be Dask arrays too.  Nothing is computed at the call where `sigma`, both radii and `k` or `h`
    are given, with ``color="luminance"`` also `differences`, with ``passes=2`` also `second`: all that
    `suggest` gives; a complete `noise` model, but for speckle, serves as sigma.  Otherwise, and with
    ``impulses="replace"``, regions of the image are, about 16 of 256 x 256 pixels, and what is left out
    is chosen from these, once for all chunks; sigma is then within 3 % of that of the whole where the noise
    is equally strong everywhere.  ``search_radius="image"`` is not possible.

    References
    ----------
    A. Buades, B. Coll, J.-M. Morel, "Non-local means denoising", Image Processing On Line 1
    (2011), doi:10.5201/ipol.2011.bcm_nlm.

    S. Herbreteau, C. Kervrann, "Towards a unified view of unsupervised non-local methods for image
    denoising: the NL-Ridge approach", ICIP 2022, doi:10.48550/arXiv.2203.00570.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> clean = np.repeat([[0.0, 1.0]], 32, axis=0).repeat(16, axis=1)
    >>> noisy = clean + rng.normal(0, 0.1, clean.shape)
    >>> result = denoise(noisy, sigma=0.1)
    >>> bool(np.std(result - clean) < 0.25 * np.std(noisy - clean))
    True
    """
    settings = settings_among(locals())  # by their names, so that each is spelled once
    if batch_axis is not None or share is not None:
        from nlmeans.chunked.batches import denoise_each  # not above: most calls are of one image

        one = partial(
            _alone, backend=backend, workers=workers, memory_limit=memory_limit, return_info=return_info
        )
        return denoise_each(image, batch_axis, share, settings, one, progress)
    if library(image) is None and (found := carried(image, settings)):
        array, known, dressed = found
        running: Any = {"backend": backend, "workers": workers, "progress": progress}
        done = denoise(array, **known, **running, memory_limit=memory_limit, return_info=return_info)
        return (dressed(done[0]), done[1]) if return_info else dressed(done)
    if not is_chunked(image):
        tell_of_batch(image, settings)
    with on_device_of(image):
        return _alone(image, settings, backend, workers, progress, memory_limit, return_info)


def _alone(
    image: Array,
    settings: Settings,
    backend: str,
    workers: int | None,
    progress: Progress | None,
    memory_limit: int | None,
    return_info: bool,
) -> Array:
    """One image, or one picture of a batch, whose axes are known; with its `Info` where that is asked for."""
    running = (backend, workers, progress, memory_limit)
    if (small := reduced(image, settings)) is not None:
        of_own: Any = small.settings
        own = _alone(small.image, of_own, *running, return_info)
        return (
            (small.restored(own[0]), own[1].repeated(small.repeats)) if return_info else small.restored(own)
        )
    if is_chunked(image):
        from nlmeans.chunked.graph import denoise_chunked

        if return_info:
            raise InvalidValueError(
                Parameter("return_info"),
                " is not possible with a Dask array, which is computed later: ask for it of a part of it",
            )
        return denoise_chunked(image, settings, *running)
    noise, learn = settings.get("noise"), partial(learned_curve, workers=workers)
    if noise != "gaussian" and (white := stabilised(image, settings, learn)) is not None:
        known: Any = white.settings
        found = _alone(white.image, known, *running, return_info)
        return (white.restored(found[0]), found[1].of(white.model)) if return_info else white.restored(found)
    inputs = check(image, settings)
    if settings.get("impulses", "keep") != "keep":
        inputs = without_impulses(inputs, settings)
    chosen = choose(inputs, settings)
    clean = apply(chosen, inputs, *running)
    if inputs.value.dtype.kind in "iu":
        doubt_rounding(inputs, clean)
    result = inputs.restored(clean)
    if not return_info:
        return result
    from nlmeans.judging.info import info_of

    given = settings.get("sigma") is not None
    return result, info_of(inputs, chosen, backend, workers, memory_limit, sigma_given=given)
