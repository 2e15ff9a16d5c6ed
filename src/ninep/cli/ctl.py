"""``ctl``: act on a running server."""

from __future__ import annotations

from typing import Final

import click

from ninep.cli import output
from ninep.cli.servers import asking, server_options

EXAMPLES: Final = """\b
Examples:
  ninep ctl kick 3                          end the connection of client 3, as 'ninep status' names it
  ninep ctl lock-break 3 /mail/inbox.lock   take from client 3 its locks on a file
  ninep ctl reload                          read the configuration file again
  ninep ctl upgrade                         start the program anew, without refusing a connection
  ninep ctl drain                           take no new clients, end with the last one
"""


@click.group(epilog=EXAMPLES)
def ctl() -> None:
    """Act on a running 'ninep serve', by its control socket."""


@ctl.command()
@server_options
@click.argument("client")
def kick(path: str | None, pid: int | None, client: str) -> None:
    """End the connection of a client at once.

    What it had open and locked is given up. A Linux mount does not connect again: its processes get
    EIO until it is unmounted.
    """
    with asking(path, pid) as server:
        server.ask("kick", client=client)


@ctl.command("lock-break")
@server_options
@click.argument("client")
@click.argument("file")
def lock_break(path: str | None, pid: int | None, client: str, file: str) -> None:
    """Take from a client all locks that it holds on FILE.

    FILE is the path or the number that 'ninep status' shows. The client is not told: it goes on as if
    it had the lock. When it is gone for good, 'kick' is the better way.
    """
    with asking(path, pid) as server:
        server.ask("lock-break", client=client, path=file)


@ctl.command()
@server_options
def reload(path: str | None, pid: int | None) -> None:
    """Read the configuration file again, as SIGHUP does, and wait for the end of that.

    If anything is wrong nothing has changed: each mistake is a line, and the exit status is 1.
    """
    with asking(path, pid) as server:
        server.ask("reload")


@ctl.command()
@server_options
def upgrade(path: str | None, pid: int | None) -> None:
    """Start the program anew in the place of this server, as SIGUSR2 does.

    The new process has the same command line, reads its configuration file, and gets the sockets that
    are listened at: no connection is refused. Those that there are stay with the old process, which ends
    with the last. If the new one cannot serve nothing has changed, and the exit status is 1 (with
    --workers the server's log alone says that).
    """
    with asking(path, pid) as server:
        server.ask("upgrade")


@ctl.command()
@server_options
def drain(path: str | None, pid: int | None) -> None:
    """Accept nothing more; end with the last client.

    Prints how many clients there still are. Another server can listen at the addresses at once.
    """
    with asking(path, pid) as server:
        output.line(f"clients: {server.ask('drain')['connections']}")
