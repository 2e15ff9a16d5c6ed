"""The control socket of a running server: who may use it, and how requests are answered.

Rules

* A unix socket with mode 0600. The kernel says who is at the other end: the user that the server
  runs as, or root. Other connections are closed and logged. On Windows it is a named pipe, which the
  system opens for no other (``control_pipe``).
* It never keeps the event loop for long: requests are short, replies are bounded or made in pieces
  (``control_commands``), and what is not taken in time is given up.
* With workers the socket that all share is answered by one of them, which asks each of the others on
  its own socket (``control_path``). One that does not answer in time is named in the reply.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final

from ninep.app.control_commands import COMMANDS, Controlled, Failed, checked
from ninep.app.control_path import NONE, check_owner, default_path, path_of_server, worker_path, worker_paths
from ninep.app.control_pipe import at_pipe
from ninep.app.control_protocol import (
    IDLE,
    LONGEST_REPLY,
    LONGEST_REQUEST,
    MAX_CONVERSATIONS,
    REQUEST_TIMEOUT,
    TOO_LONG,
    TOO_MANY,
    BadRequest,
    Table,
    error_reply,
    read_reply,
    read_request,
    reply,
    request,
)
from ninep.host.process_user import own_uid
from ninep.host.runtime_paths import PIPES
from ninep.host.windows.pipes import PipeServer
from ninep.transport import Bound, handed_on, unix
from ninep.transport.peers import unix_peer

log = logging.getLogger("ninep.serve")

REPLY_TIMEOUT: Final = 3.0
"""Seconds for another process to answer."""
HERE: Final = "here"
"""The field of a request that asks one process about itself."""


class Control:
    """Answers requests about a server, on any number of sockets.

    Args:
        controlled: what is asked about.
        path: the socket of the server, beside which those of other processes stand: workers, and what
            served before an upgrade. None: there can be none.
    """

    def __init__(self, controlled: Controlled, path: str | None = None) -> None:
        self._controlled = controlled
        self._path = path
        self._conversations: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self, *sockets: socket.socket) -> AsyncIterator[None]:
        """Answer on sockets that listen already, as long as the ``async with`` lasts."""
        async with AsyncExitStack() as stack:
            for sock in sockets:
                sock.setblocking(False)
                server = await asyncio.start_server(self._converse, sock=sock, limit=LONGEST_REQUEST)
                stack.callback(server.close)
            try:
                yield
            finally:
                for one in tuple(self._conversations):
                    one.cancel()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - this is a coroutine
        refusal = self._refusal(writer)
        self._conversations.add(task)
        try:
            if refusal:
                writer.write(error_reply(refusal))
            while not refusal:
                line = await asyncio.wait_for(reader.readline(), IDLE)
                if not line.endswith(b"\n"):
                    break
                writer.write(await self.answer(line))
                await asyncio.wait_for(writer.drain(), REQUEST_TIMEOUT)
        except ValueError:  # a line beyond the limit
            writer.write(error_reply(TOO_LONG))
        except (OSError, TimeoutError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            self._conversations.discard(task)
            with suppress(OSError):
                writer.close()

    def _refusal(self, writer: asyncio.StreamWriter) -> str:
        """Why the peer is not answered; empty if it is."""
        peer = unix_peer(writer.get_extra_info("socket"))
        if peer.uid not in {0, own_uid()}:
            log.warning("closing the control connection of %s: not the server's user", peer)
            return "only the server's user and root may ask"
        return "" if len(self._conversations) < MAX_CONVERSATIONS else TOO_MANY

    async def answer(self, line: bytes) -> bytes:
        """The reply to one request, whatever it is."""
        try:
            name, fields = read_request(line)
            here = bool(fields.pop(HERE, False))
            command = COMMANDS.get(name)
            if command is None:
                raise BadRequest(f"there is no command {name!r}: {', '.join(COMMANDS)}")  # noqa: TRY301
            given = checked(command, fields)
            found = await command.run(self._controlled, **given)
            if self._path is None or here or not command.everywhere:
                return reply(found if here else command.together([found], []))
            others, silent = await self._ask_others(self._path, name, fields)
            return reply(command.together([found, *others], silent))
        except (BadRequest, Failed) as error:
            return error_reply(str(error))
        except Exception:
            log.exception("a control request failed")
            return error_reply("the server failed to answer; its log says why")

    async def _ask_others(self, path: str, name: str, fields: Mapping[str, Any]) -> tuple[list[Table], list[int]]:
        """What the other workers say, and the process ids of those that say nothing."""
        places = {pid: place for pid, place in worker_paths(path).items() if pid != os.getpid()}
        line = request(name, {**fields, HERE: True})
        answers = await asyncio.gather(*(_ask(place, line) for place in places.values()))
        found = [answer for answer in answers if answer]
        return found, [pid for pid, answer in zip(places, answers, strict=True) if answer is None]


async def _ask(place: str, line: bytes) -> Table | None:
    """One worker's answer; an empty one if it is gone; None if it gives none in time."""
    try:
        async with asyncio.timeout(REPLY_TIMEOUT):
            reader, writer = await _open(place)
            try:
                writer.write(line)
                found = read_reply(await reader.readline())
            finally:
                writer.close()
    except (ConnectionRefusedError, FileNotFoundError):
        unix.remove_abandoned(place)  # left by a worker that was killed
        return {}
    except PermissionError as error:
        log.warning("%s is no worker of this server: %s", place, error.strerror)
        return {}
    except (OSError, ValueError):  # TimeoutError among them
        return None
    return found if found["ok"] else {}


