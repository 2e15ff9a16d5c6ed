"""What the files below one export are on, by device (``st_dev``): other filesystems may be mounted
there.

A device is looked at once, when a walk first comes to it, in a thread that may wait. What was found
decides how its files are served:

======  ========================================================================================
slow    FUSE, NFS, SMB, 9P, autofs and so on: every call may wait for a program or a computer, so
        none is made in the event loop (``slow.SlowNode``), there and in all that is below
pseudo  procfs, sysfs and so on: refused with EACCES unless the export serves them; then as slow,
        since reads may wait
ctime   whether ctime moves with each change: what may be kept of its files
        (``security.filesystems``)
======  ========================================================================================

The file system of the export itself is tried besides, if it is slow and clients may write
(``probe``): what was found counts more than its kind.

Device numbers are used again after an unmount, so a record counts as long as the table of mounts
stands still. A node that has a path handle keeps its device.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Generic, TypeVar

from ninep import host
from ninep.drivers.local.host_locks import HostLocks
from ninep.drivers.local.probe import NO, YES, Found
from ninep.drivers.local.whole_listing import WholeListing
from ninep.errors import Refused
from ninep.host import Handle, Listing, Stat, Volume
from ninep.linux import S_ISVTX, Errno
from ninep.node import Node, check_may_wait
from ninep.security.filesystems import CLOSE_TO_OPEN, Filesystems

N = TypeVar("N", bound=Node)
_OTHERS_WRITE = 0o022


class DeviceTable(Generic[N]):
    """The devices of one export. ``fast`` and ``slow``: the classes of nodes; ``locks``: whether the
    host is asked for byte-range locks.
    """

    __slots__ = ("_fast", "_filesystems", "_known", "_me", "_pseudo", "_slow", "_unstable", "found", "locks")

    def __init__(
        self,
        filesystems: Filesystems,
        fast: type[N],
        slow: type[N],
        *,
        pseudo: bool,
        locks: HostLocks | None = None,
    ) -> None:
        self.locks = locks or HostLocks()
        self._unstable: set[int] = set()
        """Devices whose directory cookies lead elsewhere when entries are removed."""
        self.found: dict[int, tuple[Found, ...]] = {}
        """What was found by trying, by device."""
        self._filesystems = filesystems
        self._fast = fast
        self._slow = slow
        self._pseudo = pseudo
        self._known: dict[int, tuple[int, Volume]] = {}
        self._me = os.geteuid() if hasattr(os, "geteuid") else 0

    def register(self, number: int, volume: Volume) -> type[N]:
        """A device that was looked at. The class of its nodes; EACCES if it is not served."""
        self._filesystems.learn(number, volume)
        self._known[number] = (host.mounts.changes, volume)
        if volume.pseudo and not self._pseudo:
            raise Refused(Errno.EACCES, f"{volume.kind} is mounted here, which is not served")
        return self._slow if volume.slow or volume.pseudo else self._fast

    def learn(self, number: int, volume: Volume, found: Sequence[Found]) -> None:
        """What was found by trying on a device counts, whatever its kind says."""
        answers = {one.name: one.answer for one in found}
        self.found[number] = tuple(found)
        self.locks.learn(number, answers.get("locks") != NO)
        if answers.get("directory cookies") == NO:
            self._unstable.add(number)
        asked = self._filesystems.coherence.rule == CLOSE_TO_OPEN
        tells = answers.get("ctime tells")
        ctime = (volume.ctime and tells != NO) or (asked and tells == YES)
        self.register(number, volume._replace(ctime=ctime))

    def listing(self, number: int, listing: Listing) -> Listing:
        """A directory of that device, as it is to be read."""
        return WholeListing(listing) if number in self._unstable else listing

    def nodes(self, number: int, path_handle: Handle) -> type[N]:
        """The class of the nodes of a device, of which ``open_path`` is one. Waits, unless what is
        opened was reached without crossing a mount.
        """
        if not host.SEES_MOUNTS:
            check_may_wait()
        changes, known = self._known.get(number, (-1, None))
        if known is None or changes != host.mounts.changes:
            known = host.volume(path_handle, xattrs=False)
        return self.register(number, known)

    def kind_below(self, parent: N, number: int, path_handle: Handle) -> type[N]:
        """The class of a node on another device than its parent's. All below a slow one is slow:
        that is how it is reached.
        """
        kind = self.nodes(number, path_handle)
        return kind if parent.inline else type(parent)

    def is_private(self, found: Stat) -> bool:
        """Only root and the user of this process can mount anything on it: others need to be its
        owner or to write there (fusermount3(1)).
        """
        mode = found.st_mode
        return found.st_uid in (0, self._me) and (not mode & _OTHERS_WRITE or bool(mode & S_ISVTX))
