"""Chromium without a screen, driven by its debugging pipe: real clicks, keys, wheels and screenshots."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next((found for name in NAMES if (found := shutil.which(name))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
_PATIENCE = 30.0  # seconds for an answer
KEYS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Home": 36, "End": 35, "Tab": 9}


class Browser:
    """One page of a browser of its own."""

    def __init__(self, folder: Path) -> None:
        assert BROWSER is not None
        import fcntl  # not on Windows

        (its_in, self._out), (self._in, its_out) = os.pipe(), os.pipe()
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (its_in, its_out)]  # it reads 3 and writes 4
        arguments = [BROWSER, *FLAGS, f"--user-data-dir={folder}", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec 3<&{high[0]} 4>&{high[1]}; exec "$@"', "bash", *arguments],
            pass_fds=high,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for fd in (its_in, its_out, *high):
            os.close(fd)
        self._count, self._rest, self._session = 0, b"", ""
        self.problems: list[str] = []  # uncaught errors, and what the page's policy forbids
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the debugging protocol, and its answer."""
        self._count += 1
        number = self._count
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            assert select.select([self._in], [], [], _PATIENCE)[0], "the browser does not answer"
            more = os.read(self._in, 1 << 20)
            assert more, "the browser has ended"
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(line)
        parameters = found.get("params", {})
        if found.get("method") == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description", details["text"]))
        entry = parameters["entry"] if found.get("method") == "Log.entryAdded" else {}
        if entry.get("level") == "error" and entry["source"] != "network":  # told by the page
            self.problems.append(entry["text"])
        return found

    # --- what a person does ---

    def go(self, address: str) -> None:
        """Open a page."""
        self.send("Page.navigate", url=address)

    def size(self, width: int, height: int, *, fine: float = 1, mobile: bool = False) -> None:
        """The window."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=fine,
            mobile=mobile,
        )

    def dark(self, on: bool = True) -> None:
        """What the system prefers."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if on else "light"}]
        self.send("Emulation.setEmulatedMedia", features=features)

    def click(self, selector: str) -> None:
        """With the mouse, in the middle of what is there."""
        self.run(f"document.querySelector({selector!r}).scrollIntoView({{block: 'nearest'}})")
        left, top, width, height = self.box(selector)
        self.mouse("mousePressed", left + width / 2, top + height / 2)
        self.mouse("mouseReleased", left + width / 2, top + height / 2)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """One event of the mouse."""
        pressed = {"button": "left", "clickCount": 1, "buttons": 1} if kind != "mouseWheel" else {}
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **{**pressed, **more})

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """With the left button down."""
        self.mouse("mousePressed", *start)
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        self.mouse("mouseMoved", *middle)
        self.mouse("mouseMoved", *end)
        self.mouse("mouseReleased", *end)

    def key(self, key: str) -> None:
        """Press and let go."""
        code = KEYS.get(key, ord(key.upper()[0]))
        more = {"text": key} if len(key) == 1 else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **more)
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def set(self, selector: str, value: Any) -> None:
        """A control, as by hand."""
        self.run(
            f"(() => {{ const c = document.querySelector({selector!r}); c.value = {json.dumps(value)};"
            "c.dispatchEvent(new Event('input', {bubbles: true}));"
            "c.dispatchEvent(new Event('change', {bubbles: true})); })()"
        )

    # --- what a person sees ---

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, script: str, patience: float = 45.0) -> Any:
        """The value of an expression, once it is true."""
        end = time.monotonic() + patience
        while time.monotonic() < end:
            if value := self.run(script):
                return value
            time.sleep(0.02)
        raise AssertionError(f"never true: {script}; {self.run('document.body.innerText')[:2000]}")

    def comes(self, script: str, patience: float) -> bool:
        """Whether an expression becomes true in time."""
        end = time.monotonic() + patience
        while not (found := bool(self.run(script))) and time.monotonic() < end:
            time.sleep(0.02)
        return found

    def box(self, selector: str) -> list[float]:
        """Left, top, width and height."""
        found: list[float] = self.run(
            f"(() => {{ const b = document.querySelector({selector!r}).getBoundingClientRect();"
            "return [b.left, b.top, b.width, b.height]; })()"
        )
        return found

    def text(self, selector: str) -> str:
        """What an element says."""
        return str(self.run(f"document.querySelector({selector!r}).textContent"))

    def shot(self, *, whole: bool = False) -> bytes:
        """A screenshot as PNG."""
        return base64.b64decode(self.send("Page.captureScreenshot", captureBeyondViewport=whole)["data"])

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(Exception):
            self._session = ""
            self.send("Browser.close")
        for pipe in (self._out, self._in):
            os.close(pipe)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def browsing(folder: Path) -> Iterator[Browser]:
    """A browser that is closed at the end."""
    browser = Browser(folder)
    try:
        yield browser
    finally:
        browser.close()
