"""A process that has the command line loaded and forks itself for each run, so that runs are quick.

Started as a script; takes one JSON request a line, answers with the child's process id, and with its
wait status when it has ended.  :class:`Zygote` is the side of the tests.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any


class Zygote:
    """The tests' side: starts the process, asks it to run things."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, job: str, folder: Path, *arguments: object, **options: Any) -> int:
        """Begin a run of a function of `faults.jobs` in a folder; returns its process id."""
        request = {"job": job, "folder": str(folder), "arguments": [str(a) for a in arguments], **options}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def wait(self) -> int:
        """The exit code of the run: negative for a signal."""
        assert self._process.stdout is not None
        return os.waitstatus_to_exitcode(int(self._process.stdout.readline()))

    def run(self, job: str, folder: Path, *arguments: object, **options: Any) -> int:
        """Begin a run and wait for its end."""
        self.start(job, folder, *arguments, **options)
        return self.wait()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()


def serve() -> None:
    """The process's side."""
    import imagecodecs  # noqa: F401 - loaded before forking
    import nlmeans.cli.batch
    import tifffile  # noqa: F401
    from PIL import BmpImagePlugin, JpegImagePlugin, WebPImagePlugin  # noqa: F401

    import nlmeans
    from faults import jobs

    nlmeans.denoise  # noqa: B018
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            _child(request, getattr(jobs, request.pop("job")))
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)


def _child(request: dict[str, Any], job: Any) -> None:
    """Run one job with its own streams, and end."""
    code = 70
    try:
        os.chdir(request.pop("folder"))
        streams = request.pop("streams", {})
        for number, name in ((0, "in"), (1, "out"), (2, "err")):
            target = streams.get(name, os.devnull if name == "in" else f"{name}.log")
            if target == "closed":
                os.close(number)
                setattr(sys, f"std{name}", None)
                continue
            flags = os.O_RDONLY if name == "in" else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            descriptor = os.open(target, flags)
            os.dup2(descriptor, number)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        code = int(job(request.pop("arguments"), **request))
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    except BaseException:
        traceback.print_exc()
    os._exit(code)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    serve()
