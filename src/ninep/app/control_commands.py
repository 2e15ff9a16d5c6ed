"""What can be asked of a control socket: a row each.

A command runs in the event loop of every process that serves (or of the one that was asked), and
gives a table; those of all processes are put together in the process that was asked.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from typing import Any, Final, NamedTuple

from ninep.app.control_protocol import BadRequest, Table
from ninep.linux import LOCK_UNLCK
from ninep.node import WouldBlock
from ninep.server import status as states
from ninep.server.lock_ranges import END, Range
from ninep.server.server import Server

PAGE: Final = 500
"""Clients of one reply, of each process."""
AT_ONCE: Final = 32
"""Clients that are looked at before others of the event loop have a turn: 1 ms."""
LOCKS: Final = 500
MAX_FILES: Final = 100
_NO_LIMIT: Final = 1 << 62
_NUMBER: Final = re.compile(r"[0-9]{1,18}")


class Failed(Exception):
    """What was asked for cannot be done; the text says why."""


@dataclass(kw_only=True)
class Controlled:
    """What the commands act on."""

    server: Server
    drain: Callable[[], None]
    """Accept nothing more, and end with the last connection."""
    upgrade: Callable[[], Awaitable[str]]
    """Put another process in the place of this one: why it does not serve, or nothing."""
    reload: Callable[[], Awaitable[str]] | None = None
    """Read the configuration again: what is wrong with it, or nothing. None: there is none to read."""
    metrics: Callable[[], str] | None = None
    """Those of this process, as text; called in a thread."""
    pid: int = field(default_factory=os.getpid)
    """Of the whole server: the parent of workers."""
    workers: int = 1
    started: float = field(default_factory=time.time)
    left: bool = False
    """Another process serves, and is asked about this one, too."""

    @property
    def one_of_several(self) -> bool:
        """Clients have the process id in their names."""
        return self.workers > 1 or self.left

    def leave(self) -> None:
        """Another process serves now."""
        self.left = True


Run = Callable[..., Awaitable[Table]]
Together = Callable[[Sequence[Table], Sequence[int]], Table]


class Command(NamedTuple):
    """A row of ``COMMANDS``."""

    run: Run
    fields: Mapping[str, type]
    """Of a request, beside the version and the command."""
    together: Together
    """One reply of those of all processes, and of the ids of processes that gave none."""
    everywhere: bool = True
    """All processes are asked."""
    required: frozenset[str] = frozenset()


def checked(command: Command, fields: Mapping[str, Any]) -> Table:
    """The fields of a request. ``BadRequest``."""
    for name, value in fields.items():
        kind = command.fields.get(name)
        if kind is None:
            raise BadRequest(f"there is no field {name!r}: {', '.join(command.fields) or 'this command has none'}")
        if type(value) is not kind:
            raise BadRequest(f"{name} is {'a number' if kind is int else 'text'}")
        if isinstance(value, int) and not 0 <= value < 1 << 31:
            raise BadRequest(f"{name}={value} is out of range")
    missing = command.required - fields.keys()
    if missing:
        raise BadRequest(f"{', '.join(sorted(missing))} is missing")
    return dict(fields)


# -- status ------------------------------------------------------------------------------------------------------------------


async def status(controlled: Controlled, page: int = 0, files: int = 0, locks: int = LOCKS) -> Table:
    """The process, a page of its clients, and the first of their locks."""
    server = controlled.server
    server.traffic.request()
    found, more = states.clients(server, page, PAGE)
    shown = []
    for at, (connection, arrival) in enumerate(found):
        one = states.client_status(server, connection, arrival, min(files, MAX_FILES))
        shown.append({"id": _id(controlled, arrival.number), **one})
        if at % AT_ONCE == AT_ONCE - 1:
            await asyncio.sleep(0)
    held = states.locks(server, min(locks, LOCKS)) if page == 0 else []
    for lock in held:
        lock["client"] = None if lock["client"] is None else _id(controlled, lock["client"])
    draining = server.draining or controlled.left
    return {**states.server_status(server), "draining": draining, "clients": shown, "more": more, "held": held, "monotonic": time.monotonic(),
            "server": {"pid": controlled.pid, "version": _version(), "workers": controlled.workers,
                       "started": controlled.started}}  # fmt: skip


def _all_status(found: Sequence[Table], silent: Sequence[int]) -> Table:
    processes = {
        one["pid"]: {key: value for key, value in one.items() if key not in {"server", "ok", "version"}}
        for one in found
    }
    return {
        "server": found[0]["server"],
        "processes": [processes[pid] for pid in sorted(processes)],
        "unanswered": list(silent),
    }


@cache
def _version() -> str:
    try:
        return version_of("ninep")
    except PackageNotFoundError:  # it runs from its sources
        return ""


def _id(controlled: Controlled, number: int) -> str:
    """The name of a client: a number, with the process id where there are several."""
    return f"{os.getpid()}.{number}" if controlled.one_of_several else str(number)


def _here(controlled: Controlled, client: str) -> int | None:
    """The number of a client of this process; None: it is another's. ``BadRequest``."""
    pid, dot, number = client.rpartition(".")
    if not _NUMBER.fullmatch(number) or (not dot and controlled.one_of_several):
        raise BadRequest(f"{client!r} is not a client as status shows it")
    return int(number) if not dot or pid == str(os.getpid()) else None


