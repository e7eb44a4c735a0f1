"""From the words on the command line to an exit code: commands loaded when used, signals, last errors."""

from __future__ import annotations

import contextlib
import difflib
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click

from .environment import Environment
from .status import CommandError, ExitStatus, Terminated

COMMANDS = {
    "denoise": "Remove noise from pictures.",
    "demo": "Write a noisy picture to try things with, and what denoise makes of it.",
    "estimate": "Tell how noisy pictures are, and what denoise would do.",
    "compare": "Tell how far a picture is from a clean one.",
    "weights": "Show the weights of one pixel.",
    "attention": "Show what pixels look at, and whether all look at the same.",
    "view": "Tune by eye, on a page in the browser.",
    "report": "Make a page to look at: before and after, what was removed, and why.",
    "bench": "Measure speed and quality on this machine.",
    "info": "List what can compute here, and why the rest cannot.",
    "translate": "Say which options do what another program's parameters do.",
    "completion": "Print the completion script of a shell.",
}
PATIENCE = 2.0  # seconds of cleaning up that a second signal does not disturb
COMPLETION = "_NLMEANS_COMPLETE"  # the variable by which a shell asks for completions
EPILOG = """\b
Examples:
  nlmeans demo                                 writes noisy.png, to try things with
  nlmeans denoise photo.png                    writes photo.denoised.png
  nlmeans denoise --recursive scans -o clean   a folder, into another
  nlmeans estimate photo.png                   how noisy is it?
"""


