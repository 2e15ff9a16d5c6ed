"""Standard input and output: ``stdio``, two pipes or one socket (inetd)."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
from dataclasses import dataclass
from typing import ClassVar, Final

from ninep.transport import Address, Listener, TransportType, nothing
from ninep.transport.listeners import accept
from ninep.transport.peers import Peer
from ninep.transport.stream import MakeConnection, PipeProtocol


@dataclass(frozen=True, slots=True)
class Stdio(Address):
    """Standard input and output."""

    transport: ClassVar[str] = "stdio"

    def __str__(self) -> str:
        return "stdio"


class _WritingPipe(asyncio.BaseProtocol):
    """The protocol of the pipe that is written to: passes on what concerns the connection."""

    reader: PipeProtocol | None = None

    def pause_writing(self) -> None:
        if self.reader is not None:
            self.reader.pause_writing()

    def resume_writing(self) -> None:
        if self.reader is not None:
            self.reader.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self.reader is not None:
            self.reader.writing_lost()


async def listen(address: Stdio, make: MakeConnection) -> Listener:
    """Serve the one connection that there is."""
    for number in (0, 1):
        mode = os.fstat(number).st_mode
        # Event loops refuse others too, one of them by abort(3).
        if not stat.S_ISFIFO(mode) and not stat.S_ISSOCK(mode):
            raise OSError(errno.EINVAL, "standard input and output have to be pipes or a socket")
    wire_in, wire_out, same = _take_stdio()
    if same and stat.S_ISSOCK(os.fstat(wire_in).st_mode):  # inetd gives one socket as both
        os.close(wire_out)
        await accept(socket.socket(fileno=wire_in), make)
        return Listener(address, nothing)
    loop = asyncio.get_running_loop()
    writer, protocol = await loop.connect_write_pipe(_WritingPipe, os.fdopen(wire_out, "wb", 0))
    writer.set_write_buffer_limits(high=0)
    pair = protocol.reader = PipeProtocol(make, writer, Peer("stdio"))
    await loop.connect_read_pipe(lambda: pair, os.fdopen(wire_in, "rb", 0))
    return Listener(address, nothing)


def _take_stdio() -> tuple[int, int, bool]:
    """Standard input and output for the wire alone, and whether they are one and the same.

    What else is printed must not come in between the replies: standard output, and standard error
    if it goes the same way (inetd, ``2>&1``), lead nowhere from now on.
    """
    wire_in, wire_out = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2) if os.path.sameopenfile(1, 2) else (0, 1):
        os.dup2(nowhere, number)
    os.close(nowhere)
    return wire_in, wire_out, os.path.sameopenfile(wire_in, wire_out)


TRANSPORT: Final = TransportType(
    form="stdio",
    remote=lambda _: False,
    parse=lambda _: Stdio(),
    listen=listen,
    single=True,
)
