"""How long a person waits for ``nlmeans view``: for the first denoised piece, and after a change of strength.

    python -m nlmeans.benchmarks.ours.view [--times 9] [--out benchmarks/results/view.json]

A JPEG of 12 megapixels (the picture of ``nlmeans demo`` enlarged and coloured, noise of 8, quality 92) is
shown in a Chromium that runs already, in a window in which a megapixel of it is seen.  "first" is from the
start of the command until the denoised piece has been painted; "strength" from the movement of the slider
until the piece with the new strength has.  Both are wall times.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from imageio.v3 import imread
from PIL import Image

from ..browser import Browser, browsing
from ..machine import circumstances, machine
from ..scripts import parser_of

SIZE = (4000, 3000)
WINDOW = (1720, 1010)
PROGRAM = (sys.executable, "-c", "import sys; from nlmeans.cli import main; sys.exit(main())")
MOVE = """new Promise((done) => {
    const slider = document.getElementById('strength'), began = performance.now();
    new MutationObserver((_, own) => { own.disconnect(); done(performance.now() - began); })
        .observe(document.body, { attributeFilter: ['data-shown'] });
    slider.value = VALUE;
    slider.dispatchEvent(new Event('input', { bubbles: true }));
})"""


def picture(folder: Path) -> Path:
    """Twelve megapixels as a camera stores them."""
    subprocess.run([*PROGRAM, "demo", str(folder)], check=True, capture_output=True)
    grey = Image.fromarray(imread(folder / "original.png")).resize(SIZE, Image.Resampling.LANCZOS)
    light = np.asarray(grey, np.float32)[..., None] * np.array((1.0, 0.9, 0.75), np.float32)
    noisy = light + np.random.default_rng(0).normal(0, 8, light.shape).astype(np.float32)
    path = folder / "photo.jpg"
    Image.fromarray(np.rint(noisy).clip(0, 255).astype(np.uint8)).save(path, quality=92)
    return path


def measured(browser: Browser, path: Path, changes: int) -> tuple[float, list[float], int]:
    """Seconds to the first piece, milliseconds of each change of strength, and the pixels of the piece."""
    browser.size(*WINDOW)
    browser.go("about:blank")
    began = time.perf_counter()
    command = [*PROGRAM, "view", "--no-browser", "-q", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            browser.go(process.stdout.readline().strip())
            browser.until("document.body?.dataset.shown", 60)
            first = time.perf_counter() - began
            browser.until("!document.getElementById('weights-section').hidden", 60)
            moves = [browser.run(MOVE.replace("VALUE", str(1 + 0.05 * (n + 1)))) for n in range(changes)]
            style = "document.querySelector('#after-layer img:last-child').style"
            pixels = browser.run(f"parseFloat({style}.width) * parseFloat({style}.height)")
        finally:
            process.kill()
    return first, moves, round(pixels)


def main() -> None:
    """Measure, print, and store."""
    parser = parser_of(__doc__)
    parser.add_argument("--times", type=int, default=9)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    at = circumstances()
    with tempfile.TemporaryDirectory() as folder:
        path = picture(Path(folder))
        with browsing(Path(folder) / "profile") as browser:
            measured(browser, path, 1)  # files and codecs are in memory
            runs = [measured(browser, path, 3) for _ in range(options.times)]
    firsts = [run[0] for run in runs]
    moves = [move for run in runs for move in run[1]]
    found: dict[str, Any] = {
        "machine": machine(),
        "circumstances": at,
        "picture": list(SIZE),
        "piece": runs[0][2],
        "first_seconds": {"median": round(float(np.median(firsts)), 2), "all": [round(f, 2) for f in firsts]},
        "strength_ms": {"median": round(float(np.median(moves))), "all": [round(m) for m in moves]},
    }
    text = json.dumps(found, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
