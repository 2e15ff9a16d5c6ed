"""Readiness notification to a script that reads a descriptor."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from ninep.transport import Address


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
