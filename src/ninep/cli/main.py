"""The entry point: a table of commands, imported when they are called, and the handling of errors
and exit statuses.

Exit status: 0 success; 1 something failed (each failure is a line on stderr); 2 wrong command line;
130 interrupted; 141 the reader of the output has closed it.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Final

import click

from ninep import __version__
from ninep.cli import output
from ninep.cli.output import OutputGone

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "serve": ("ninep.cli.serve", "Serve folders over 9P."),
    "config": ("ninep.cli.config", "Check and show the configuration file of serve."),
    "status": ("ninep.cli.status", "Show what a running serve is doing."),
    "top": ("ninep.cli.status", "The same, again and again."),
    "ctl": ("ninep.cli.ctl", "Act on a running serve."),
    "service": ("ninep.cli.service", "Run serve as a service of Windows."),
    "tls": ("ninep.cli.tls", "Make certificates for serve and its clients."),
    "probe": ("ninep.cli.probe", "Try what the file system of a folder can do."),
    "trace": ("ninep.cli.trace", "Show the messages of a capture of packets."),
    "ls": ("ninep.cli.listing", "List directories."),
    "tree": ("ninep.cli.listing", "Show what is below a directory as a tree."),
    "cat": ("ninep.cli.transfer", "Write files to standard output."),
    "get": ("ninep.cli.transfer", "Copy files from a server."),
    "put": ("ninep.cli.transfer", "Copy files to a server."),
    "cp": ("ninep.cli.copy", "Copy files on a server, and between servers."),
    "sync": ("ninep.cli.sync", "Make one tree what another is, by size and time."),
    "stat": ("ninep.cli.info", "Show the attributes of files."),
    "df": ("ninep.cli.info", "Show the free space of a filesystem."),
    "xattr": ("ninep.cli.info", "List, show, set or remove extended attributes."),
    "du": ("ninep.cli.usage", "Show how much space files take."),
    "find": ("ninep.cli.find", "List files by name, type, size and time."),
    "edit": ("ninep.cli.edit", "Edit a file in an editor of this host."),
    "touch": ("ninep.cli.touch", "Set times, make files."),
    "mkdir": ("ninep.cli.change", "Make directories."),
    "rm": ("ninep.cli.change", "Remove files and trees."),
    "mv": ("ninep.cli.change", "Move and rename files on a server."),
    "ln": ("ninep.cli.change", "Make links."),
    "chmod": ("ninep.cli.change", "Set permissions."),
    "chown": ("ninep.cli.change", "Set owners and groups."),
    "completion": ("ninep.cli.completion", "Print the completion script of a shell."),
}
"""A command: its module, and its line in ``ninep --help``. Tuples without names, which cost the start
of each command a hundredth less.
"""


class LazyGroup(click.Group):
    """A group that imports a command when it is called; the help of the group comes from the
    table.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """In the order of the table: the most used first."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), cmd_name)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """From the table, without importing the commands."""
        from click.shell_completion import CompletionItem  # noqa: PLC0415 - a shell that completes has it already

        found = [CompletionItem(name, help=line) for name, (_, line) in COMMANDS.items() if name.startswith(incomplete)]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the table, as ``write_dl`` does. Where every line fits, without the wrapping, which is
        2 % of the instructions of ``ninep --help``.
        """
        rows = [(name, line) for name, (_, line) in COMMANDS.items()]
        column = max(len(name) for name, _ in rows) + 2
        with formatter.section("Commands"):
            if max(len(line) for _, line in rows) > formatter.width - column - 2:
                formatter.write_dl(rows)
                return
            indent = " " * formatter.current_indent
            formatter.write("".join(f"{indent}{name:{column}}{line}\n" for name, line in rows))


EXAMPLES: Final = """\b
Examples:
  ninep serve DIR                  serve a folder on 127.0.0.1:5640
  ninep ls -l HOST:5640/dir        list a directory of a server
  ninep get -r HOST:5640/dir .     copy a directory from a server

A file on a server is written HOST:PORT/PATH or unix:SOCKET:/PATH. 'ninep COMMAND --help' has details and examples.
"""


@click.group(cls=LazyGroup, invoke_without_command=True, epilog=EXAMPLES)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def ninep(context: click.Context) -> None:
    """Serve folders over 9P, and use the files of any 9P server."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _name(context: click.Context | None) -> str:
    return context.command_path if context is not None else "ninep"


def _cannot_write(error: OSError) -> int:
    click.echo(f"ninep: cannot write the output: {error.strerror or error}", err=True)
    return 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program. Returns its exit status."""
    output.prepare()
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:2] == ["service", "run"]:
        from ninep.host.windows import service_process  # noqa: PLC0415 - no other command needs it

        service_process.begin()  # before the import of all that a server needs
    if given[:1] != ["serve"]:
        return _main(given)
    from ninep.app import starting  # noqa: PLC0415 - no other command needs it

    starting.begin()  # before the import of all that a server needs
    try:
        return _main(given)
    finally:
        starting.end()


def _main(arguments: Sequence[str]) -> int:
    stdout = sys.stdout
    try:
        status = ninep.main(arguments, prog_name="ninep", standalone_mode=False)
        output.flush()
    except click.UsageError as error:
        name = _name(error.ctx)
        message = " ".join(error.format_message().split()).rstrip(".")
        click.echo(f"{name}: {message} (try '{name} --help')", err=True)
        return 2
    except click.ClickException as error:
        click.echo(f"{_name(getattr(error, 'ctx', None))}: {error.format_message()}", err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except OutputGone as gone:
        output.give_up()
        if gone.closed:
            return 141
        return _cannot_write(gone.cause)
    except SystemExit:
        if sys.stdout is stdout:
            raise
        output.give_up()  # click replaces the stream when a pipe breaks while it writes help
        return 141
    except OSError as error:  # from writing help; commands report their own errors
        if error.errno not in {errno.ENOSPC, errno.EFBIG, errno.EIO}:
            raise
        output.give_up()
        return _cannot_write(error)
    return status if isinstance(status, int) else 0


if __name__ == "__main__":
    sys.exit(main())
