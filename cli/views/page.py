"""The page that people look at, put together: the report holds all of its data, `nlmeans view` serves it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from importlib.resources import files
from typing import Any

from ..formats.picture import Array

_SCRIPTS = ("viewer.js", "sections.js", "still.js", "film.js", "live.js", "start.js")


def page_of(data: dict[str, Any]) -> tuple[str, str]:
    """The page whole, and its policy: no script and no style but its own, nothing from anywhere else."""
    room = files(__package__)
    read = {name: room.joinpath(name).read_text(encoding="utf-8") for name in ("page.html", "page.css")}
    script = "\n".join(room.joinpath(name).read_text(encoding="utf-8") for name in _SCRIPTS)
    parts = {
        "POLICY": _policy(read["page.css"], script, live=bool(data.get("live"))),
        "STYLE": read["page.css"],
        "DATA": json.dumps(data, allow_nan=False).replace("<", "\\u003c"),  # safe to stand within HTML
        "SCRIPT": script,
    }
    # in one way through, so that nothing within a part is taken for the place of another
    text = re.sub("@(" + "|".join(parts) + ")@", lambda place: parts[place[1]], read["page.html"])
    return text, parts["POLICY"]


def _policy(style: str, script: str, *, live: bool) -> str:
    hashes = [base64.b64encode(hashlib.sha256(t.encode()).digest()).decode() for t in (style, script)]
    rules = {
        "default-src": "'none'",
        "img-src": "data: blob:" if live else "data:",
        "style-src": f"'sha256-{hashes[0]}'",
        "script-src": f"'sha256-{hashes[1]}'",
        "connect-src": "'self'" if live else "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(" ".join(rule) for rule in rules.items())


def png(page: Array, level: int = 6) -> str:
    """A picture as an address that holds it."""
    import imagecodecs
    import numpy as np

    stored = imagecodecs.png_encode(np.ascontiguousarray(page), level=level)
    return "data:image/png;base64," + base64.b64encode(stored).decode()


def bmp(page: Array) -> bytes:
    """An 8-bit grey or RGB picture as a BMP file: a tenth of the time of PNG."""
    import numpy as np

    height, width = page.shape[:2]
    rows = np.zeros((height, (3 * width + 3) // 4 * 4), np.uint8)
    for n in range(3):  # blue, green, red
        rows[:, n : 3 * width : 3] = page[::-1, :, 2 - n] if page.ndim == 3 else page[::-1]
    start = 54
    header = b"BM" + b"".join(
        int(n).to_bytes(size, "little")
        for n, size in (
            *((start + rows.nbytes, 4), (0, 4), (start, 4), (40, 4), (width, 4), (height, 4)),
            *((1, 2), (24, 2), (0, 4), (rows.nbytes, 4), (0, 4), (0, 4), (0, 4), (0, 4)),
        )
    )
    return header + rows.tobytes()