class Commands(click.Group):
    """A group whose commands live in modules of their own, imported only when used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in COMMANDS if find_spec(f".commands.{name}", __package__)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = import_module(f".commands.{cmd_name}", __package__).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        begun = [known for known in self.list_commands(ctx) if known.startswith(name)]
        if len(begun) == 1:
            return super().resolve_command(ctx, [begun[0], *args[1:]])
        if begun and name not in begun:
            raise click.UsageError(f"{name!r} could be {' or '.join(begun)}", ctx)
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            close = difflib.get_close_matches(name, COMMANDS, n=1)
            if close:
                hint = f"did you mean {close[0]}?"
            elif "." in name or "/" in name:
                hint = f"to denoise a file: nlmeans denoise {name}"
            else:
                hint = f"there are {', '.join(self.list_commands(ctx))}"
            raise click.UsageError(f"there is no command {name!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list from the table, so that help loads no command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name]) for name in self.list_commands(ctx)])


@click.command(cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(None, "-V", "--version", package_name="nlmeans", message="nlmeans %(version)s")
def nlmeans() -> None:
    """Remove noise from pictures by non-local means: every pixel becomes the average of those whose
    surroundings look alike."""


def run(arguments: Sequence[str] | None = None, environment: Environment | None = None) -> int:
    """Run the command line; never raises, never prints a traceback unless asked to."""
    environment = environment or Environment.of_process()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    with (
        _stoppable(environment),
        contextlib.redirect_stdout(environment.out),
        contextlib.redirect_stderr(environment.err),
    ):
        return _guarded(arguments, environment)


def _guarded(arguments: list[str], environment: Environment) -> int:
    """The exit code, whatever happens, also to the streams."""
    try:
        status = _dispatch(arguments, environment)
        environment.check_stopped()
        environment.out.flush()
        return status
    except BrokenPipeError:
        _discard_output(environment)
        return ExitStatus.PIPE_CLOSED
    except OSError as error:  # standard output cannot be written: a full disk, for instance
        _discard_output(environment)
        _print_last(environment, f"error: standard output: {error.strerror}")
        return ExitStatus.FAILED
    except (KeyboardInterrupt, click.Abort):
        _print_last(environment, "interrupted; what was finished is kept, nothing is half-written")
        return ExitStatus.INTERRUPTED
    except Terminated:
        _print_last(environment, "terminated; what was finished is kept, nothing is half-written")
        return ExitStatus.TERMINATED


def _dispatch(arguments: list[str], environment: Environment) -> int:
    from .outcome import tell_error
    from .status import status_of

    wanted = environment.variables.get(COMPLETION)
    if wanted:
        from click.shell_completion import shell_complete

        return shell_complete(nlmeans, {}, "nlmeans", COMPLETION, wanted)
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:2], "--help"]
    show_traceback = "--traceback" in arguments
    environment.no_color = "--no-color" in arguments
    try:
        with nlmeans.make_context("nlmeans", arguments, obj=environment, color=False) as context:
            result = nlmeans.invoke(context)
        return int(result or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        print(short_help(error), file=environment.err)
        return ExitStatus.USAGE
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.UsageError as error:
        text = usage_message(error) + file_hint(error, arguments)
        tell_error(environment, CommandError(text), show_traceback=show_traceback)
        return ExitStatus.USAGE
    except (BrokenPipeError, click.Abort):
        raise
    except Exception as error:
        tell_error(environment, error, show_traceback=show_traceback)
        return status_of(error)


def short_help(error: click.exceptions.NoArgsIsHelpError) -> str:
    """What a command without arguments is answered with: its use and examples, not all of its options."""
    context = error.ctx
    if context is None or isinstance(context.command, click.Group):
        return error.format_message()
    formatter = context.make_formatter()
    context.command.format_usage(context, formatter)
    formatter.write_paragraph()
    with formatter.indentation():
        first = (context.command.help or "").partition("\n\n")[0]
        formatter.write_text(" ".join(first.split()))
    context.command.format_epilog(context, formatter)
    return f"{formatter.getvalue()}\n'{context.command_path} -h' lists the options."


def usage_message(error: click.UsageError) -> str:
    """A wrong option in one line, with where to look."""
    path = error.ctx.command_path if error.ctx else "nlmeans"
    text = error.format_message().rstrip(".").strip()
    return f"{text[:1].lower()}{text[1:]} (see {path} -h)"


def file_hint(error: click.UsageError, arguments: list[str]) -> str:
    """Where an unknown option is the name of a file: how files are named that begin with a dash."""
    from .formats.reading import READ_SUFFIXES

    if not isinstance(error, click.NoSuchOption):
        return ""
    before = arguments[: arguments.index("--")] if "--" in arguments else arguments
    for argument in before:
        known = os.path.splitext(argument)[1].lower() in READ_SUFFIXES
        if argument.startswith(error.option_name) and (known or os.path.isfile(argument)):
            return f"; files whose names begin with a dash come behind --, as in -- {argument}"
    return ""


@contextlib.contextmanager
def _stoppable(environment: Environment) -> Iterator[None]:
    """Ctrl-C and SIGTERM unwind the work, so that nothing half-written stays.

    The first of them starts the cleaning up; a second one that follows at once does not stop it.
    """
    caught = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}
    last = -math.inf

    def stop(number: int, _: Any) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if last - before > PATIENCE:
            again = environment.stopped is not None
            environment.stopped = caught[signal.Signals(number)]
            if again or not environment.deferring:
                environment.check_stopped()

    if threading.current_thread() is not threading.main_thread():
        yield  # signals are handled by the code that runs the main thread
        return
    handlers = {number: signal.getsignal(number) for number in caught}
    for number in caught:
        if handlers[number] is not signal.SIG_IGN:  # nohup, or a shell's background job
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _print_last(environment: Environment, text: str) -> None:
    """Print a last message, if standard error can still be written."""
    with contextlib.suppress(OSError, ValueError):
        print(
            ("\n" if environment.is_terminal(environment.err) else "") + text,
            file=environment.err,
            flush=True,
        )


def _discard_output(environment: Environment) -> None:
    """Point a broken standard output at nothing, so that the interpreter's last flush is silent."""
    if environment.out is sys.__stdout__:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, environment.out.fileno())
        os.close(null)
