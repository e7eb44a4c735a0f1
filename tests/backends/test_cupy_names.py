"""Every name of CuPy that the package uses is there in CuPy 13 and in CuPy 14, with its arguments.

What they have is in ``cupy_names.json``, written by ``cupy_names.py`` where they are installed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from . import cupy_names
from .cupy_names import ONLY_IN, Use, uses

KEPT = json.loads(Path(__file__).with_name("cupy_names.json").read_text())
ARRAY_NAMES = frozenset(name for name in dir(np.ndarray) if name[0] != "_")
USES = uses(ARRAY_NAMES)
#: Methods of our own, though arrays have one of the name.
OURS = {"array.put"}


def missing(use: Use, kept: dict[str, Any], version: str) -> str | None:
    """What is not as the use has it, or None."""
    if use.name in OURS or version.partition(".")[0] != ONLY_IN.get(use.name, version.partition(".")[0]):
        return None
    found = kept["names"].get(use.name)
    if found is None:
        return "nobody looked whether it is there: run tests/backends/cupy_names.py with each CuPy"
    if not found["there"]:
        return "it is not there"
    if use.positional is None or "arguments" not in found:
        return None
    unknown = set(use.keywords) - set(found["arguments"])
    if unknown and not found["more"]:
        return f"it takes no {', '.join(sorted(unknown))}"
    too_many = use.positional > found["positional"] and not found["more"]
    return f"it takes {found['positional']} arguments by place, not {use.positional}" if too_many else None


@pytest.mark.parametrize("version", KEPT)
def test_every_name_and_argument_is_there(version: str) -> None:
    wrong = [
        f"{use.place}: {use.name}: {why}" for use in USES if (why := missing(use, KEPT[version], version))
    ]
    assert not wrong, f"CuPy {version}\n" + "\n".join(wrong)


def test_both_generations_were_looked_at() -> None:
    assert [version.partition(".")[0] for version in KEPT] == ["13", "14"]


def test_nothing_is_kept_that_nobody_uses() -> None:
    names = {use.name for use in USES}
    for kept in KEPT.values():
        assert set(kept["names"]) == names


def test_the_uses_that_matter_are_seen() -> None:
    names = {use.name for use in USES}
    assert {
        "cupy.RawKernel.__call__",
        "cupy.RawKernel.max_dynamic_shared_size_bytes",
        "cupy.RawModule.get_function",
        "cupy.cuda.Device.compute_capability",
        "cupy.cuda.Event.record",
        "cupy.cuda.MemoryPool.free_all_blocks",
        "cupy.cuda.Stream.from_external",
        "cupy.cuda.Stream.wait_event",
        "cupy.cuda.driver.CUDADriverError",
        "cupy.cuda.memory.OutOfMemoryError",
        "cupy.cuda.runtime.CUDARuntimeError.status",
        "cupy.cuda.runtime.cudaDevAttrMaxSharedMemoryPerBlockOptin",
        "cupy.ndarray.get",
        "cupy.ndarray.set",
        "cupyx.empty_pinned",
        "xp.clip",
    } <= names
    launch = next(use for use in USES if use.name == "cupy.RawKernel.__call__")
    assert launch.keywords == ("shared_mem",)
    assert any(use.name == "cupy.ndarray.get" and "blocking" in use.keywords for use in USES)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("cupy.cuda.Device(0).attributes['ComputeCapabilityMajor']", "it is not there"),  # as it once was
        ("cupy.cuda.Device(0).attributes.get('NoSuchKey')", "nobody looked"),
        ("self._cupy.asarray(1, strict=True)", "it takes no strict"),
        ("cupy.get_default_memory_pool().free_bytes(1)", "0 arguments by place, not 1"),
        ("namespace(x).no_such_function(x)", "nobody looked"),
        ("pool = cupy.get_default_memory_pool()\npool.shrink()", "nobody looked"),
        ("stream, _ = cupy.cuda.get_current_stream(), 1\nstream.hurry()", "nobody looked"),
        ("import_module('cupyx').empty_pinned(s, dtype=d, align=64)", "it takes no align"),
    ],
)
def test_a_name_or_argument_that_is_not_there_is_found(line: str, words: str, tmp_path: Path) -> None:
    for room in cupy_names.ROOMS:
        (tmp_path / room).mkdir()
    (tmp_path / "nlmeans" / "new.py").write_text(line)
    found = uses(ARRAY_NAMES, tmp_path)
    (version, kept), *_ = KEPT.items()
    kept = {
        "names": kept["names"] | {"cupy.cuda.runtime.cudaDevAttrComputeCapabilityMajor": {"there": False}}
    }
    assert any(words in str(missing(use, kept, version)) for use in found), found
