"""The backends by name, and the choice among them."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from nlmeans.backends.contract import Backend, Request
from nlmeans.errors import BackendUnavailableError, warn
from nlmeans.parameters import one_of

NAMES = ("cuda", "cpu", "reference")  # fastest first


def load(name: str) -> Backend:
    """The backend module of this name, imported on first use."""
    return cast(Backend, import_module(f"nlmeans.backends.{name}"))


def describe(request: Request | None = None) -> list[tuple[str, str | None]]:
    """Each backend, fastest first, with the reason why it cannot run, or None when it can.

    Parameters
    ----------
    request : Request, optional
        What is about to run.  Default: a small grey NumPy image.
    """
    asked = request or Request(array_library="numpy", dtype="float32", pixels=4096, channels=1)
    return [(name, load(name).can_run(asked)) for name in NAMES]


def choose(name: str, request: Request) -> Backend:
    """The backend of this name, or for "auto" the fastest that can run.

    Raises
    ------
    BackendUnavailableError
        When it cannot run: the message has the reason, for "auto" every backend's.
    """
    one_of("backend", name, ("auto", *NAMES))
    if name != "auto":
        reason = load(name).can_run(request)
        if reason is not None:
            raise BackendUnavailableError(f'backend="{name}" cannot run: {reason}')
        return load(name)
    reasons: list[str] = []
    for candidate in NAMES:
        reason = load(candidate).can_run(request)
        if reason is None:
            if candidate == "reference":
                _warn_slow(reasons)
            return load(candidate)
        reasons.append(f"{candidate}: {reason}")
    raise BackendUnavailableError("no backend can run. " + " ".join(reasons))


def _warn_slow(reasons: list[str]) -> None:
    warn(
        "the reference backend is used, about 50 times slower than cpu. " + " ".join(reasons),
        category=RuntimeWarning,
    )
