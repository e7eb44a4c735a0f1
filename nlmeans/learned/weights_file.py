"""The weights of a block on disk: safetensors only, for its reader runs no code and trusts no size."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np

from nlmeans.errors import BackendUnavailableError, InvalidTypeError, InvalidValueError, shown

SETTINGS_KEY = "nlmeans.block"  # of the file's metadata: the block's settings as JSON
_TYPES = {"F16", "F32", "F64", "I64"}  # I64: a count of batches, which is read and not used
Path = str | os.PathLike[str]


def read(path: Path) -> tuple[dict[str, np.ndarray], str | None]:
    """The arrays of a safetensors file by name, and the block settings in it.

    The header is checked against the file's length before any array is made, so that a file cannot
    ask for more memory than it has itself.

    Raises
    ------
    InvalidValueError
        For a pickle, a file that is truncated or contradicts its header, and other types of numbers.
    FileNotFoundError
        Where there is no such file.
    """
    safetensors = _library()
    if os.path.isdir(path):
        raise InvalidValueError(f"{shown(os.fspath(path))} is a folder, not a safetensors file")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            names = list(file.keys())
            kinds = {name: str(file.get_slice(name).get_dtype()) for name in names}
            wrong = [f"{name} of {kind}" for name, kind in kinds.items() if kind not in _TYPES]
            if wrong:
                raise InvalidValueError(
                    f"weights must be float16, float32 or float64, got {', '.join(wrong[:3])}"
                )
            settings = (file.metadata() or {}).get(SETTINGS_KEY)
            return {name: file.get_tensor(name) for name in names}, settings
    except safetensors.SafetensorError as error:
        with open(path, "rb") as file:
            start = file.read(2)
        if start == b"PK" or start[:1] == b"\x80":
            raise InvalidValueError(
                f"{shown(os.fspath(path))} is a pickle, which can run code when it is read; "
                "save the weights with nlmeans.learned.save_weights or safetensors.torch.save_file"
            ) from None
        raise InvalidValueError(
            f"{shown(os.fspath(path))} is no whole safetensors file ({error}); fetch or save it again"
        ) from None


def write(path: Path, arrays: Mapping[str, np.ndarray], settings: str) -> None:
    """Write arrays and block settings as a safetensors file."""
    _library()
    from safetensors.numpy import save

    whole = save({n: np.asarray(a, order="C") for n, a in arrays.items()}, metadata={SETTINGS_KEY: settings})
    target = os.fspath(path)
    temporary = f"{target}.{os.getpid()}.part"  # the old file stays until the new one is whole
    try:
        with open(temporary, "xb") as file:
            file.write(whole)
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def opened(weights: object) -> tuple[dict[str, Any], str | None]:
    """Arrays by name and settings, from a path or from a mapping that has them already."""
    if isinstance(weights, Mapping):
        return dict(weights), None
    if isinstance(weights, str | os.PathLike):
        return read(weights)
    raise InvalidTypeError(
        f"weights must be a path or a mapping of names to arrays, got {type(weights).__name__}"
    )


def _library() -> Any:
    try:
        import safetensors
    except ModuleNotFoundError:
        raise BackendUnavailableError(
            "weights files need safetensors: install it with pip install safetensors"
        ) from None
    return safetensors
