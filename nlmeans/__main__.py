"""``python -m nlmeans``: the command line."""

from __future__ import annotations

import sys

try:
    from nlmeans.cli import main
except ModuleNotFoundError as error:
    if error.name != "nlmeans.cli":
        raise
    sys.exit(f"error: {error}")

if __name__ == "__main__":
    sys.exit(main())