# -- acting ------------------------------------------------------------------------------------------------------------------


async def kick(controlled: Controlled, client: str) -> Table:
    """End a client's connection."""
    number = _here(controlled, client)
    return {"done": int(number is not None and controlled.server.kick(number, "kicked by the control socket"))}


async def lock_break(controlled: Controlled, client: str, path: str) -> Table:
    """Take from a client all locks that it has on a file. It is not told."""
    number = _here(controlled, client)
    server = controlled.server
    connection = next((one for one, arrival in server.arrivals() if arrival.number == number), None)
    broken = 0
    for export, qid_path, owner in () if connection is None else states.find_locks(server, connection, path):
        given = Range(owner, LOCK_UNLCK, 0, END, None, None)
        try:
            export.locks.unlock(qid_path, given, _NO_LIMIT, wait=False)
        except WouldBlock:
            await asyncio.to_thread(export.locks.unlock, qid_path, given, _NO_LIMIT)
        broken += 1
    return {"done": broken}


def _done(sentence: str) -> Together:
    """Something that one of the processes had to do."""

    def together(found: Sequence[Table], silent: Sequence[int]) -> Table:
        done = sum(one.get("done", 0) for one in found)
        if not done:
            hanging = f"; process {', '.join(map(str, silent))} did not answer" if silent else ""
            raise Failed(sentence + hanging)
        return {"done": done}

    return together


async def drain(controlled: Controlled) -> Table:
    """Accept nothing more, and end with the last connection."""
    controlled.drain()
    return {"connections": controlled.server.connections}


async def reload(controlled: Controlled) -> Table:
    """Read the configuration again."""
    if controlled.reload is None:
        raise Failed("there is no configuration file to read again")
    why = await controlled.reload()
    if why:
        raise Failed(why)
    return {}


async def upgrade(controlled: Controlled) -> Table:
    """Put another process in the place of this one."""
    why = await controlled.upgrade()
    if why:
        raise Failed(why)
    return {}


async def metrics(controlled: Controlled) -> Table:
    """The metrics of one process."""
    if controlled.metrics is None:
        raise Failed("the server was started without --metrics")
    return {"text": await asyncio.to_thread(controlled.metrics)}


def _as_it_is(found: Sequence[Table], _silent: Sequence[int]) -> Table:
    return found[0]


COMMANDS: Final[Mapping[str, Command]] = {
    "status": Command(status, {"page": int, "files": int, "locks": int}, _all_status),
    "kick": Command(kick, {"client": str}, _done("there is no such client"), required=frozenset({"client"})),
    "lock-break": Command(
        lock_break,
        {"client": str, "path": str},
        _done("the client holds no lock on such a file"),
        required=frozenset({"client", "path"}),
    ),
    "drain": Command(drain, {}, _as_it_is, everywhere=False),
    "metrics": Command(metrics, {}, _as_it_is, everywhere=False),
    "reload": Command(reload, {}, _as_it_is, everywhere=False),
    "upgrade": Command(upgrade, {}, _as_it_is, everywhere=False),
}
