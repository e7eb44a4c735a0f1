"""``nlmeans completion``: the script that teaches a shell our commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from ..environment import Environment


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_obj
def command(environment: Environment, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash:  nlmeans completion bash > ~/.nlmeans-complete.bash
           echo '. ~/.nlmeans-complete.bash' >> ~/.bashrc
    zsh:   the same with zsh and ~/.zshrc
    fish:  nlmeans completion fish > ~/.config/fish/completions/nlmeans.fish
    """
    from ..program import COMPLETION, nlmeans

    chosen = get_completion_class(shell)
    assert chosen is not None
    print(chosen(nlmeans, {}, "nlmeans", COMPLETION).source(), file=environment.out)
