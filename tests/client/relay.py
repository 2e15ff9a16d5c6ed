"""A relay of TCP between a client and a server, which cuts connections where a test wants it."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.support.client import TIMEOUT

Cut = Callable[[int, bool], int | None]


class Relay:
    """`with Relay(server_port) as relay: client over relay.port`.

    Whole messages pass, and are counted over all connections: `messages`. `cut` is how many pass in
    all before a connection is cut; of the message after these the first `piece` bytes pass. With
    `again` every further connection is cut in the same way, after so many messages of its own. `port`:
    where it listens, any unless given.
    """

    def __init__(
        self, server: int, cut: int | None = None, piece: int = 0, *, again: tuple[int, ...] = (), port: int = 0
    ) -> None:
        self._server = server
        self._cuts = [] if cut is None else [cut, *again]
        self._piece = piece
        self._listening = socket.create_server(("127.0.0.1", port))
        self.port = self._listening.getsockname()[1]
        self.messages = 0
        self.connections = 0
        self.refusing = threading.Event()
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()
        for thread in self._threads:
            thread.join(TIMEOUT)
            assert not thread.is_alive()

    def cut(self) -> None:
        """Cut all that is connected now."""
        with self._lock:
            sockets, self._sockets = self._sockets, []
        for one in sockets:
            with one, suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            if self.refusing.is_set():
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._server))
            with self._lock:
                left = [self._cuts.pop(0)] if self._cuts else [-1]
                self._sockets += [client, server]
                self.connections += 1
            for source, sink in ((client, server), (server, client)):
                thread = threading.Thread(target=self._carry, args=(source, sink, left), daemon=True)
                thread.start()
                self._threads.append(thread)

    def _carry(self, source: socket.socket, sink: socket.socket, left: list[int]) -> None:
        buffer = b""
        with suppress(OSError):
            while data := source.recv(1 << 16):
                buffer += data
                while len(buffer) >= 4 and len(buffer) >= (size := struct.unpack_from("<I", buffer)[0]):
                    frame, buffer = buffer[:size], buffer[size:]
                    with self._lock:
                        if left[0] == 0:
                            sink.sendall(frame[: self._piece])
                            raise ConnectionResetError
                        left[0] -= 1
                        self.messages += 1
                        sink.sendall(frame)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
