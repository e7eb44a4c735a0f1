"""NL-means by brute force: loops over pixels, shifts and patch offsets, one float64 at a time.

The judge of every backend.  Written from the definition and from nothing else: it shares no code with
the package, knows no plane, tile, running sum or fast exponential, and is as slow as it looks.

    d2(i, j) = 1/C sum_c sum_o a(o) (u_c(i + o) - u_c(j + o))^2
    w(i, j)  = exp(-max(d2 - 2 sigma^2, 0) / h^2)                     j real and valid
    w(i, i)  = max(rule, 2^-20)
    pixel:  y(i) = sum_j w(i, j) v(j) / sum_j w(i, j)
    patch:  p(i, s) = w(i, i + s) / sum_j w(i, j),   B_s(x) = sum_o a(o) p(x - o, s)
            y(x) = sum_s B_s(x) v(x + s) / sum_s B_s(x)               x + s real and valid
    colour: luminance and differences are the rows of `OPPONENT` times the channels, each filtered apart
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Index = tuple[int, ...]
FLOOR = 2.0**-20
OPPONENT = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])


def oracle(
    image: Any,
    *,
    sigma: Any,
    h: float | None = None,
    k: float | None = None,
    patch_radius: int | Index,
    search_radius: int | Index,
    channel_axis: int | None = None,
    patch: str = "box",
    center: str = "max",
    aggregate: str = "patch",
    guide: Any = None,
    guide_sigma: float | None = None,
    mask: Any = None,
    color: str = "joint",
    differences: Any = None,
) -> np.ndarray:
    """The denoised image in float64; non-finite pixels are treated as ``nan="keep"`` says."""
    value = _channels_last(image, channel_axis)
    if color != "joint":
        rest = {"patch": patch, "center": center, "mask": np.isfinite(value).all(-1)}
        rest["mask"] &= True if mask is None else mask
        own = {"h": h, "k": k, "patch_radius": patch_radius, "search_radius": search_radius}
        own["aggregate"] = aggregate
        others = {"mask": rest["mask"], **(differences or {})}
        each = _apart(value, sigma, color, {**rest, **own}, others)
        return np.moveaxis(each, -1, channel_axis)
    scene = _scene(value, sigma, h, k, patch_radius, search_radius, channel_axis, guide, guide_sigma, mask)
    scene.taps_of_axis = [_taps(r, patch) for r in scene.patch_radius]
    if np.ndim(scene.h) == 0 and scene.h == 0:
        return np.array(image, dtype=np.float64)
    weight = {i: _weights(scene, i, center) for i in scene.grid if scene.valid[i]}
    average = _pixel_average if aggregate == "pixel" else _patch_average
    result = value.copy()
    for x in scene.grid:
        if scene.valid[x]:
            result[x] = average(scene, weight, x)
    return result[..., 0] if channel_axis is None else np.moveaxis(result, -1, channel_axis)


def _apart(value: np.ndarray, sigma: Any, color: str, first: Any, others: Any) -> np.ndarray:
    """Channels or components one by one, but for the two differences; channels last."""
    known = np.where(first["mask"][..., None], value, 0.0)
    count = value.shape[-1]
    sigmas = [sigma] * count if np.ndim(sigma) != 1 or len(sigma) != count else list(sigma)
    if color == "separate":
        each = [oracle(known[..., c], sigma=sigmas[c], **first) for c in range(count)]
        return np.where(first["mask"][..., None], np.stack(each, -1), value)
    parts = known @ OPPONENT.T
    pair = sigmas[1] if np.ndim(sigma) != 1 else sigmas[1:]
    result = parts.copy()
    result[..., 0] = oracle(parts[..., 0], sigma=sigmas[0], **first)
    result[..., 1:] = oracle(parts[..., 1:], sigma=pair, channel_axis=-1, **others)
    return np.where(first["mask"][..., None], result @ OPPONENT, value)


def oracle_weights(
    image: Any, at: Index, *, center: str = "max", patch: str = "box", **rest: Any
) -> np.ndarray:
    """The normalised weight of every pixel in the pixel average of `at`."""
    axis = rest.get("channel_axis")
    value = _channels_last(image, axis)
    names = ("patch_radius", "search_radius")
    options = [rest.get(name) for name in ("channel_axis", "guide", "guide_sigma", "mask")]
    scene = _scene(value, rest["sigma"], rest.get("h"), rest.get("k"), *[rest[n] for n in names], *options)
    scene.taps_of_axis = [_taps(r, patch) for r in scene.patch_radius]
    picture = np.zeros(value.shape[:-1])
    weight = _weights(scene, at, center)
    for shift, w in weight.items():
        picture[_add(at, shift)] = w / math.fsum(weight.values())
    return picture


@dataclass
class _Scene:
    """What the loops look at."""

    shape: Index
    grid: list[Index]  # every pixel
    value: dict[Index, list[float]]  # what is averaged
    feature: dict[Index, list[float]]  # what is compared, a number at every pixel
    valid: dict[Index, bool]
    sigma: Any  # of the correction 2 sigma^2: a number, or one of every pixel
    h: Any
    patch_radius: Index
    search_radius: Index
    taps_of_axis: list[list[float]]
    patches: dict[Index, list[tuple[float, float]]] = field(default_factory=dict)  # filled as needed


def _scene(
    value: np.ndarray, sigma: Any, h: Any, k: Any, patch_radius: Any, search_radius: Any,
    channel_axis: int | None, guide: Any, guide_sigma: Any, mask: Any,
) -> _Scene:  # fmt: skip
    shape = value.shape[:-1]
    grid = list(itertools.product(*(range(n) for n in shape)))
    feature = value
    if guide is not None:
        has_channels = np.ndim(guide) > len(shape)
        axis = (-1 if channel_axis is None else channel_axis) if has_channels else None
        feature = _channels_last(guide, axis)
        sigma = guide_sigma if sigma is None else sigma
    valid = np.isfinite(value).all(-1) & np.isfinite(feature).all(-1)
    if mask is not None:
        valid = valid & np.asarray(mask)
    sigma = np.asarray(sigma, dtype=np.float64)
    correction = sigma if guide_sigma is None else np.asarray(float(guide_sigma))
    if channel_axis is not None and sigma.shape == feature.shape[-1:]:  # one per channel
        feature = feature / sigma
        sigma = correction = np.asarray(1.0)
    strength = np.asarray(h, dtype=np.float64) if h is not None else k * sigma
    radius = _per_axis(patch_radius, len(shape))
    feature = _replaced(feature, valid, radius)
    return _Scene(
        shape=shape,
        grid=grid,
        value={i: value[i].tolist() for i in grid},
        feature={i: feature[i].tolist() for i in grid},
        valid={i: bool(valid[i]) for i in grid},
        sigma=correction,
        h=strength,
        patch_radius=radius,
        search_radius=_per_axis(search_radius, len(shape)),
        taps_of_axis=[],
    )


def _weights(scene: _Scene, i: Index, center: str) -> dict[Index, float]:
    """The weight of every candidate of pixel i, by its shift; the shift 0 is the pixel itself."""
    sigma = float(scene.sigma[i]) if np.ndim(scene.sigma) else float(scene.sigma)
    h = float(scene.h[i]) if np.ndim(scene.h) else float(scene.h)
    own = tuple(0 for _ in i)
    weight = {}
    for shift in itertools.product(*(range(-R, R + 1) for R in scene.search_radius)):
        j = _add(i, shift)
        if shift == own or not _is_inside(j, scene.shape) or not scene.valid[j]:
            continue
        excess = max(_distance(scene, i, j) - 2 * sigma**2, 0.0)
        if h == 0:
            weight[shift] = 1.0 if excess == 0 else 0.0
        else:
            weight[shift] = math.exp(-excess / h**2)
    rule = {"max": max(weight.values(), default=0.0), "one": 1.0, "zero": 0.0}[center]
    weight[own] = max(rule, FLOOR)
    return weight


def _distance(scene: _Scene, i: Index, j: Index) -> float:
    """The mean over channels of the weighted squared difference of two patches."""
    p, q = _patch(scene, i), _patch(scene, j)
    channels = len(scene.feature[i])
    return math.fsum(a * (u - v) ** 2 for (a, u), (_, v) in zip(p, q, strict=True)) / channels


def _patch(scene: _Scene, i: Index) -> list[tuple[float, float]]:
    """The taps and the samples of all channels of the patch around pixel i."""
    if i not in scene.patches:
        scene.patches[i] = [
            (_tap(scene, offset), sample)
            for offset in _box(scene.patch_radius)
            for sample in scene.feature[_reflected(_add(i, offset), scene.shape)]
        ]
    return scene.patches[i]


def _pixel_average(scene: _Scene, weight: dict[Index, dict[Index, float]], x: Index) -> list[float]:
    return _average([(w, scene.value[_add(x, shift)]) for shift, w in weight[x].items()])


def _patch_average(scene: _Scene, weight: dict[Index, dict[Index, float]], x: Index) -> list[float]:
    """Every patch that covers x estimates it; in a volume only the patches of x's own plane."""
    radius = scene.patch_radius
    if len(radius) == 3:
        radius = (0, *radius[1:])
    terms = []
    for offset in _box(radius):
        centre = tuple(a - b for a, b in zip(x, offset, strict=True))
        if not _is_inside(centre, scene.shape) or not scene.valid[centre]:
            continue
        a = _tap(scene, offset, skip=1 if len(radius) == 3 else 0)
        total = math.fsum(weight[centre].values())
        for shift, w in weight[centre].items():
            j = _add(x, shift)
            if _is_inside(j, scene.shape) and scene.valid[j]:
                terms.append((a * w / total, scene.value[j]))
    return _average(terms)


