"""What is computed of a layer: its axes put in the order that `denoise` takes, and back."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nlmeans.arrays import DTYPES, Array
from nlmeans.denoising import denoise
from nlmeans.errors import AxesWarning, InvalidValueError

ALONE, VOLUME, CHANNELS = "each by itself", "depth of volumes", "channels"
ROLES = (ALONE, VOLUME, CHANNELS)  #: what an axis of a stack may be
PLANE_AXES = 2  # rows and columns are the last ones of a layer, before its colours
#: What the layer of a result has from the one it was made of.
KEPT = (
    "scale",
    "translate",
    "rotate",
    "shear",
    "affine",
    "units",
    "axis_labels",
    "rgb",
    "colormap",
    "contrast_limits",
    "gamma",
    "opacity",
    "blending",
)


def stack_axes(layer: Any) -> tuple[int, ...]:
    """The lengths of a layer's axes before rows and columns."""
    shape = _data(layer).shape
    return tuple(shape[: len(shape) - PLANE_AXES - bool(layer.rgb)])


def first_roles(lengths: Sequence[int], labels: Sequence[str] = ()) -> list[str]:
    """What the axes of a stack are to begin with: by their names if they have any, else each by itself."""
    known = {"z": VOLUME, "c": CHANNELS, "channel": CHANNELS}
    names = [*labels, *[""] * len(lengths)][: len(lengths)]
    return [known.get(name.strip().lower(), ALONE) for name in names]


def check_roles(roles: Sequence[str], *, rgb: bool) -> None:
    """Refuse what no image has: two depths, two axes of channels.

    Raises
    ------
    InvalidValueError
        With what to change.
    """
    if roles.count(VOLUME) > 1:
        raise InvalidValueError(f'only one axis can be "{VOLUME}": set the others to "{ALONE}"')
    if roles.count(CHANNELS) + rgb > 1:
        raise InvalidValueError(
            f'only one axis can be "{CHANNELS}"'
            + (", and this layer has colours already" if rgb else "")
            + f': set the others to "{ALONE}"'
        )


def denoised(
    layer: Any,
    roles: Sequence[str],
    settings: Mapping[str, Any],
    progress: Callable[[float], None],
    *,
    share: bool = False,
) -> Array:
    """The data of a layer without noise, in the same shape.

    Parameters
    ----------
    layer
        napari's `Image`, or what has its `data`, `rgb` and `multiscale`; of several resolutions the finest
        is denoised.  Chunked data are loaded as a whole.
    roles : sequence of str
        Of each axis before rows and columns: ALONE, VOLUME or CHANNELS.
    settings
        Parameters of `denoise`.
    progress
        Called with the fraction done; what it raises ends the work.
    share : bool
        Whether noise, radii and strength are found once for all pictures that are alone.

    Returns
    -------
    array
        Integers wider than 16 bits become float32.
    """
    import numpy as np

    rgb = bool(layer.rgb)
    check_roles(roles, rgb=rgb)
    data = np.asarray(_data(layer))
    if data.dtype.name not in DTYPES:
        data = data.astype(np.float32)
    by_role = {role: [i for i, own in enumerate(roles) if own == role] for role in ROLES}
    inner = [
        *by_role[VOLUME],
        len(roles),
        len(roles) + 1,
        *by_role[CHANNELS],
        *([data.ndim - 1] if rgb else []),
    ]
    order = [*by_role[ALONE], *inner]
    moved = data.transpose(order)
    more: dict[str, Any] = {"channel_axis": -1 if rgb or by_role[CHANNELS] else None, "nan": "keep"}
    batch = moved
    if by_role[ALONE]:
        batch = moved.reshape(-1, *moved.shape[len(by_role[ALONE]) :])
        more |= {"batch_axis": 0, "share": "settings" if share else None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AxesWarning)  # what the axes are has been said
        result = denoise(batch, **{**settings, **more}, progress=progress)
    return result.reshape(moved.shape).transpose(np.argsort(order))


def attributes(layer: Any) -> dict[str, Any]:
    """What the layer of the result is made with."""
    given = layer.as_layer_data_tuple()[1]
    kept = {name: given[name] for name in KEPT if name in given}
    if layer.rgb:
        kept.pop("colormap", None)
        kept.pop("contrast_limits", None)
    return {**kept, "name": f"{layer.name} denoised"}


def _data(layer: Any) -> Any:
    """The data of a layer; of one with several resolutions the finest."""
    return layer.data[0] if getattr(layer, "multiscale", False) else layer.data
