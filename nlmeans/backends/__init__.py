"""The backends by name, and the choice among them."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from nlmeans.backends.contract import Backend, Request
from nlmeans.errors import BackendUnavailableError, SlowBackendWarning, warn
from nlmeans.parameters import one_of

NAMES = ("cuda", "cpu", "reference")  # fastest first
_FASTEST = {"nlridge": ("cpu", "cuda", "reference")}  # on a GPU it is plain array operations, not timed yet
_ORDINARY = Request(array_library="numpy", dtype="float32", pixels=4096, channels=1)


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
    return [(name, load(name).can_run(request or _ORDINARY)) for name in NAMES]


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
    reasons: dict[str, str] = {}
    for candidate in _FASTEST.get(request.method, NAMES):
        reason = load(candidate).can_run(request)
        if reason is None:
            if candidate == "reference":
                reason = reasons["cpu" if request.array_library == "numpy" else "cuda"]
                warn(_slow(reason), category=SlowBackendWarning)
            return load(candidate)
        reasons[candidate] = reason
    named = [f"{name}: {reasons[name]}" for name in NAMES]
    raise BackendUnavailableError("no backend can run. " + " ".join(named))


def slow_words() -> str | None:
    """What to say before NumPy images are filtered slowly by default; None where they are not."""
    reason = load("cpu").can_run(_ORDINARY)
    return None if reason is None or load("cuda").can_run(_ORDINARY) is None else _slow(reason)


def _slow(reason: str) -> str:
    """Three lines: what, why, and what to do; `reason` has the last two with a semicolon between them."""
    why, found, remedy = reason.rpartition("; ")
    lines = ["the slow reference backend computes, about 50 times slower than the compiled one"]
    lines += [f"  why: {why}", f"  what to do: {remedy}"] if found else [f"  why: {reason}"]
    return "\n".join(lines)
