"""``completion``: what a shell needs to complete commands and options.

The commands, options and choices come from the commands themselves, each time that a key is
pressed: ``main`` answers when the variable that the script sets is there (click's protocol).
"""

from __future__ import annotations

from typing import Final

import click
from click import shell_completion

VARIABLE: Final = "_NINEP_COMPLETE"
SHELLS: Final = ("bash", "zsh", "fish")

EXAMPLES: Final = """\b
Examples:
  ninep completion bash > ~/.local/share/bash-completion/completions/ninep
  ninep completion zsh > ~/.zfunc/_ninep              with 'fpath+=~/.zfunc' before compinit in ~/.zshrc
  ninep completion fish > ~/.config/fish/completions/ninep.fish
"""


@click.command(epilog=EXAMPLES)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> int:
    """Print the script by which a shell completes commands and options of ninep."""
    made = shell_completion.get_completion_class(shell)
    if made is None:
        raise click.ClickException(f"this release of click knows no completion for {shell}")
    complete = made(click.get_current_context().find_root().command, {}, "ninep", VARIABLE)
    # not the class's own source(): that of bash starts a bash to see how old it is
    click.echo(shell_completion.ShellComplete.source(complete))
    return 0
