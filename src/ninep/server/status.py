"""What a server is doing, as numbers, strings and lists of them: for the control socket.

Rules

* Called in the event loop, and bounded: a page of clients, so many locks, so many open files of
  each. No driver is asked for anything.
* What clients say (names of users and files) is text here with bytes that are no UTF-8 as
  surrogates; a program that shows it on a terminal escapes it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from ninep.linux import LOCK_RDLCK
from ninep.server.connection import Connection
from ninep.server.exports import Export
from ninep.server.lock_ranges import END
from ninep.server.server import Server
from ninep.server.traffic import Traffic
from ninep.server.usage import Arrival

Table = dict[str, Any]
NEAR: Final = 0.8
"""The part of a limit from which on it is near."""


def text(name: bytes) -> str:
    """A name as text."""
    return name.decode("utf-8", "surrogateescape")


def server_status(server: Server) -> Table:
    """The server itself: one process of it."""
    return {
        "pid": os.getpid(),
        "connections": server.connections,
        "addresses": [str(address) for address in server.addresses],
        "draining": server.draining,
        "exports": [_export(server, export) for export in server.exports],
        "counters": _counters(server),
        "slow": slow_operations(server),
        "near": near(limits_of(server)),
    }


def _export(server: Server, export: Export) -> Table:
    source = export.driver.source()
    return {
        "name": export.name,
        "source": None if source is None else source.path,
        "owners": None if source is None else export.owners(source),
        "attaches": server.counters.attaches[export.name],
        "locks": len(export.locks),
        "storage": dict(export.driver.storage()),
    }


def _counters(server: Server) -> Table:
    counters = server.counters
    return {
        "connections": counters.connections,
        "refused": server.admission.refused,
        "errors": {code.name: count for code, count in tuple(counters.errors.items())},
        "limits": dict(tuple(counters.limits.items())),
    }


class Use(NamedTuple):
    """A limit, and how much of it is used."""

    limit: str
    used: int
    most: int


def limits_of(server: Server) -> list[Use]:
    """The limits for all connections together."""
    limits, budgets = server.limits, server.budgets
    shared = (
        ("all_fids", limits.all_fids, budgets.fids),
        ("all_open_files", limits.all_open_files, budgets.open_files),
        ("all_directories", limits.all_directories, budgets.directories),
        ("all_xattr_bytes", limits.all_xattr_bytes, budgets.xattr_bytes),
        ("all_bytes_in_flight", limits.all_bytes_in_flight, budgets.bytes_in_flight),
    )
    return [
        Use("connections", server.connections, limits.connections),
        *(Use(name, most - budget.left, most) for name, most, budget in shared),
    ]


def near(uses: Iterable[Use]) -> list[Table]:
    """The limits that are nearly used up."""
    return [use._asdict() for use in uses if use.used >= NEAR * use.most]


def slow_operations(server: Server) -> list[Table]:
    """What took long in worker threads: the last ones that are over, by storage."""
    now = time.monotonic()
    return [
        {"storage": job.storage, "seconds": round(job.seconds, 3), "ago": round(now - job.ended, 1)}
        for job in list(server.slow_jobs)
    ]


def clients(server: Server, page: int, count: int) -> tuple[list[tuple[Connection, Arrival]], bool]:
    """A page of the clients, in the order in which they came; whether there are more."""
    every = sorted(server.arrivals(), key=lambda one: one[1].number)
    return every[page * count : (page + 1) * count], len(every) > (page + 1) * count


def client_status(server: Server, connection: Connection, arrival: Arrival, files: int) -> Table:
    """One client, with at most so many of its open files."""
    peer, held, shown = connection.peer, connection.resources, connection.session_info(files)
    locks = sum(export.locks.of_session(connection.session) for export in server.exports)
    limits, now, doing = server.limits, time.monotonic(), connection.activity
    uses = (
        Use("fids", held.fids, limits.fids),
        Use("open_files", held.open_files, limits.open_files),
        Use("directories", held.open_directories, limits.directories),
        Use("xattr_bytes", held.attribute_bytes, limits.xattr_bytes),
        Use("locks", locks, limits.locks),
        Use("in_flight", connection.in_flight, limits.in_flight),
    )
    return {
        "number": arrival.number,
        "peer": str(peer),
        "peer_uid": peer.uid,
        "peer_cid": peer.cid,
        "since": arrival.time,
        "dialect": shown.dialect,
        "msize": shown.msize,
        "users": [{"export": one.export, "uid": one.uid, "uname": text(one.uname)} for one in shown.users],
        **held._asdict(),
        "locks": locks,
        "requests": doing.requests,
        **_traffic(server.traffic.of(connection)),
        "in_flight": connection.in_flight,
        "in_threads": [{"type": name, "seconds": round(now - began, 3)} for name, began in doing.in_threads if began],
        "paused": doing.paused,
        "slow": connection.slow,
        "near": near(uses),
        "files": [{"path": text(one.path), "export": one.export, "mode": one.mode} for one in shown.open],
    }


def _traffic(traffic: Traffic | None) -> Table:
    return {
        "received": None if traffic is None else traffic.received_bytes,
        "sent": None if traffic is None else traffic.sent_bytes,
    }


def locks(server: Server, most: int) -> list[Table]:
    """The byte ranges that clients hold locked, at most so many of an export."""
    numbers = {connection.session: arrival.number for connection, arrival in server.arrivals()}
    return [one for export in server.exports for one in _locks_of(export, numbers, most)]


def _locks_of(export: Export, numbers: dict[Any, int], most: int) -> Iterator[Table]:
    for path, held in export.locks.held(most):
        node = _node_of(held.fid)
        yield {
            "client": numbers.get(held.owner.session),
            "export": export.name,
            "path": None if node is None else text(node.pathname),
            "qid_path": path,
            "kind": "read" if held.kind == LOCK_RDLCK else "write",
            "start": held.start,
            "end": None if held.end == END else held.end,
            "owner": text(held.owner.client_id),
            "process": held.owner.proc_id,
        }


def _node_of(fid: Any) -> Any:
    """The node of a fid, or of what FUSE has in its place."""
    entry = getattr(fid, "entry", None)
    return getattr(fid if entry is None else entry, "node", None)


def find_locks(server: Server, connection: Connection, path: str) -> Sequence[tuple[Export, int, Any]]:
    """Exports, qid paths and owners of the locks that a client holds on a file."""
    found = {
        (export, qid_path, held.owner): None
        for export in server.exports
        for qid_path, held in export.locks.held(1 << 20)
        if held.owner.session is connection.session
        and path in (f"{qid_path:x}", text(getattr(_node_of(held.fid), "pathname", b"")))
    }
    return list(found)
