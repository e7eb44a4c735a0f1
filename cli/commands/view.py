"""``nlmeans view``: a page on this machine on which a person tunes by eye."""

from __future__ import annotations

import os
import secrets
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from ..environment import Environment, printable
from ..files import naming
from ..options import (
    MESSAGES,
    OUTPUT,
    FilterOptions,
    OutputOptions,
    SectionedCommand,
    companion_options,
    few_message_options,
    limit_options,
    limits_of,
    option,
    parameter_options,
    picture_options,
    running_options,
)
from ..status import ExitStatus, UsageError

if TYPE_CHECKING:
    from ..formats.limits import Limits
    from ..job import Job
    from ..progress import Progress
    from ..viewer.wish import Wish

EPILOG = """\b
Examples:
  nlmeans view photo.jpg
  nlmeans view *.jpg -o clean       Save writes into a folder
  nlmeans view photo.jpg --no-browser --port 8765
"""


@click.command("view", cls=SectionedCommand, epilog=EPILOG, no_args_is_help=True)
@click.argument("inputs", nargs=-1, required=True, metavar="PICTURE...")
@option(
    OUTPUT,
    "-o",
    "--output",
    metavar="PATH",
    help="Where Save writes, as of denoise: file, folder, or template. Default: NAME.denoised.EXT beside it.",
)
@option(OUTPUT, "--overwrite", is_flag=True, help="Save replaces files that exist.")
@click.option("--page", default=1, type=click.IntRange(1), metavar="N", help="Page of a TIFF file, from 1.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), metavar="N", help="Default: a free one.")
@click.option("--no-browser", is_flag=True, help="Print the page's address, and open no browser.")
@parameter_options
@companion_options
@picture_options
@running_options
@limit_options
@option(MESSAGES, "-q", "--quiet", is_flag=True, help="Say nothing but warnings and errors, and the address.")
@few_message_options
@click.pass_obj
def command(environment: Environment, /, **options: Any) -> int:
    """Tune by eye: a page in the browser with before and after, sliders, and Save.

    The page is served by this program, on this machine only, at an address that nobody can guess; nothing
    comes from anywhere else. What is seen of the picture is denoised first, all of it when asked for. The
    options are where the page begins. It ends with the page, or with Ctrl-C.
    """
    from ..viewer.server import Reply, Server, Site

    names = _checked(options["inputs"], environment)
    limits = limits_of(options)
    server = Server(options["port"], secrets.token_urlsafe(24))
    session = _session(environment, options, names, limits)
    session.open(0)
    text, policy = _page(names, session.job)
    headers = {"Content-Security-Policy": f"{policy}; frame-ancestors 'none'"}
    server.site = Site(
        Reply(text.encode(), "text/html; charset=utf-8", headers=headers),
        session.answers,
        session.state.after,
        lambda: session.work.kind == "save",
    )
    _show(server.guard.address, environment, options)
    try:
        server.serve()
    except KeyboardInterrupt:  # which is how it is ended
        environment.stopped = None
    finally:
        server.stopping = True
        session.work.cancel()
        server.server_close()
        session.work.wait()
    if not options["quiet"]:
        print("the page is closed; nothing runs any more", file=environment.err)
    return ExitStatus.DONE


def _checked(inputs: tuple[str, ...], environment: Environment) -> list[str]:
    """The pictures, once it is sure that they are files of pictures."""
    from ..film.container import is_film

    for name in inputs:
        if name == "-":
            raise UsageError("view reads its pictures again to save them: name files, not standard input")
        if os.path.isdir(name):
            raise UsageError(
                f"{printable(name)} is a folder; name the pictures in it, as in nlmeans view "
                f"{printable(os.path.join(name, '*.jpg'))}"
            )
        if is_film(name, environment.binary_in):
            raise UsageError(
                f"{printable(name)} is a film, which view does not show: nlmeans report {printable(name)} "
                "makes a page of some of its frames"
            )
    return list(inputs)


def _session(environment: Environment, options: dict[str, Any], names: list[str], limits: Limits) -> Any:
    """What the page asks, with the ways to save and to spell what it shows."""
    from ..job import Job
    from ..viewer.session import Session
    from ..views.spelling import spelled

    output = OutputOptions.of(options)
    filter_ = FilterOptions.of(options)
    tasks = {task.input: task for task in naming.plan(names, output.output, recursive=False)}
    job = Job.of(replace(filter_, settings=filter_.settings), limits, environment.binary_in)

    def save(name: str, job: Job, progress: Progress) -> str:
        from ..batch import Batch
        from ..outcome import Report
        from ..viewer.work import silent

        quiet = silent()
        batch = Batch(quiet, limits, [name], output, Report(quiet), job)
        return _said(batch.only(tasks[name], progress))

    def spell(name: str, wish: Wish) -> str:
        more = {"output": output.output, "overwrite": output.overwrite}
        return spelled(name, wish.within(filter_, whole=True), more)

    def target(name: str) -> str:
        task = tasks[name]
        return task.output + (os.path.splitext(name)[1] if task.open_ended else "")

    return Session(names, job, options["page"], limits, save, spell, target)


def _said(outcome: Any) -> str:
    return "; ".join([f"Saved as {printable(outcome.output)}", *outcome.warnings])


def _page(names: list[str], job: Job) -> tuple[str, str]:
    """The page, and its policy."""
    from ..views.page import page_of

    settings = job.options.settings
    strength = settings.get("strength", 1.0)
    light, differences = strength if isinstance(strength, tuple) else (strength, strength)
    given = {
        "method": settings.get("method", "nlmeans"),
        "strength": light,
        "differences": differences,
        "blend": settings.get("blend", 0.0),
    }
    shown = [printable(name) for name in names]
    return page_of({"live": True, "picture": 0, "names": shown, "given": given})


def _show(address: str, environment: Environment, options: dict[str, Any]) -> None:
    """Tell the address, and open it."""
    import webbrowser

    print(address, file=environment.out, flush=True)
    if not options["no_browser"]:
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    if not options["quiet"]:
        print("end with Ctrl-C, or by closing the page", file=environment.err, flush=True)
