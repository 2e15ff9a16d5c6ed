"""Which running server a command is about, and what becomes of a server that does not answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, NoReturn, TypeVar

import click

from ninep.app.control_client import Asking, Refused, running
from ninep.app.control_path import usual_places
from ninep.cli.show import printable

F = TypeVar("F", bound=Callable[..., Any])
_OPTIONS: Final = (
    click.option("--control", "path", metavar="PATH", help="The control socket of the server, if it is not at the usual place."),
    click.option("--pid", type=int, metavar="PID", help="The process id of the server, if several are running."),
)  # fmt: skip


def server_options(function: F) -> F:
    """The options ``--control`` and ``--pid``, for a function that gives them to ``asking``."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@contextmanager
def asking(path: str | None, pid: int | None) -> Iterator[Asking]:
    """A connection to the server that is meant. What goes wrong is a line on stderr and exit
    status 1.
    """
    path = path or _found(pid)
    try:
        with Asking(path) as server:
            yield server
    except Refused as error:
        fail(*str(error).splitlines())
    except OSError as error:
        fail(f"{path}: {error.strerror or error}")


def _found(pid: int | None) -> str:
    servers = running()
    if pid is None and len(servers) > 1:
        servers = _serving(servers)
    if pid is not None:
        if pid not in servers:
            fail(f"no server with process id {pid} answers; there are {_shown(servers) or 'none'}")
        return servers[pid]
    if not servers:
        fail(f"no server of yours is running that has a control socket ({usual_places()}); --control PATH names one")
    if len(servers) > 1:
        fail(f"several servers are running: say which with --pid ({_shown(servers)})")
    return next(iter(servers.values()))


def _serving(servers: dict[int, str]) -> dict[int, str]:
    """Without those that end with their last client, if others serve."""
    return {pid: path for pid, path in servers.items() if not _ends(path)} or servers


def _ends(path: str) -> bool:
    with suppress(Refused, OSError), Asking(path) as server:
        return all(process["draining"] for process in server.ask("status", locks=0)["processes"])
    return False


def _shown(servers: dict[int, str]) -> str:
    return ", ".join(map(str, servers))


def fail(*sentences: str) -> NoReturn:
    """Lines on stderr, and exit status 1."""
    context = click.get_current_context()
    for sentence in sentences:
        click.echo(f"{context.command_path}: {printable(sentence)}", err=True)
    context.exit(1)
