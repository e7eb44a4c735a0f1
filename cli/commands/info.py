"""``nlmeans info``: what can compute here."""

from __future__ import annotations

import json

import click

from ..environment import Environment


@click.command("info", short_help="List what can compute here, and why the rest cannot.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_obj
def command(environment: Environment, as_json: bool) -> None:
    """List what can compute here, best first, and why the rest cannot."""
    import platform

    import nlmeans
    from nlmeans import backends

    found = backends.describe()
    if as_json:
        rows = [{"name": name, "available": reason is None, "reason": reason} for name, reason in found]
        print(
            json.dumps({"schema": 1, "version": nlmeans.__version__, "backends": rows}), file=environment.out
        )
        return
    print(
        f"nlmeans {nlmeans.__version__}, Python {platform.python_version()}, {platform.platform()}",
        file=environment.out,
    )
    width = max((len(name) for name, _ in found), default=0)
    for name, reason in found:
        state = "can run" if reason is None else f"cannot run: {reason}"
        print(f"  {name:<{width}}  {state}", file=environment.out)
