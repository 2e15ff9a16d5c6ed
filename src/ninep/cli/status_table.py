"""The status of a server as lines. Pure: tables in, text out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from ninep.cli.show import human, printable

Table = Mapping[str, Any]
SHOWN_LOCKS: Final = 20
"""Locks and slow operations that are listed for people; ``--json`` has them all."""


class Rates(NamedTuple):
    """What a client does in a second."""

    requests: float
    received: float | None
    sent: float | None


def rates(before: Table, now: Table) -> dict[str, Rates]:
    """By the ids of clients: from two statuses of one server."""
    earlier = {process["pid"]: process for process in before["processes"]}
    found = {}
    for process in now["processes"]:
        old = earlier.get(process["pid"])
        if old is None or process["monotonic"] <= old["monotonic"]:
            continue
        seconds = process["monotonic"] - old["monotonic"]
        known = {client["id"]: client for client in old["clients"]}
        for client in process["clients"]:
            if client["id"] in known:
                old_client = known[client["id"]]
                found[client["id"]] = Rates(
                    (client["requests"] - old_client["requests"]) / seconds,
                    *(_rate(old_client[key], client[key], seconds) for key in ("received", "sent")),
                )
    return found


def _rate(before: int | None, now: int | None, seconds: float) -> float | None:
    return None if before is None or now is None else (now - before) / seconds


# -- lines -------------------------------------------------------------------------------------------------------------------


def lines(status: Table, rate: Mapping[str, Rates], now: float, most: int | None = None) -> Iterator[str]:
    """All of it: the server, exports, clients (at most so many, the busiest first), locks, what is
    slow, limits that are near.
    """
    processes = status["processes"]
    yield from _server(status, now)
    yield ""
    yield from _columns(EXPORTS, _exports(processes))
    yield from _storage(processes)
    clients = [client for process in processes for client in process["clients"]]
    if most is not None:
        clients.sort(key=lambda client: -rate[client["id"]].requests if client["id"] in rate else 0.0)
    yield ""
    yield from _columns(CLIENTS, [_client(client, rate.get(client["id"]), now) for client in clients[:most]])
    yield from _files(clients[:most])
    yield from _locks([lock for process in processes for lock in process["held"]])
    yield from _slow(processes)
    yield from _near(processes)


def _server(status: Table, now: float) -> Iterator[str]:
    server, processes = status["server"], status["processes"]
    clients = sum(process["connections"] for process in processes)
    workers = f", {server['workers']} workers" if server["workers"] > 1 else ""
    leaving = [process for process in processes if process["draining"]]
    draining = ", draining" if len(leaving) == len(processes) else ""
    up = since(now - server["started"])
    yield f"server {server['pid']} (ninep {server['version']}){workers}, up {up}, clients {clients}{draining}"
    for address in dict.fromkeys(address for process in processes for address in process["addresses"]):
        yield f"listening on {printable(address)}"
    for process in leaving if not draining else ():
        yield f"process {process['pid']} served before an upgrade, and ends with its last client: clients {process['connections']}"
    if status["unanswered"]:
        yield f"no answer from process {', '.join(map(str, status['unanswered']))}: something that it waits for hangs"


EXPORTS: Final = ("<EXPORT", "<SOURCE", "<OWNERS", ">ATTACHES", ">LOCKS")
CLIENTS: Final = (
    "<CLIENT", "<PEER", "<USERS", "<DIALECT", ">MSIZE", ">FIDS", ">OPEN", ">LOCKS", ">REQUESTS", ">REQ/S", ">IN/S", ">OUT/S",
    ">CONNECTED", "<STATE",
)  # fmt: skip


def _exports(processes: Sequence[Table]) -> list[tuple[str, ...]]:
    together: dict[str, list[Table]] = {}
    for process in processes:
        for export in process["exports"]:
            together.setdefault(export["name"], []).append(export)
    return [
        (
            printable(name) or "-",
            printable(some[0]["source"] or "-"),
            some[0]["owners"] or "-",
            str(sum(one["attaches"] for one in some)),
            str(sum(one["locks"] for one in some)),
        )
        for name, some in together.items()
    ]


def _storage(processes: Sequence[Table]) -> Iterator[str]:
    """What was found of the storage of each export by trying it; nothing where nothing was tried."""
    shown = {export["name"]: export.get("storage", {}) for process in processes for export in process["exports"]}
    for name, found in shown.items():
        if len(found) > 1:
            words = ", ".join(f"{key} {value}" for key, value in found.items())
            yield f"storage of {printable(name) or '-'}: {printable(words)}"


def _client(client: Table, rate: Rates | None, now: float) -> tuple[str, ...]:
    return (
        client["id"],
        printable(client["peer"]),
        _users(client["users"]) or "-",
        client["dialect"] or "-",
        human(client["msize"]),
        str(client["fids"]),
        str(client["open_files"]),
        str(client["locks"]),
        str(client["requests"]),
        "-" if rate is None else f"{rate.requests:.0f}",
        _bytes(None if rate is None else rate.received),
        _bytes(None if rate is None else rate.sent),
        since(now - client["since"]),
        _state(client),
    )


def _users(users: Sequence[Table]) -> str:
    shown = [f"{printable(user['uname'])}{_uid(user['uid'])}@{printable(user['export'])}" for user in users]
    return ",".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")


def _uid(uid: int | None) -> str:
    return "" if uid is None else f"({uid})"


def _bytes(rate: float | None) -> str:
    return "-" if rate is None else human(int(rate))


def _state(client: Table) -> str:
    words = []
    if client["in_flight"]:
        words.append(f"{client['in_flight']} in flight")
    waits = max((one["seconds"] for one in client["in_threads"]), default=0.0)
    if waits >= 1:
        slowest = max(client["in_threads"], key=lambda one: one["seconds"])
        words.append(f"{slowest['type']} for {waits:.1f} s")
    if client["slow"]:
        words.append("slow storage")
    words += [f"{one['limit']} {one['used']}/{one['most']}" for one in client["near"]]
    return ", ".join(words)


def _files(clients: Iterable[Table]) -> Iterator[str]:
    rows = [
        (client["id"], one["mode"], printable(one["export"]) or "-", printable(one["path"]))
        for client in clients
        for one in client["files"]
    ]
    if rows:
        yield ""
        yield from _columns(("<CLIENT", "<MODE", "<EXPORT", "<OPEN FILE"), rows)


def _locks(held: Sequence[Table]) -> Iterator[str]:
    if not held:
        return
    yield ""
    rows = [
        (
            lock["client"] or "-",
            lock["kind"],
            f"{lock['start']}-{'' if lock['end'] is None else lock['end'] - 1}",
            f"{printable(lock['owner'])}:{lock['process']}",
            printable(lock["export"]) or "-",
            printable(lock["path"] or f"{lock['qid_path']:x}"),
        )
        for lock in held[:SHOWN_LOCKS]
    ]
    yield from _columns(("<CLIENT", "<LOCK", "<BYTES", "<OWNER", "<EXPORT", "<FILE"), rows)
    if len(held) > SHOWN_LOCKS:
        yield f"and {len(held) - SHOWN_LOCKS} more"


def _slow(processes: Sequence[Table]) -> Iterator[str]:
    slow = sorted((one for process in processes for one in process["slow"]), key=lambda one: one["ago"])
    for one in slow[:SHOWN_LOCKS]:
        yield f"slow: {printable(one['storage'])} took {one['seconds']:.1f} s, {since(one['ago'])} ago"


def _near(processes: Sequence[Table]) -> Iterator[str]:
    for process in processes:
        of = f" of process {process['pid']}" if len(processes) > 1 else ""
        for one in process["near"]:
            yield f"limit near: {one['limit']}{of}: {one['used']} of {one['most']}"


def _columns(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table; the first letter of a heading says to which side its column goes."""
    names = [head[1:] for head in heads]
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    for row in (names, *rows):
        cells = (
            f"{cell:>{width}}" if head[0] == ">" else f"{cell:<{width}}"
            for cell, width, head in zip(row, widths, heads, strict=True)
        )
        yield "  ".join(cells).rstrip()


def since(seconds: float) -> str:
    """A length of time in its two largest units: ``12s``, ``3m05s``, ``2h10m``, ``4d03h``."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole // 60 % 60:02}m"
    return f"{whole // 86400}d{whole // 3600 % 24:02}h"


def clock() -> float:
    """Seconds since 1970."""
    return time.time()
