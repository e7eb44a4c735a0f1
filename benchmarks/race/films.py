"""A film against vs-nlm-ispc with frames before and after, at the same radii, taking turns.

    python -m nlmeans.benchmarks.race.films --vapoursynth PYTHON [--size 1280x720] [--frames 20] [--turns 3]

PYTHON is one that has VapourSynth, vapoursynth-nlm-ispc and NumPy (3.12 or later), or several words that
start it.  Both get grey float32 frames of a scene that moves two columns a frame, T = 2, R = 5, r = 3, pixels
averaged, centre weighted as its most similar candidate, one thread.  Processor seconds of all frames are
compared; ours hold the search for motion and cuts too, which the other does not have.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

NOISE = 20 / 255
RADII = {"temporal": 2, "search": 5, "patch": 3}
_SCRIPT = """
import sys, time, numpy as np, vapoursynth as vs
core, frames = vs.core, np.load(sys.argv[1])
core.num_threads = 1
count, height, width = frames.shape
blank = core.std.BlankClip(width=width, height=height, format=vs.GRAYS, length=count)
def filled(n, f):
    frame = f.copy()
    np.copyto(np.asarray(frame[0]), frames[n])
    return frame
clip = core.std.ModifyFrame(blank, blank, filled)
radii = dict(d=%(temporal)d, a=%(search)d, s=%(patch)d)
clip = core.nlm_ispc.NLMeans(clip, h=20.0, channels="Y", wmode=0, wref=1.0, **radii)
began, wall = time.process_time(), time.perf_counter()
for future in [clip.get_frame_async(n) for n in range(count)]:
    future.result()
print(time.perf_counter() - wall, time.process_time() - began)
"""
_OURS = """
import sys, time, numpy as np, nlmeans
frames = list(np.load(sys.argv[1]))
options = dict(temporal_radius=%(temporal)d, search_radius=%(search)d, patch_radius=%(patch)d)
options |= dict(sigma=20 / 255, h=20 / 255, aggregate="pixel", center="max", workers=1, backend="cpu")
list(nlmeans.denoise_frames(frames[:3], **options))
began, wall = time.process_time(), time.perf_counter()
list(nlmeans.denoise_frames(frames, **options))
print(time.perf_counter() - wall, time.process_time() - began)
"""


def film(width: int, height: int, count: int) -> np.ndarray:
    """Discs and stripes that move to the left, with noise: (count, height, width) near [0, 1]."""
    from ..problems import Problem

    clean = Problem("film", (height, width + 2 * count)).clean()
    rng = np.random.default_rng(0)
    frames = [clean[:, 2 * t : 2 * t + width] + rng.normal(0, NOISE, (height, width)) for t in range(count)]
    return np.stack(frames).astype(np.float32)


def spent(words: list[str], script: str, path: Path) -> tuple[float, float]:
    """Wall and processor seconds that a script says it took."""
    done = subprocess.run([*words, "-c", script, str(path)], capture_output=True, text=True, cwd=path.parent)
    if done.returncode:
        raise SystemExit(done.stderr.strip()[-500:])
    wall, cpu = (float(word) for word in done.stdout.split()[-2:])
    return wall, cpu


def main() -> None:
    """Measure, and print a line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vapoursynth", metavar="PYTHON")
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="for the frames; default: a temporary one")
    given = parser.parse_args()
    width, height = (int(n) for n in given.size.split("x"))
    programs = {"nlmeans": ([sys.executable, "-P"], _OURS % RADII)}
    if given.vapoursynth:
        programs["vs-nlm-ispc"] = (shlex.split(given.vapoursynth), _SCRIPT % RADII)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        path = Path(folder) / "film.npy"
        np.save(path, film(width, height, given.frames))
        for _ in range(given.turns):
            for name, (words, script) in programs.items():
                found[name].append(spent(words, script, path))
    row: dict[str, Any] = {"size": given.size, "frames": given.frames, "load": round(os.getloadavg()[0], 1)}
    for name, seconds in found.items():
        row[name] = {
            k: round(statistics.median(s[n] for s in seconds), 3) for n, k in ((0, "wall"), (1, "cpu"))
        }
    if "vs-nlm-ispc" in row:
        row["cpu_ratio"] = round(row["vs-nlm-ispc"]["cpu"] / row["nlmeans"]["cpu"], 2)
    print(json.dumps(row | {"on": time.strftime("%Y-%m-%d")}), flush=True)


if __name__ == "__main__":
    main()
