"""The report page that several files of tests look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from . import files
from .streams import Ran

SHAPE = (60, 90)
NAME = "a <b>&\"'.png"


def page_in(folder: Path) -> Path:
    """The page of a small colour picture with an edge."""
    noise = np.random.default_rng(0).normal(0, 12, (*SHAPE, 3))
    pixels = np.where(np.arange(SHAPE[1])[None, :, None] < 45, 90, 160) + noise
    (folder / NAME).write_bytes(files.png(np.clip(np.rint(pixels), 0, 255).astype("u1")))
    ran = Ran("report", folder / NAME, "-o", folder / "page.html", "--sigma", "12")
    assert ran.code == 0, ran.err
    return folder / "page.html"
