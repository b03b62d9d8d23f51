"""`notif-rec completion`: the completion script of a shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from notif_rec.errors import BugError

WHERE = {"bash": "~/.bashrc", "zsh": "~/.zshrc", "fish": "~/.config/fish/completions/notif-rec.fish"}


@click.command("completion")
@click.argument("shell", type=click.Choice(sorted(WHERE)))
def command(shell: str) -> None:
    """Print the completion script of SHELL; add it to the file that the shell reads at its start.

    \b
    bash: notif-rec completion bash >> ~/.bashrc
    zsh:  notif-rec completion zsh >> ~/.zshrc
    fish: notif-rec completion fish > ~/.config/fish/completions/notif-rec.fish
    """
    from notif_rec.cli.main import cli

    kind = get_completion_class(shell)
    if kind is None:
        raise BugError(f"click knows no completion for {shell}", "report this")
    click.echo(kind(cli, {}, "notif-rec", "_NOTIF_REC_COMPLETE").source())
