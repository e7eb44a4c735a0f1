"""Says what is missing before anything is imported that needs it; the commands are in :mod:`.commands`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from . import needs


def main(words: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    absent = needs.absent(needs.ALWAYS)
    if absent:
        print("\n".join(f"error: {line}" for line in absent), file=sys.stderr)
        return 1
    from .commands import main as run

    return run(words)


if __name__ == "__main__":
    sys.exit(main())
