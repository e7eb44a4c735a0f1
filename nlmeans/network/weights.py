"""The network that comes with the package, or one of the user's own.

Files are safetensors: a length, a JSON header of names, types, shapes and places, then the numbers.  The
package's own is read here, without the library: its hash is known, so that nothing in it can be wrong.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nlmeans.arrays import Array
from nlmeans.errors import BackendUnavailableError, InvalidValueError
from nlmeans.network.arithmetic import Network

SHIPPED = Path(__file__).parent / "denoiser.safetensors"
SHA256 = "d85be728fa89006de3bb585123d1801ab1e3d63022ec973d0b06c6c22c0b4838"
DIFFERENCES = "differences."  # before the names of that network's weights
_TYPES = {"F16": np.float16, "F32": np.float32, "I8": np.int8}


class Networks(NamedTuple):
    """One for grey and for the luminance, one for the differences of colours, guided by the luminance."""

    light: Network
    differences: Network


@cache
def shipped() -> Networks:
    """The package's networks; read once in a process.

    Raises
    ------
    BackendUnavailableError
        Where its file is missing or is another one: the message says what to do.
    """
    try:
        held = SHIPPED.read_bytes()
    except OSError:
        raise BackendUnavailableError(
            f'method="learned" needs {SHIPPED.name}, which comes with the package and is not in '
            f'{SHIPPED.parent}; install nlmeans again, or use method="nlridge"'
        ) from None
    if hashlib.sha256(held).hexdigest() != SHA256:
        raise BackendUnavailableError(
            f"{SHIPPED} is not the file that came with this version of nlmeans; install it again"
        )
    return networks_of(arrays_in(held))


def arrays_in(held: bytes) -> dict[str, Array]:
    """The arrays of a safetensors file that is known to be one; integers are multiples of their scale."""
    start = 8 + int.from_bytes(held[:8], "little")
    header = json.loads(held[8:start])
    header.pop("__metadata__", None)
    arrays = {}
    for name, about in header.items():
        first, last = (start + at for at in about["data_offsets"])
        numbers = np.frombuffer(held[first:last], _TYPES[about["dtype"]])
        arrays[name] = numbers.reshape(about["shape"]).astype(np.float32)
    for name in [name for name in arrays if name.endswith(".scale")]:
        arrays[name.replace(".scale", ".weight")] *= arrays.pop(name)[:, None, None, None]
    return arrays


def networks_of(arrays: dict[str, Array]) -> Networks:
    """Both networks of one file; where the second is missing, the first takes its place."""
    own = {n.removeprefix(DIFFERENCES): a for n, a in arrays.items() if n.startswith(DIFFERENCES)}
    light = network_of({n: a for n, a in arrays.items() if not n.startswith(DIFFERENCES)})
    return Networks(light, network_of(own) if own else light)


def network_of(arrays: dict[str, Array]) -> Network:
    """A network from its weights, whose names and shapes fit each other.

    Raises
    ------
    InvalidValueError
        Naming the first weight that is missing, unknown, or of another shape.
    """
    units = sum(name.endswith(".first.weight") for name in arrays)
    channels = len(arrays.get("head.bias", ()))
    inner = [f"units.{at}.{which}" for at in range(units) for which in ("first", "second")]
    outputs = {"head": (channels, 16), **dict.fromkeys(inner, (channels, channels)), "tail": (4, channels)}
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, (out, into) in outputs.items():
        shapes |= {f"{layer}.weight": (out, into, 3, 3), f"{layer}.bias": (out,)}
    differing = sorted(set(shapes) ^ set(arrays))
    wrong = [n for n, shape in shapes.items() if n in arrays and arrays[n].shape != shape]
    if differing or wrong or not channels:
        name = (differing + wrong + ["head.bias"])[0]
        came = f"has shape {arrays[name].shape}" if name in arrays else "is missing"
        raise InvalidValueError(f'no weights of the denoising network: "{name}" {came}')
    return Network(arrays)
