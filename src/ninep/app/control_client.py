"""Asking a running server: the other end of ``control``. It blocks."""

from __future__ import annotations

import errno
import os
import socket
from types import TracebackType
from typing import Any, Protocol, Self

from ninep.app.control_path import check_owner, server_paths, worker_paths
from ninep.app.control_protocol import LONGEST_REPLY, Table, read_reply, request
from ninep.host.runtime_paths import PIPES
from ninep.host.windows import pipes
from ninep.transport import unix
from ninep.transport.sockets import closed_on_error

TIMEOUT = 10.0
WORKERS_TIMEOUT = 1.0


class Refused(Exception):
    """The server's own words for why it does not do it."""


class Asking:
    """A connection to the control socket of a server. ``OSError`` if no server answers, or one of
    another user. ``worker``: of another worker of this server.
    """

    def __init__(self, path: str, timeout: float = TIMEOUT, *, worker: bool = False) -> None:
        self.path = path
        self._line = _connected(path, timeout, worker=worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, command: str, **fields: Any) -> Table:
        """The reply to a command. ``Refused``, or ``OSError``."""
        self._line.sendall(request(command, fields))
        line = self._line.readline(LONGEST_REPLY)
        try:
            found = read_reply(line)
        except ValueError:
            raise OSError(errno.EPROTO, "the server ended the connection" if not line else "not a reply") from None
        if not found["ok"]:
            raise Refused(str(found.get("error")))
        return found

    def status(self, **fields: Any) -> Table:
        """The whole status: all pages in one."""
        whole = self.ask("status", **fields)
        page = 0
        processes = {one["pid"]: one for one in whole["processes"]}
        more = whole["processes"]
        while any(one["more"] for one in more):
            page += 1
            more = self.ask("status", page=page, **fields)["processes"]
            for one in more:
                if one["pid"] in processes:
                    processes[one["pid"]]["clients"] += one["clients"]
        return whole

    def close(self) -> None:
        """End the connection."""
        self._line.close()


class _Line(Protocol):
    """What lines go through: a unix socket, or a named pipe."""

    def sendall(self, data: bytes) -> None: ...

    def readline(self, limit: int) -> bytes: ...

    def close(self) -> None: ...


class _SocketLine:
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lines = sock.makefile("rb")
        self.sendall = sock.sendall

    def readline(self, limit: int) -> bytes:
        return self._lines.readline(limit)

    def close(self) -> None:
        self._lines.close()
        self._sock.close()


def _connected(path: str, timeout: float, *, worker: bool = False) -> _Line:
    if PIPES:
        return pipes.connect(path, timeout)
    sock = unix.connect(unix.Unix(path), timeout)
    with closed_on_error([sock]):
        check_owner(sock, worker=worker)
    return _SocketLine(sock)


def running() -> dict[int, str]:
    """The control sockets of the servers of this user that are running, by process id. What was
    left by servers that were killed is removed.
    """
    found = {}
    for pid, path in server_paths().items():
        try:
            _connected(path, TIMEOUT).close()
        except ConnectionRefusedError:
            unix.remove_abandoned(path)
        except OSError:
            continue
        else:
            found[pid] = path
    return found


class OthersMetrics:
    """The metrics of the other workers of a server, asked for in a thread of the endpoint.

    One that does not answer in time counts with what it said last: a sum that went down would look
    like a restart.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._last: dict[int, str] = {}

    def __call__(self) -> list[str]:
        """Each as text."""
        places = {pid: place for pid, place in worker_paths(self._path).items() if pid != os.getpid()}
        texts = []
        for pid, place in places.items():
            try:
                with Asking(place, timeout=WORKERS_TIMEOUT, worker=True) as asking:
                    self._last[pid] = asking.ask("metrics", here=True)["text"]
            except ConnectionRefusedError:  # it was killed
                self._last.pop(pid, None)
            except (OSError, Refused):
                pass
            if pid in self._last:
                texts.append(self._last[pid])
        return texts
