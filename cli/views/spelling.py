"""The command line that does what the page shows."""

from __future__ import annotations

import shlex
from typing import Any

from ..environment import printable
from ..options import FilterOptions, Levels
from .words import noise_option

_SAID_BY_DEFAULT = {"nan": "raise"}
_FLAGS = ("convert",)
_FILES = ("sigma_map", "guide", "mask")


def spelled(name: str, options: FilterOptions, more: dict[str, Any]) -> str:
    """The words of ``nlmeans denoise`` for a file, quoted for a shell."""
    words = ["nlmeans", "denoise", *spelled_options(options, more)]
    if name.startswith("-"):
        words.append("--")
    return shlex.join([*words, printable(name)])


def spelled_options(options: FilterOptions, more: dict[str, Any]) -> list[str]:
    """The words of the options that were given."""
    given: dict[str, Any] = {
        n: value for n, value in options.settings.items() if value != _SAID_BY_DEFAULT.get(n)
    }
    given |= {n: _levels(v) for n in ("sigma", "guide_sigma") if (v := getattr(options, n)) is not None}
    given |= {
        n: v for n in (*_FILES, "channel_axis", *_FLAGS) if (v := getattr(options, n)) not in (None, False)
    }
    given |= {n: v for n, v in more.items() if v not in (None, False)}
    words = []
    for option, value in given.items():
        words.append("--" + option.replace("_", "-"))
        if value is not True:
            words.append(_word(value))
    return words


def _word(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_word, value))
    if isinstance(value, dict):
        return noise_option(value)
    return f"{value:g}" if _plain(value) else str(value)


def _plain(value: Any) -> bool:
    """Whether a number is told without loss in few digits."""
    return isinstance(value, float) and float(f"{value:g}") == value


def _levels(levels: Levels) -> str:
    return ",".join(f"{_word(number)}{'%' * percent}" for number, percent in levels or ())
