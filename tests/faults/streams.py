"""Fake terminals and pipes for the command line."""

from __future__ import annotations

import io
import json
from typing import Any

from nlmeans.cli.environment import Environment
from nlmeans.cli.program import run


class Terminal(io.StringIO):
    """A text stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class BytesTerminal(io.BytesIO):
    """A stream of bytes that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Ran:
    """One run of the command line in this process."""

    def __init__(
        self,
        *arguments: object,
        given: bytes = b"",
        out_terminal: bool = False,
        err_terminal: bool = False,
        **variables: str,
    ) -> None:
        out: io.StringIO = Terminal() if out_terminal else io.StringIO()
        err: io.StringIO = Terminal() if err_terminal else io.StringIO()
        pixels: io.BytesIO = BytesTerminal() if out_terminal else io.BytesIO()
        around = Environment(out, err, io.BufferedReader(io.BytesIO(given)), pixels, variables)
        self.code = int(run([str(a) for a in arguments], around))
        self.out, self.err, self.pixels = out.getvalue(), err.getvalue(), pixels.getvalue()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def warnings(self) -> list[str]:
        """The warnings on standard error."""
        return [line for line in self.err.splitlines() if line.startswith("warning: ")]
