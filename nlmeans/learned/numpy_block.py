"""The learned non-local block without torch: from a weights file, on NumPy or CuPy arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Unpack

from nlmeans.arrays import Array, dtype_name, library, namespace
from nlmeans.errors import InvalidTypeError, InvalidValueError
from nlmeans.learned.arithmetic.features import (
    Embedding,
    check_guide,
    check_mask,
    embedded,
    filled,
    joined_heads,
)
from nlmeans.learned.settings import LEAST_LOG_BANDWIDTH, BlockSettings, SettingNames, plain_names
from nlmeans.learned.weights_file import Path, opened
from nlmeans.operation.nonlocal_mean import nonlocal_mean
from nlmeans.operation.similarity import Similarity

_BATCH_NORM_EPSILON = 1e-5


def nonlocal_block(
    x: Array,
    weights: Path | dict[str, Array],
    *,
    guide: Array | None = None,
    mask: Array | None = None,
    prefix: str = "",
    memory_limit: int = 2**25,
    **settings: Unpack[SettingNames],
) -> Array:
    """Run a trained non-local block, as :class:`nlmeans.learned.NonLocal2d` does in evaluation.

    Parameters
    ----------
    x : array, shape (B, C, *grid)
        Features on one to three grid axes; NumPy or CuPy; float16, float32 or float64.
    weights : path or mapping of str to array
        A safetensors file, or arrays by name, in the layout of the torch block or mmcv's:
        "g.conv.weight", "theta.conv.weight", "phi.conv.weight", "conv_out.conv.weight", ...
    guide : array, shape (B, G, *grid), optional
        What is compared in the place of x.
    mask : array of bool, shape (*grid) or (B, *grid), optional
        True where a position takes part as a key; a query none of whose keys does gets no contribution.
    prefix : str
        What stands before these names, for a block inside of a model: "layer3.nonlocal.".
    memory_limit : int
        Bytes for intermediate arrays.
    **settings
        `mode`, `normalisation`, `scale`, `window`, `sub_sample`, `pool_position`, `tied`,
        `unit_length`, `residual`, `heads` as for :class:`nlmeans.learned.settings.BlockSettings`.
        Default: what the file says, if :func:`nlmeans.learned.save_weights` wrote it, else the defaults
        there.

    Returns
    -------
    array, shape (B, C, *grid)
        Of the same library and type; equal to the torch block to 1e-5 of its values.

    Raises
    ------
    InvalidValueError, InvalidTypeError
        For features or weights that do not fit, and files that are no whole safetensors file.
    BackendUnavailableError
        For a path where safetensors is not installed.

    Notes
    -----
    Time O(N K D) for N positions with K keys each, memory O(N D) plus `memory_limit`.

    References
    ----------
    X. Wang, R. Girshick, A. Gupta, K. He, "Non-local neural networks", CVPR 2018,
    doi:10.1109/CVPR.2018.00813.

    Examples
    --------
    >>> import numpy as np
    >>> one = np.ones((1, 1, 1), np.float32)
    >>> weights = {f"{name}.conv.weight": one for name in ("g", "theta", "phi", "conv_out")}
    >>> nonlocal_block(np.array([[[1.0, 1.0, 9.0]]]), weights, window=0)
    array([[[ 2.,  2., 18.]]])
    """
    _check_features(x, "x")
    arrays, stored = opened(weights)
    chosen = replace(BlockSettings() if stored is None else BlockSettings.from_json(stored), **settings)
    xp = namespace(x)
    dtype = xp.float64 if dtype_name(x) == "float64" else xp.float32
    features = xp.moveaxis(x.astype(dtype), 1, -1)
    compared = features if guide is None else _checked_guide(guide, x, xp, dtype)
    valid = None if mask is None else _checked_mask(mask, x, xp)
    block = _Weights.of(arrays, prefix, chosen, int(x.shape[1]), int(compared.shape[-1]), xp, dtype)
    by = Embedding(block.theta, block.phi, block.g, *chosen.head_factors(block.concatenation, block.h))
    query, key, value, valid = embedded(features, compared, valid, by, chosen, xp)
    radii = chosen.radii(x.ndim - 2)
    if radii is None:
        query, key, value = (_in_one_axis(a, xp) for a in (query, key, value))
        valid = None if valid is None else xp.reshape(valid, (valid.shape[0], -1))
    if valid is not None:
        key = filled(key, valid, xp)
    mean = nonlocal_mean(
        query,
        key,
        value,
        similarity=block.similarity(chosen, query.shape[-1], xp),
        normalisation=chosen.divisor,
        window=radii,
        mask=valid,
        memory_limit=memory_limit,
    )
    mean = joined_heads(mean, chosen.heads, xp)
    result = block.out(xp.reshape(mean, (*features.shape[:-1], mean.shape[-1])))
    if valid is not None:
        some = _has_key(query, valid, radii, chosen.heads, memory_limit, xp)
        result = xp.where(xp.reshape(some, (*features.shape[:-1], 1)), result, xp.zeros_like(result))
    if chosen.residual:
        result = features + result
    if dtype_name(x) == "float16":
        result = xp.clip(result, -65504, 65504)
    return xp.moveaxis(result, -1, 1).astype(x.dtype)


def _has_key(
    query: Array, valid: Array, radii: tuple[int, ...] | None, heads: int, limit: int, xp: Any
) -> Array:
    """Whether a query has a valid key, (B, *grid): the mean of ones, which is 0 where it has none."""
    ones = xp.ones((*valid.shape, 1), dtype=query.dtype)[::heads]
    like = xp.zeros_like(query[::heads, ..., :1])
    return (
        nonlocal_mean(like, xp.zeros_like(ones), ones, window=radii, mask=valid[::heads], memory_limit=limit)
        > 0
    )


def _in_one_axis(features: Array, xp: Any) -> Array:
    """(B, *grid, D) to (B, N, D), also for an empty batch."""
    batch, *grid, width = features.shape
    return xp.reshape(features, (batch, math.prod(grid), width))


def _check_features(x: Array, name: str) -> None:
    if library(x) not in ("numpy", "cupy"):
        raise InvalidTypeError(
            f"{name} must be a NumPy or CuPy array, got {type(x).__name__}; "
            "for torch tensors there is nlmeans.learned"
        )
    if dtype_name(x) not in ("float16", "float32", "float64"):
        raise InvalidTypeError(
            f"{name} must be float16, float32 or float64, got {dtype_name(x)}; use {name}.astype"
        )
    if not 3 <= x.ndim <= 5 or 0 in x.shape[1:]:
        raise InvalidValueError(
            f"{name} must be (batch, channels, one to three grid axes), none empty, "
            f"got shape {tuple(x.shape)}"
        )
    xp = namespace(x)
    if not bool(xp.isfinite(x).all()):
        count = int((~xp.isfinite(x)).sum())
        raise InvalidValueError(f"{name} holds {count} values that are not finite; find where they arise")


def _checked_guide(guide: Array, x: Array, xp: Any, dtype: Any) -> Array:
    """The guide (B, *grid, G)."""
    _check_features(guide, "guide")
    check_guide(guide, x)
    return xp.moveaxis(guide.astype(dtype), 1, -1)


def _checked_mask(mask: Array, x: Array, xp: Any) -> Array:
    """The mask (B, *grid)."""
    if library(mask) != library(x) or dtype_name(mask) != "bool":
        raise InvalidTypeError("mask must be an array of bool of the library of x")
    check_mask(mask, x)
    return xp.broadcast_to(mask, (x.shape[0], *x.shape[2:]))


# --- the weights -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Linear:
    """A 1 x 1 convolution, or nothing."""

    weight: Array | None
    bias: Array | None

    def __call__(self, features: Array) -> Array:
        if self.weight is None:
            return features
        result = features @ self.weight.T
        return result if self.bias is None else result + self.bias


@dataclass(frozen=True, eq=False)
class _Weights:
    """The weights of one block, with every name and shape checked."""

    theta: _Linear
    phi: _Linear
    g: _Linear
    conv_out: _Linear
    norm: tuple[Array, Array] | None  # factor and summand
    concatenation: Array | None  # (heads, 2 D)
    h: Array | None  # (heads,)

    @classmethod
    def of(
        cls,
        arrays: dict[str, Array],
        prefix: str,
        chosen: BlockSettings,
        channels: int,
        guide_channels: int,
        xp: Any,
        dtype: Any,
    ) -> _Weights:
        """Take the weights from a state dict; every name must be known, every shape fit."""
        state = _State(arrays, prefix, xp, dtype)
        inner = state.inner_channels()
        mode, heads = chosen.mode, chosen.heads
        chosen.check_heads(inner, guide_channels if mode == "gaussian" else inner)
        g = state.linear("g", inner, channels)
        theta = _Linear(None, None) if mode == "gaussian" else state.linear("theta", inner, guide_channels)
        tied = chosen.tied or mode == "gaussian"
        weight = log_h = None
        if mode == "concatenation":
            weight = state.array("concat_project.conv.weight", (heads, 2 * inner // heads))
        if mode == "euclidean":
            log_h = xp.maximum(state.array("log_h", (heads,)), LEAST_LOG_BANDWIDTH)
        weights = cls(
            theta=theta,
            phi=theta if tied else state.linear("phi", inner, guide_channels),
            g=g,
            conv_out=state.linear("conv_out", channels, inner),
            norm=state.batch_norm(channels),
            concatenation=weight,
            h=None if log_h is None else xp.exp(log_h),
        )
        state.refuse_others(mode)
        return weights

    def similarity(self, chosen: BlockSettings, features: int, xp: Any) -> Similarity:
        """How a head's features are compared; with heads, what a head has of its own is in the features."""
        weight, h = self.concatenation, 1.0
        if weight is not None:
            weight = weight[0] if chosen.heads == 1 else xp.ones_like(weight[0])
        if self.h is not None and chosen.heads == 1:
            h = self.h[0]
        return chosen.similarity(features, weight=weight, h=h)

    def out(self, features: Array) -> Array:
        """W_z and its norm."""
        result = self.conv_out(features)
        return result if self.norm is None else result * self.norm[0] + self.norm[1]


