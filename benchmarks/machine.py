"""The machine that a result comes from, to be stored with it."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def processors() -> int:
    """Those this process may use, which can be fewer than the machine has."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """The processor as the system calls it, and what it has."""
    told = _text("/proc/cpuinfo")
    found = {n: _first(rf"^{n}\s*: (.*)$", told) for n in ("model name", "cpu family", "model", "flags")}
    wide = [f for f in ("avx2", "avx512f") if f in found["flags"].split()]
    memory = int(_first(r"MemTotal:\s+(\d+) kB", _text("/proc/meminfo")) or 0)
    return {
        "cpu": found["model name"] or platform.processor(),
        "cpu_family": found["cpu family"],
        "cpu_model": found["model"],
        "vector_sets": wide,
        "processors": processors(),
        "memory_bytes": memory * 1024,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def circumstances() -> dict[str, Any]:
    """When, and how busy the machine was."""
    return {"time": datetime.now(UTC).isoformat(timespec="seconds"), "load_average": list(os.getloadavg())}


def measured() -> dict[str, Any]:
    """When, where and how busy: what a row keeps that was measured at another time than those around it."""
    return {"cpu": machine()["cpu"], **circumstances()}


def _text(path: str) -> str:
    """Of a file that only Linux has."""
    return Path(path).read_text(encoding="utf-8") if Path(path).exists() else ""


def _first(pattern: str, text: str) -> str:
    match = re.search(pattern, text, re.MULTILINE)
    return match[1] if match else ""
