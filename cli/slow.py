"""What is said before work that the slow backend does: once in a run, before people wait for it."""

from __future__ import annotations

from .environment import Environment, printable
from .job import Job
from .progress import Progress


def tell_if_slow(environment: Environment, job: Job, progress: Progress) -> None:
    """Three lines on standard error where the slow backend was not asked for: what, why, what to do."""
    from nlmeans import backends

    words = backends.slow_words() if job.options.running.get("backend", "auto") == "auto" else None
    if words is None:
        return
    progress.clear()
    first, *others = map(printable, words.splitlines())
    label = environment.styled("warning", "warning", environment.err)
    print(f"{label}: {first}", *others, sep="\n", file=environment.err, flush=True)
    job.told_slow = True
