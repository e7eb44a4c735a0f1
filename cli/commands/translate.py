"""``nlmeans translate``: another program's parameters as options of this one."""

from __future__ import annotations

import json

import click

from ..environment import Environment
from ..status import UsageError

TOOLS = ("opencv", "opencv-colored", "skimage", "knlmeanscl", "ffmpeg", "dipy", "itk")
EPILOG = """\b
Examples:
  nlmeans translate --from opencv h=10 searchWindowSize=21
  nlmeans translate --from ffmpeg s=3 p=7 r=15
  nlmeans translate --from skimage h=0.08 sigma=0.1 --full-scale 255
"""


@click.command("translate", epilog=EPILOG, no_args_is_help=True)
@click.argument("parameters", nargs=-1, metavar="NAME=VALUE...")
@click.option("--from", "tool", type=click.Choice(TOOLS), required=True, help="Whose parameters these are.")
@click.option(
    "--full-scale",
    type=float,
    metavar="NUMBER",
    help="The value of white in the picture. Default: 255, for scikit-image 1.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def command(
    environment: Environment,
    parameters: tuple[str, ...],
    tool: str,
    full_scale: float | None,
    as_json: bool,
) -> None:
    """Say which options do what another program's parameters do, how each follows, and what stays different.

    What is left out has the other program's default.
    """
    from nlmeans.compat import translate

    found = translate(tool, full_scale=full_scale, **dict(map(_read, parameters)))
    if as_json:
        facts = {"schema": 1, "settings": found.settings, "formulas": found.formulas, "notes": found.notes}
        print(json.dumps(facts), file=environment.out)
        return
    lines = [f"nlmeans denoise {found.command()} PICTURE", found.call()]
    lines += [f"  {name}: {formula}" for name, formula in found.formulas.items()]
    if tool == "skimage" and full_scale is None:
        lines.append("for values from 0 to 1, as there; for a file of 8 bits add --full-scale 255")
    print("\n".join([*lines, *found.notes]), file=environment.out)


def _read(text: str) -> tuple[str, object]:
    """A name and its value: a number, true or false, or a word."""
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise UsageError(f"{text} is no parameter: give NAME=VALUE as in h=10")
    if value.lower() in ("true", "false"):
        return name, value.lower() == "true"
    for kind in (int, float):
        try:
            return name, kind(value)
        except ValueError:
            continue
    return name, value