async def _open(place: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LONGEST_REPLY, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await unix.dial(loop, lambda: protocol, unix.Unix(place))
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    try:
        check_owner(writer.get_extra_info("socket"), worker=True)
    except OSError:
        writer.close()
        raise
    return reader, writer


# -- the sockets of a server that begins ---------------------------------------------------------------------------------------


def control_socket(asked: str | None, *, needed: bool = False) -> Bound | PipeServer | None:
    """The control socket of this server, listening; None if it is to have none, or there is no
    place for it. ``OSError`` if it cannot be where it was asked for. ``needed``: by the workers
    themselves; without a place it is in a folder of its own, whose name no other process knows.
    """
    if asked is not None and asked != NONE:
        return _asked(asked)
    try:
        place = None if asked == NONE else default_path()
        if place is not None:
            return PipeServer(place) if PIPES else _usual(place)
    except OSError as error:
        log.info("there is no control socket: %s", error.strerror or error)
    return _private() if needed else None


def _asked(path: str) -> Bound | PipeServer:
    """At a path that may still be that of the server whose place this one takes, until it serves."""
    if PIPES:
        return PipeServer(path)
    before = handed_on.taken()
    if before is None:
        return unix.bind(unix.Unix(path))
    bound, put = unix.replacing(path)
    bound = _beside(bound, before, path)
    before.on_serving(put)
    return bound


def _usual(path: str) -> Bound:
    bound, before = unix.bind(unix.Unix(path)), handed_on.taken()
    return bound if before is None else _beside(bound, before, path_of_server(path, os.getppid()))


def _beside(bound: Bound, before: handed_on.Taken, old: str) -> Bound:
    """The process before, which ends with its last connection, is asked as another worker is: a second
    name of its socket stands beside this one. ``old``: its path.
    """
    path = path_of(bound)
    names = {worker_path(path, os.getppid()): old}

    def keep() -> None:
        if old != path:
            names.update({worker_path(path, pid): place for pid, place in worker_paths(old).items()})
        for name, place in names.items():
            with suppress(OSError):
                os.link(place, name)

    def close() -> None:
        bound.close()
        for name in names:
            with suppress(OSError):
                os.unlink(name)

    before.on_serving(keep)
    return Bound(bound.address, bound.sockets, close)


def _private() -> Bound:
    folder = tempfile.mkdtemp(prefix="ninep-")
    bound = unix.bind(unix.Unix(f"{folder}/control"))

    def close() -> None:
        bound.close()
        with suppress(OSError):
            os.rmdir(folder)

    return Bound(bound.address, bound.sockets, close)


def path_of(control: Bound) -> str:
    """The path of a control socket."""
    return str(control.address).removeprefix("unix:")


@asynccontextmanager
async def answering(controlled: Controlled, shared: Bound | PipeServer | None) -> AsyncIterator[None]:
    """Answer about a server on its control socket; as one of several workers, on one of its own,
    too.
    """
    if shared is None:
        yield
        return
    if isinstance(shared, PipeServer):
        async with at_pipe(Control(controlled).answer, shared):
            yield
        return
    path = path_of(shared)
    if controlled.workers == 1:
        async with Control(controlled, path).listening(*shared.sockets):
            yield
        return
    own = unix.bind(unix.Unix(worker_path(path, os.getpid())))
    try:
        async with Control(controlled, path).listening(*shared.sockets, *own.sockets):
            yield
    finally:
        own.close()
