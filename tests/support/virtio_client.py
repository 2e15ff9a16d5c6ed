"""9P over a virtqueue: what ``RawClient`` takes for a socket is a guest's driver and its front end.

with Ring(address) as ring:
    client = ring.client()
    client.rpc(m.Tgetattr(0, GETATTR_BASIC))
"""

from __future__ import annotations

import socket
from typing import Self

from tests.support.client import TIMEOUT, RawClient
from tests.support.vhost_front_end import FrontEnd, Guest

ROOM = 1024
"""Bytes for a reply: with as many for the request, less than ``Driver.AREA``."""
MSIZE = 1024 + 24


def unix(path: str) -> socket.socket:
    """A connected unix socket."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(TIMEOUT)
    sock.connect(path)
    return sock


class Ring:
    """A guest whose driver runs on a vhost-user socket. It has as much of a socket as ``RawClient``
    needs, whose messages are chains.
    """

    def __init__(self, path: str, *, guest: Guest | None = None, start: bool = True, size: int = 8) -> None:
        """``guest``: one that ran with another server before."""
        self.front = FrontEnd(unix(path), guest=guest, size=size)
        self.cancelled = 0
        """How many chains came back with length 0."""
        self.room = ROOM
        self._received = bytearray()
        if start:
            self.front.realize()
            self.config = self.front.config(2)
            self.front.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """The virtual machine is gone."""
        self.front.close()

    def client(self, dialect: bytes = b"9P2000.L", msize: int = MSIZE) -> RawClient:
        """A session in which fid 0 is the root."""
        client = self.raw()
        client.version(dialect, msize)
        client.attach()
        return client

    def raw(self) -> RawClient:
        """A client that has said nothing yet."""
        return RawClient(self)  # type: ignore[arg-type] # as much of a socket as it needs

    # -- as a socket

    def settimeout(self, timeout: float) -> None:
        del timeout

    def gettimeout(self) -> float:
        return TIMEOUT

    def sendall(self, data: bytes) -> None:
        """Each message is a chain."""
        while data:
            size = int.from_bytes(data[:4], "little")
            self.front.offer([data[:size]], [self.room])
            data = data[size:]

    def recv(self, count: int) -> bytes:
        """The replies, one after the other."""
        while not self._received:
            reply = self.front.collect()
            self.cancelled += not reply
            self._received += reply
        data = bytes(self._received[:count])
        del self._received[:count]
        return data
