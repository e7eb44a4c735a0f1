"""``nlmeans completion``: the script that teaches a shell our commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from .environment import Environment


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_obj
def command(environment: Environment, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash:  nlmeans completion bash > ~/.local/share/bash-completion/completions/nlmeans
    zsh:   nlmeans completion zsh > a folder of your $fpath, as _nlmeans
    fish:  nlmeans completion fish > ~/.config/fish/completions/nlmeans.fish
    """
    from .main import nlmeans

    chosen = get_completion_class(shell)
    assert chosen is not None
    print(chosen(nlmeans, {}, "nlmeans", "_NLMEANS_COMPLETE").source(), file=environment.out)
