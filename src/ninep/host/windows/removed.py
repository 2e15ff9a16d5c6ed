"""Where removed files wait for their last handle, on volumes without POSIX semantics (FAT, exFAT,
network shares, Windows before 10).

There the name of an open file stays until the last handle is closed: the name cannot be used again
and its directory not be removed, while clients still hold what they removed, and mostly they do. So
what is removed is moved first, into a hidden directory in the export's root, and marked for
deletion there.

All names of this host's own (``OURS`` and what begins with it) are invisible to clients: not
listed, not found, not made.
"""

from __future__ import annotations

import contextlib
import secrets
from typing import Final

from ninep.host._api import Handle
from ninep.host.windows.api import Access, Attribute, Disposition, Info, NtCalls, Options
from ninep.host.windows.open import ITSELF, LOOK, OURS, closing, is_directory
from ninep.host.windows.remove import discard
from ninep.host.windows.rename import Name, give_name
from ninep.host.windows.stat import identity
from ninep.host.windows.status import NtError

_NAME: Final = f"{OURS.decode()}removed"


class RemovedFiles:
    """One for each root, by its volume."""

    def __init__(self, calls: NtCalls) -> None:
        self._calls = calls
        self._roots: dict[int, Handle] = {}

    def opened(self, volume: int, root: Handle) -> None:
        """An export begins."""
        self._roots[volume] = root

    def closed(self, volume: int) -> None:
        """It ends; an empty directory of them goes with it."""
        root = self._roots.pop(volume, None)
        if root is not None:
            with contextlib.suppress(NtError):  # full: a client's file is still open; or there never was one
                opened, _ = self._calls.create(root, _NAME, LOOK | Access.DELETE, ITSELF | Options.DIRECTORY_FILE)
                with closing(self._calls, opened) as yard:
                    discard(self._calls, yard)

    def move_out(self, handle: Handle) -> bool:
        """Move what is open with DELETE access there; False if that cannot be."""
        calls = self._calls
        root = self._roots.get(identity(calls, handle).volume)
        if root is None:
            return False
        try:
            opened, _ = calls.create(
                root,
                _NAME,
                LOOK,
                ITSELF | Options.DIRECTORY_FILE,
                disposition=Disposition.OPEN_IF,
                attributes=Attribute.HIDDEN,
            )
            with closing(calls, opened) as yard:
                if not is_directory(calls, yard):
                    return False
                give_name(calls, handle, Info.RENAME, 0, Name(yard, secrets.token_hex(8)))
        except NtError:
            return False
        return True
