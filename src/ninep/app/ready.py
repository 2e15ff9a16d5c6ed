"""Readiness notification to a script that reads a descriptor."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from ninep.transport import Address

STANDARD: Final = 2
"""The last descriptor of the standard streams."""


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
    with suppress(OSError), os.fdopen(number, "wb", 0, closefd=False) as pipe:
        pipe.write("".join(f"{address}\n" for address in listening).encode(errors="surrogateescape"))
    _let_go(number)


def close_in_worker(number: int | None) -> None:
    """In a worker: the descriptor is the parent's; its reader waits until all have closed it."""
    if number is not None:
        _let_go(number)


def _let_go(number: int) -> None:
    """Close it. One of the standard streams leads nowhere from now on: closed, its number would be that
    of the next socket.
    """
    with suppress(OSError):
        if number > STANDARD:
            os.close(number)
            return
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, number)
        os.close(nowhere)
