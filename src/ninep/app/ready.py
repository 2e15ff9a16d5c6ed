"""Readiness notification: to the service manager (sd_notify(3)), or to a script that reads a
descriptor.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import suppress

from ninep.transport import Address


def notify(state: str) -> None:
    """One datagram to ``$NOTIFY_SOCKET``, as sd_notify(3) has it: ``READY=1``, ``STOPPING=1``.
    Nothing if there is none; failures do not matter.
    """
    path = os.environ.get("NOTIFY_SOCKET", "")
    family = getattr(socket, "AF_UNIX", None)
    if family is None or path[:1] not in {"/", "@"}:
        return
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)  # a manager that does not read must not keep the server from serving
        sock.sendto(state.encode(), "\0" + path[1:] if path.startswith("@") else path)


def check(number: int | None) -> None:
    """``OSError`` if the descriptor is not open."""
    if number is not None:
        try:
            os.fstat(number)
        except OSError as error:
            raise OSError(error.errno, f"--ready-fd {number}: {error.strerror}") from error


def write_addresses(number: int | None, listening: Sequence[Address]) -> None:
    """Write a line for each address to a descriptor, and close it. A reader that is gone does not
    matter.
    """
    if number is None:
        return
    with suppress(OSError), os.fdopen(number, "wb", 0) as pipe:
        pipe.write("".join(f"{address}\n" for address in listening).encode(errors="surrogateescape"))


def close_in_worker(number: int | None) -> None:
    """In a worker: the descriptor is the parent's; its reader waits until all have closed it."""
    if number is not None:
        with suppress(OSError):
            os.close(number)
