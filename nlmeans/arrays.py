"""Which library an array comes from, which of its axes are the grid, and which types are allowed."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

from nlmeans.errors import InvalidTypeError, InvalidValueError, Parameter, shown

Array = Any  #: a NumPy, CuPy or torch array

DTYPES = ("int8", "uint8", "int16", "uint16", "float16", "float32", "float64")
MAX_GRID_AXES = 3


def library(array: object) -> str | None:
    """The name of the array's library, by libraries already imported: none is loaded for this."""
    for name, kind in (("numpy", "ndarray"), ("cupy", "ndarray"), ("torch", "Tensor")):
        module = sys.modules.get(name)
        if module is not None and isinstance(array, getattr(module, kind)):
            return name
    return None


def is_chunked(array: object) -> bool:
    """Whether it is a Dask array; Dask is not loaded for this."""
    module = sys.modules.get("dask.array")
    return module is not None and isinstance(array, module.Array)


def namespace(*arrays: Array) -> Any:
    """The array API namespace that the arrays share."""
    libraries = {library(a) for a in arrays}
    if libraries == {"numpy"}:
        import numpy as np  # NumPy 2 is such a namespace by itself

        return np
    from array_api_compat import array_namespace

    try:
        return array_namespace(*arrays)
    except TypeError as error:
        kinds = ", ".join(sorted({type(a).__name__ for a in arrays}))
        raise InvalidTypeError(f"arrays of one library are needed, got {kinds}: {error}") from None


def dtype_name(array: Array) -> str:
    """The element type without byte order or library: ``uint16``, not ``>u2`` or ``torch.uint16``."""
    name = getattr(array.dtype, "name", None) or str(array.dtype)
    return str(name).removeprefix("torch.")


def check_image(image: Array, name: str = "image") -> None:
    """Refuse what cannot be an image: no array, another element type, no element."""
    if library(image) is None:
        raise InvalidTypeError(
            f"{name} must be a NumPy, CuPy or torch array, got {type(image).__name__}; "
            "convert it, for instance with numpy.asarray"
        )
    if type(image).__name__ == "MaskedArray":
        raise InvalidTypeError(f"{name} must not be a masked array: pass {name}.data and mask=~{name}.mask")
    if dtype_name(image) not in DTYPES:
        raise InvalidTypeError(
            f"{name} must hold one of {', '.join(DTYPES)}, got {dtype_name(image)}; "
            "convert it to the nearest of these"
        )
    if 0 in image.shape:
        raise InvalidValueError(f"{name} must have at least one element, got shape {tuple(image.shape)}")


def as_numpy_or_cupy(array: Array) -> Array:
    """The same memory as a NumPy or CuPy array: torch tensors are taken over without a copy."""
    if library(array) == "numpy":
        return array.view(sys.modules["numpy"].ndarray)  # a matrix keeps two axes whatever is done to it
    if library(array) != "torch":
        return array
    if "strided" not in str(array.layout):
        raise InvalidTypeError(f"tensors must be dense, got layout {array.layout}; use image.to_dense()")
    if array.requires_grad:
        raise InvalidValueError(
            "the filter is not differentiable, got a tensor that requires grad; pass image.detach()"
        )
    if array.device.type == "cpu":
        return array.resolve_neg().numpy()
    if array.device.type != "cuda":
        raise InvalidTypeError(f"tensors must be on cpu or cuda, got {array.device}; use image.cpu()")
    import cupy

    return cupy.from_dlpack(array)


def on_device_of(array: object) -> AbstractContextManager[object]:
    """Work on the array's device and, for torch, on torch's current stream; elsewhere it changes nothing."""
    kind = library(array)
    if kind == "cupy":
        device: AbstractContextManager[object] = array.device  # type: ignore[attr-defined]
        return device
    if kind != "torch" or array.device.type != "cuda":  # type: ignore[attr-defined]
        return nullcontext()
    import cupy
    import torch

    stack = ExitStack()
    stream = torch.cuda.current_stream(array.device)  # type: ignore[attr-defined]
    stack.enter_context(cupy.cuda.Device(stream.device_index))
    stack.enter_context(_as_cupy_stream(cupy, int(stream.cuda_stream)))
    return stack


class _CudaStream:
    """A stream by its address, in the protocol that CUDA's libraries share."""

    def __init__(self, address: int) -> None:
        self._address = address

    def __cuda_stream__(self) -> tuple[int, int]:
        return 0, self._address


def _as_cupy_stream(cupy: Any, address: int) -> Any:
    """Another library's stream; 0 is the default one."""
    if address == 0:
        return cupy.cuda.Stream.null
    if hasattr(cupy.cuda.Stream, "from_external"):
        return cupy.cuda.Stream.from_external(_CudaStream(address))
    return cupy.cuda.ExternalStream(address)  # before CuPy 14


def in_library_of(array: Array, like: Array) -> Array:
    """A NumPy or CuPy result in the library of `like`."""
    if library(like) != "torch":
        return array
    import torch

    return torch.from_dlpack(namespace(array).ascontiguousarray(array))


def to_numpy(array: Array) -> Array:
    """A NumPy or CuPy array in the memory of the processor."""
    return array.get() if library(array) == "cupy" else array


def as_channels(array: Array, channel_axis: int | None) -> Array:
    """A view as (channels, Z, Y, X): the axes that a grid lacks have length 1."""
    axes = list(range(array.ndim))
    if channel_axis is None:
        array, axes = array[None], [0, *(a + 1 for a in axes)]
    else:
        first = axes.pop(channel_axis)
        axes.insert(0, first)
    array = array.transpose(axes)
    missing = 4 - array.ndim
    return array.reshape(array.shape[:1] + (1,) * missing + array.shape[1:])


def grid_axes(image: Array, channel_axis: int | None, name: str = "image") -> tuple[int, ...]:
    """The axes of the grid: all but the channel axis, one to three of them."""
    if channel_axis is not None:
        channel_axis = _axis(channel_axis, image.ndim, name)
    axes = tuple(a for a in range(image.ndim) if a != channel_axis)
    if not 1 <= len(axes) <= MAX_GRID_AXES:
        raise InvalidValueError(
            f"{name} must have 1 to {MAX_GRID_AXES} grid axes besides the channel axis, got {len(axes)} "
            f"(shape {tuple(image.shape)}, ",
            Parameter(f"channel_axis={channel_axis}"),
            "); loop over the others",
        )
    return axes


def _axis(axis: object, ndim: int, name: str) -> int:
    """A channel axis counted from the front, checked."""
    if isinstance(axis, bool) or not hasattr(axis, "__index__") or getattr(axis, "ndim", None):
        raise InvalidTypeError(Parameter("channel_axis"), f" must be an integer or None, got {shown(axis)}")
    try:
        index = axis.__index__()
    except TypeError:
        raise InvalidTypeError(
            Parameter("channel_axis"), f" must be an integer or None, got {shown(axis)}"
        ) from None
    if not -ndim <= index < ndim:
        raise InvalidValueError(
            Parameter("channel_axis"),
            f" must be in [-{ndim}, {ndim - 1}] for {name} of {ndim} axes, got {shown(index)}",
        )
    return int(index % ndim)
