"""What to type where an export can be reached, as its transport says."""

from __future__ import annotations

import socket
from typing import Final

from ninep.transport import Address, transport_of
from ninep.transport.hints import Hint, Mount

WINDOWS: Final = hasattr(socket, "SO_EXCLUSIVEADDRUSE")
"""Winsock's own option: only there are Linux guests of WSL."""


def hints(address: Address, name: str, msize: int, *, windows: bool = WINDOWS) -> list[Hint]:
    """What to type for an export at an address that is listened at; nothing for descriptors, whose
    other end is not known.
    """
    found = transport_of(address).hints
    return [hint for hint in (found(address, Mount(name, msize, windows)) if found else []) if hint.line]
