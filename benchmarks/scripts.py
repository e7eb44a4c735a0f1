"""What programs that answer one question share: options explained by their own text, a result as JSON."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def parser_of(text: str | None) -> argparse.ArgumentParser:
    """With the text of the program, as it stands."""
    return argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)


def write_json(path: Path, result: Any) -> None:
    """As JSON that people can read."""
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
