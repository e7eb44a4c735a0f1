"""The command line: files, terminals and exit codes around the library, which knows none of them."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; the rest is loaded when it is needed."""
    try:
        from .program import run
    except KeyboardInterrupt:
        return 130  # before there is anything to clean up
    return run(arguments)
