"""One outcome per input, printed as it happens, and the exit code of them all."""

from __future__ import annotations

import json
import shutil
import textwrap
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Literal, get_args

from nlmeans.errors import NLMeansError, NLMeansWarning, Parameter
from nlmeans.parameters import Settings

from .environment import Environment, printable
from .options import MessageOptions
from .status import CommandError, ExitStatus, status_of

SCHEMA = 1  #: version of the JSON lines; raised when a field changes its meaning

OPTIONS = {
    *Settings.__annotations__,
    "backend",
    "workers",
    "memory_limit",
    "at",
    "share",
    "batch_axis",
}  # parameters that are options too
_SPELLED = {"batch_axis": "axis"}  # otherwise

State = Literal["written", "measured", "planned", "skipped", "failed"]


@dataclass
class Outcome:
    """What became of one input."""

    input: str
    state: State
    output: str | None = None
    code: ExitStatus = ExitStatus.DONE
    message: str = ""
    warnings: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """The outcome as one line of JSON."""
        fields = {
            "schema": SCHEMA,
            "input": self.input,
            "output": self.output,
            "status": self.state,
            "code": int(self.code),
            "message": self.message,
            "warnings": self.warnings,
        }
        return json.dumps(fields | self.details, allow_nan=False)


@dataclass
class Report:
    """Prints outcomes and counts them."""

    environment: Environment
    options: MessageOptions = field(default_factory=MessageOptions)
    outcomes: list[Outcome] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)  # of the columns of facts

    def add(self, outcome: Outcome) -> None:
        """Count an outcome and print it: JSON on standard output, words on standard error."""
        self.outcomes.append(outcome)
        name = printable(outcome.input)
        for warning in outcome.warnings:
            self.warn(f"{name}: {warning}")
        if outcome.state == "failed":
            self._print("error", f"{name}: {outcome.message}")
        elif not self.options.quiet and outcome.message:
            self.tell(self._with_names(outcome))
        if self.options.as_json:
            print(outcome.to_json(), file=self.environment.out, flush=True)

    def failed(self, name: str, error: BaseException, output: str | None = None) -> None:
        """Count an input that failed, unless it is the whole run that was stopped."""
        self.environment.check_stopped()
        if self.options.show_traceback:
            traceback.print_exception(error, file=self.environment.err)
        message = one_line(error)
        self.add(Outcome(name, "failed", output, code=status_of(error), message=message))

    def facts(self, name: str, facts: Sequence[str], *, page: str = "", names: Sequence[str] = ()) -> None:
        """Print what was found of an input on standard output; a person sees columns if `names` are many."""
        label, stream = f"{printable(name)}{page}:", self.environment.out
        parts = [label, *facts]
        if len(names) > 1 and self.environment.is_terminal(stream):
            parts = self._in_columns(parts, max(len(printable(each)) for each in names) + len(f"{page}:"))
        rest = " ".join(parts)[len(label) :].rstrip()
        print(self.environment.styled(label, "name", stream) + rest, file=stream, flush=True)

    def _in_columns(self, parts: list[str], first: int) -> list[str]:
        """As wide as the widest so far; where the terminal is too narrow, the first column only."""
        wanted = [first, *(len(part) for part in parts[1:])]
        widths = [max(pair) for pair in zip_longest(self.widths, wanted, fillvalue=0)]
        padded = [part.ljust(width) for part, width in zip(parts, widths, strict=False)]
        if len(" ".join(padded).rstrip()) > shutil.get_terminal_size().columns:
            return [padded[0], *parts[1:]]
        self.widths = widths
        return padded

    def _with_names(self, outcome: Outcome) -> str:
        """The message, with the names that it begins with made bold."""
        names = [printable(name) for name in (outcome.input, outcome.output) if name]
        for start in (" -> ".join(names), names[-1]):
            if outcome.message.startswith(start):
                bold = self.environment.styled(start, "name", self.environment.err)
                return bold + outcome.message.removeprefix(start)
        return outcome.message

    def sum_up(self, seconds: float) -> None:
        """One line about many inputs: how many of each state, and the time."""
        states = [o.state for o in self.outcomes]
        parts = [f"{states.count(state)} {state}" for state in get_args(State) if state in states]
        self.tell(f"{', '.join(parts)} of {len(states)}, {seconds:.1f} s")

    def warn(self, text: str) -> None:
        """Print a warning, also when quiet."""
        self._print("warning", text)

    def tell(self, text: str) -> None:
        """Print a line on standard error, unless quiet."""
        if not self.options.quiet:
            print(text, file=self.environment.err, flush=True)

    def detail(self, text: str) -> None:
        """Print a line that only --verbose shows."""
        if self.options.verbose:
            self.tell(self.environment.styled(text, "faint", self.environment.err))

    def exit_status(self) -> ExitStatus:
        """0 without failures; the failures' common code where nothing was written; else 1."""
        codes = {o.code for o in self.outcomes if o.state == "failed"}
        if not codes:
            return ExitStatus.DONE
        all_failed = all(o.state == "failed" for o in self.outcomes)
        return codes.pop() if all_failed and len(codes) == 1 else ExitStatus.FAILED

    def _print(self, kind: Literal["error", "warning"], text: str) -> None:
        stream = self.environment.err
        line = f"{kind}: {printable(text)}"  # text of a file may be in it
        if self.environment.is_terminal(stream):
            line = _wrapped(line)
        label = self.environment.styled(kind, kind, stream)
        print(label + line.removeprefix(kind), file=stream, flush=True)


def _wrapped(line: str) -> str:
    """A long line as wide as the terminal, with the lines after the first set in."""
    width = max(40, shutil.get_terminal_size().columns)
    return textwrap.fill(
        line, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )


def one_line(error: BaseException) -> str:
    """An error in one line for people."""
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror + (f": {error.filename!s}" if error.filename else "")
    elif isinstance(error, MemoryError) and not str(error):
        text = "not enough memory; a smaller --memory-limit makes smaller tiles"
    else:
        text = str(error) or type(error).__name__
    if isinstance(error, NLMeansError):
        text = in_options(error) or text
    elif not isinstance(error, CommandError | OSError | MemoryError):
        text = f"unexpected {type(error).__name__}: {text}; please report it with the output of --traceback"
    return printable(" ".join(text.split()))


def in_options(message: NLMeansError | NLMeansWarning) -> str:
    """The library's words with our options in place of its parameters."""
    return message.spelled(_option)


def _option(parameter: Parameter) -> str:
    """``--search-radius``, or with its value ``--nan keep``."""
    name, equals, value = parameter.partition("=")
    if name not in OPTIONS:
        return parameter
    return f"--{_SPELLED.get(name, name).replace('_', '-')}{' ' if equals else ''}" + value.strip('"')


def tell_error(environment: Environment, error: BaseException, *, show_traceback: bool = False) -> None:
    """Print the error that ends the run."""
    if show_traceback:
        traceback.print_exception(error, file=environment.err)
    label = environment.styled("error", "error", environment.err)
    text = one_line(error)
    name = printable(error.input) if isinstance(error, CommandError) else ""
    text = text if not name or name in text else f"{name}: {text}"
    print(f"{label}: {text}", file=environment.err)
