"""A socket that is being made is closed if that fails, whatever the reason."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def closed_on_error(sockets: Sequence[socket.socket]) -> Iterator[None]:
    """Close the sockets (those that are in it by then, if it grows meanwhile) when the
    block fails.
    """
    try:
        yield
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