def _average(terms: list[tuple[float, list[float]]]) -> list[float]:
    total = math.fsum(w for w, _ in terms)
    channels = len(terms[0][1])
    return [math.fsum(w * v[c] for w, v in terms) / total for c in range(channels)]


def _tap(scene: _Scene, offset: Index, skip: int = 0) -> float:
    """The patch's weight at an offset: the product over the axes, leaving out the first `skip`."""
    a = 1.0
    for axis in range(skip, len(offset)):
        a *= scene.taps_of_axis[axis][offset[axis] + scene.patch_radius[axis]]
    return a


def _taps(r: int, patch: str) -> list[float]:
    """The weights of one axis: flat, or a Gaussian of standard deviation r/2 cut at r; sum 1."""
    if patch == "gaussian" and r > 0:
        taps = [math.exp(-(o**2) / (2 * (r / 2) ** 2)) for o in range(-r, r + 1)]
    else:
        taps = [1.0] * (2 * r + 1)
    return [a / math.fsum(taps) for a in taps]


def _replaced(feature: np.ndarray, valid: np.ndarray, radius: Index) -> np.ndarray:
    """Invalid pixels get the mean of the valid ones in the patch's box, doubled until there is one."""
    result = feature.copy()
    for i in np.ndindex(valid.shape):
        box_radius = [max(r, 1) for r in radius]
        while not valid[i] and valid.any():
            box = tuple(slice(max(0, x - r), x + r + 1) for x, r in zip(i, box_radius, strict=True))
            if valid[box].any():
                result[i] = feature[box][valid[box]].mean(axis=0)
                break
            box_radius = [2 * r for r in box_radius]
    return result


def _reflected(index: Index, shape: Index) -> Index:
    """Symmetric reflection: ... 1 0 | 0 1 ... n-1 | n-1 ..., which repeats after 2n."""
    folded = (x % (2 * n) for x, n in zip(index, shape, strict=True))
    return tuple(x if x < n else 2 * n - 1 - x for x, n in zip(folded, shape, strict=True))


def _is_inside(index: Index, shape: Index) -> bool:
    return all(0 <= x < n for x, n in zip(index, shape, strict=True))


def _add(index: Index, offset: Index) -> Index:
    return tuple(x + o for x, o in zip(index, offset, strict=True))


def _box(radius: Index) -> itertools.product[Index]:
    return itertools.product(*(range(-r, r + 1) for r in radius))


def _per_axis(radius: int | Index, ndim: int) -> Index:
    return (radius,) * ndim if isinstance(radius, int) else tuple(radius)


def _channels_last(image: Any, channel_axis: int | None) -> np.ndarray:
    image = np.array(image, dtype=np.float64)
    return image[..., None] if channel_axis is None else np.moveaxis(image, channel_axis, -1)