class _State:
    """A state dict whose names are taken one by one."""

    def __init__(self, arrays: dict[str, Array], prefix: str, xp: Any, dtype: Any) -> None:
        self.xp, self.dtype, self.prefix = xp, dtype, prefix
        self.left = plain_names(arrays, prefix)

    def inner_channels(self) -> int:
        weight = self.left.get("g.conv.weight")
        if weight is None:
            names = ", ".join(sorted(self.left)[:4]) or "none"
            raise InvalidValueError(
                f'weights lack "{self.prefix}g.conv.weight" (names: {names}); give prefix'
            )
        return int(weight.shape[0])

    def linear(self, name: str, to: int, channels: int) -> _Linear:
        weight = self._taken(f"{name}.conv.weight", (to, channels))
        has_bias = f"{name}.conv.bias" in self.left
        return _Linear(weight, self._taken(f"{name}.conv.bias", (to,)) if has_bias else None)

    def array(self, name: str, shape: tuple[int, ...]) -> Array:
        return self._taken(name, shape)

    def batch_norm(self, channels: int) -> tuple[Array, Array] | None:
        """Batch normalisation in evaluation, as a factor and a summand."""
        if "conv_out.bn.running_var" not in self.left:
            return None
        parts = ("weight", "bias", "running_mean", "running_var")
        scale, shift, mean, variance = (self._taken(f"conv_out.bn.{p}", (channels,)) for p in parts)
        self.left.pop("conv_out.bn.num_batches_tracked", None)
        factor = scale / self.xp.sqrt(variance + _BATCH_NORM_EPSILON)
        return factor, shift - mean * factor

    def refuse_others(self, mode: str) -> None:
        if self.left:
            raise InvalidValueError(
                f'weights have names that mode="{mode}" with these settings does not: '
                f"{', '.join(sorted(self.left)[:4])}"
            )

    def _taken(self, name: str, shape: tuple[int, ...]) -> Array:
        """An array of this shape, but for axes of length 1 behind it, in the working type."""
        if name not in self.left:
            raise InvalidValueError(f'weights lack "{self.prefix}{name}", which this mode needs')
        array = self.left.pop(name)
        if _without_ones(array.shape) != _without_ones(shape):  # 1 x 1 convolutions have axes of length 1
            raise InvalidValueError(
                f'weight "{self.prefix}{name}" must be {" x ".join(map(str, shape))}, '
                f"got shape {tuple(array.shape)}"
            )
        array = self.xp.asarray(array, dtype=self.dtype).reshape(shape)
        if not bool(self.xp.isfinite(array).all()):
            raise InvalidValueError(f'weight "{self.prefix}{name}" holds values that are not finite')
        return array


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for n in shape if n != 1)
