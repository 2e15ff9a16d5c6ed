"""Listening sockets that a server hands on to the program that is started in its place
(``app.upgrade``): they never close, so that no connection is refused meanwhile.

A variable of the environment says which descriptors belong to which address, and which one is a pipe
that waits for ``serves``. It counts for a child of the process that set it, as LISTEN_PID does for
sd_listen_fds(3).
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from ninep.transport import Address

VARIABLE: Final = "NINEP_HANDED_ON"
SERVES: Final = b"serves"
"""What the new program writes to the pipe."""
Sockets = Mapping[str, Sequence[socket.socket]]
_mask: Any = getattr(signal, "pthread_sigmask", None)


def place(address: Address, of: str = "") -> str:
    """What stands for an address from one program to the next. ``of``: for what, if not for clients."""
    return f"{of} {address.place}".lstrip()


# -- handing on -----------------------------------------------------------------------------------------------------------


def environment(sockets: Sockets, pipe: int) -> dict[str, str]:
    """What a child needs in its environment, beside the descriptors."""
    numbers = {name: [sock.fileno() for sock in some] for name, some in sockets.items()}
    return {VARIABLE: json.dumps({"parent": os.getpid(), "pipe": pipe, "sockets": numbers})}


# -- taking ---------------------------------------------------------------------------------------------------------------


class Taken:
    """What this process was handed, once."""

    def __init__(self, sockets: Mapping[str, Sequence[int]], pipe: int) -> None:
        self._sockets = {name: [_own(number) for number in some] for name, some in sockets.items()}
        self._pipe = pipe
        os.set_inheritable(pipe, False)
        self._on_serving: list[Callable[[], None]] = []

    def take(self, name: str) -> list[socket.socket]:
        """The sockets of a place; none if it was not listened at."""
        return self._sockets.pop(name, [])

    def on_serving(self, call: Callable[[], None]) -> None:
        """To be called when this process serves: the one before ends from then on."""
        self._on_serving.append(call)

    def serves(self) -> None:
        """Clients can connect here. What is listened at no more is closed, and its path removed."""
        for call in self._on_serving:
            call()
        for path in self._close_rest():
            with suppress(OSError):
                os.unlink(path)
        with suppress(OSError):  # it is gone, and so is nothing that this process needs
            os.write(self._pipe, SERVES)
        os.close(self._pipe)

    def _close_rest(self) -> list[str]:
        """Close what was not taken: the paths of unix sockets among that."""
        rest = [sock for some in self._sockets.values() for sock in some]
        self._sockets.clear()
        names = [sock.getsockname() for sock in rest]
        for sock in rest:
            sock.close()
        return [name for name in names if isinstance(name, str) and name]

    def close_in_worker(self) -> None:
        """In a fork: what was not taken is the parent's, and so is the pipe, which ends with it."""
        self._close_rest()
        with suppress(OSError):
            os.close(self._pipe)


def _own(number: int) -> socket.socket:
    sock = socket.socket(fileno=number)
    sock.set_inheritable(False)
    return sock


_taken: Taken | None = None


def taken(heard: Iterable[int] = ()) -> Taken | None:
    """What this process was handed; None if it was started in any other way. ``heard``: signals that
    the process before has blocked, and a child with it.
    """
    global _taken  # noqa: PLW0603 - what a process was started with, it has once
    text = os.environ.pop(VARIABLE, "")
    if text:
        found = json.loads(text)
        if found["parent"] == os.getppid():
            _mask(getattr(signal, "SIG_UNBLOCK", 0), set(heard))
            _taken = Taken(found["sockets"], found["pipe"])
    return _taken


def serves() -> None:
    """Clients can connect to this process: one before it need not serve any more."""
    if _taken is not None:
        _taken.serves()


def close_in_worker() -> None:
    """In a fork of a process that was handed something."""
    if _taken is not None:
        _taken.close_in_worker()


def take(address: Address, of: str = "") -> list[socket.socket]:
    """The sockets of an address, if the process before listened there."""
    return [] if _taken is None else _taken.take(place(address, of))
