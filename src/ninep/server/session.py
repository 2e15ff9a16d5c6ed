"""A session: everything between one Tversion and the next (version(5)): the dialect, msize, the
fids, what they may hold.

Handlers get it as their first argument and commit into it. It knows no tag, no frame, no thread and
no transport: when a version is asked for again while requests still run in worker threads, those go
on committing into *their* session, which is closed when the last one has ended.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence

from ninep.errors import Refused
from ninep.linux import Errno
from ninep.node import Node, User, WouldBlock
from ninep.server.budgets import (
    PROMISED_DIRECTORIES,
    PROMISED_FIDS,
    PROMISED_XATTRS,
    Allowance,
    Budgets,
)
from ninep.server.exports import Export, Exports
from ninep.server.fids import Fid
from ninep.server.limits import Limits, OverLimit
from ninep.server.steps import too_late
from ninep.transport.peers import Peer
from ninep.wire.codec import IOHDRSZ
from ninep.wire.dialect import Dialect
from ninep.wire.messages import NOFID

UNKNOWN_PEER = Peer()
FID_COST = 256
"""What a fid with an attribute counts besides the attribute's bytes."""


class Session:
    """What one client has, from version to version."""

    __slots__ = (
        "_fid_allowance",
        "_guard",
        "_iosizes",
        "_listing_allowance",
        "_open_allowance",
        "_remaining",
        "_xattr_allowance",
        "attached",
        "counters",
        "dialect",
        "encoding",
        "exports",
        "fids",
        "idle",
        "inline",
        "limits",
        "listing",
        "msize",
        "opened",
        "peer",
        "slow_driver",
        "threadsafe",
        "visited",
        "xattr_bytes",
    )

    def __init__(
        self,
        exports: Exports,
        limits: Limits,
        dialect: Dialect,
        msize: int,
        peer: Peer = UNKNOWN_PEER,
        budgets: Budgets | None = None,
    ) -> None:
        self.exports = exports
        self.limits = limits
        self.dialect = dialect
        self.encoding = dialect.encoding
        self.msize = msize
        self.peer = peer
        self.fids: dict[int, Fid] = {}
        self.inline = True
        """The attached drivers may be called in the event loop: all say so, and none was found to
        be slow.
        """
        self.slow_driver = False
        """A driver of this session says that it waits."""
        self.threadsafe = True
        """The attached drivers may be called from worker threads, should their storage turn out
        slow.
        """
        self._remaining = 0
        self.visited: set[Export] = set()
        """The exports that were attached."""
        self.attached = False
        """There was a Tattach that succeeded."""
        self.opened: set[Fid] = set()
        """Fids with something open: a set, because worker threads commit at the same time and a
        count would lose some.
        """
        self.idle: set[Fid] = set()
        """Others, with an open file that keeps no handle (``OpenFile.idle``)."""
        self.listing: set[Fid] = set()
        """Those of ``opened`` that are directories."""
        self.xattr_bytes = 0
        self._guard = threading.Lock()
        self._iosizes: dict[int, int] = {}
        # What is compared with at every fid and open. The common budgets are asked for chunks only:
        # see ``budgets``.
        budgets = budgets or Budgets(limits)
        self.counters = budgets.counters
        fids, opened, listing = self.fids, self.opened, self.listing
        self._fid_allowance = Allowance(budgets.fids, PROMISED_FIDS, limits.fids, 1024, fids.__len__)
        self._open_allowance = Allowance(
            budgets.open_files, budgets.promised_files, limits.open_files, 64, opened.__len__
        )
        self._listing_allowance = Allowance(
            budgets.directories, PROMISED_DIRECTORIES, limits.directories, 8, listing.__len__
        )
        self._xattr_allowance = Allowance(
            budgets.xattr_bytes, PROMISED_XATTRS, limits.xattr_bytes, 1 << 17, lambda: self.xattr_bytes
        )

    @property
    def on_slow_storage(self) -> bool:
        """Some fid stands for a file that one has to wait for, though the root of its export is
        none.
        """
        return any(not fid.node.inline for fid in self.fids.values())

    def inline_again(self) -> None:
        """Storage that was slow for a while gets another try in the event loop."""
        self.inline = not self.slow_driver

    def meet(self, peer: Peer, exports: Exports) -> None:
        """The client is known, and which exports it can attach."""
        self.peer = peer
        self.exports = exports

    def attach(self, export: Export, *, inline: bool) -> None:
        """A Tattach succeeded, with a root that is ``inline`` or not."""
        self.attached = True
        self.counters.attached(export.name)
        self.threadsafe &= export.driver.threadsafe or not inline
        if not inline:
            self.inline = False
            self.slow_driver = True

    # -- fids ----------------------------------------------------------------------------------------------------------

    def fid(self, number: int) -> Fid:
        """The fid, or EBADF."""
        fid = self.fids.get(number)
        if fid is None:
            raise Refused(Errno.EBADF, f"fid {number} is not in use")
        return fid

    def reserve_fid(self, number: int) -> None:
        """Check that a new fid may be made: EINVAL if the number is taken, ENFILE
        beyond the limit.
        """
        if number in self.fids or number == NOFID:
            raise Refused(Errno.EINVAL, f"fid {number} is in use")
        if len(self.fids) >= self._fid_allowance.granted and not self._fid_allowance.grow(len(self.fids) + 1):
            raise OverLimit("fids", Errno.ENFILE, "too many fids")

    def bind(self, number: int, node: Node, user: User, export: Export) -> Fid:
        """Commit a new fid."""
        fid = self.fids[number] = Fid(node, user, export)
        return fid

    def reserve_open(self, *, idle: bool = False) -> None:
        """Check that one more file or directory may be opened: EMFILE. ``idle``: one that keeps no
        handle, of which there are few for all.
        """
        count = len(self.opened)
        if count + len(self.idle) >= self.limits.open_files or (
            not idle and count >= self._open_allowance.granted and not self._open_allowance.grow(count + 1)
        ):
            raise OverLimit("open_files", Errno.EMFILE, "too many open files")

    def reserve_listing(self) -> None:
        """Check that one more directory may be opened: EMFILE."""
        count = len(self.listing)
        if count >= self._listing_allowance.granted and not self._listing_allowance.grow(count + 1):
            raise OverLimit("directories", Errno.EMFILE, "too many open directories")

    def open(self, fid: Fid) -> None:
        """Commit that something was opened from a fid."""
        if fid.file is not None and fid.file.idle:
            self.idle.add(fid)
            return
        self.opened.add(fid)
        if fid.directory is not None:
            self.listing.add(fid)

    def reserve_handle(self, fid: Fid) -> None:
        """A fid is about to be locked through: from now on it keeps a handle. EMFILE as for an
        open.
        """
        if fid in self.idle:
            self.idle.discard(fid)
            try:
                self.reserve_open()
            except OverLimit:
                self.idle.add(fid)
                raise
            self.opened.add(fid)

    def check_reply_size(self, size: int) -> None:
        """Check that a reply of ``size`` bytes may be sent: EMSGSIZE (only names and link targets
        can be too long for a small msize).
        """
        if size > self.msize:
            raise Refused(Errno.EMSGSIZE, f"a reply of {size} bytes; the client takes {self.msize}")

    def reserve_xattr(self, size: int) -> None:
        """Check that ``size`` more bytes of attributes may be held: ENOSPC."""
        needed = self.xattr_bytes + size + FID_COST
        if needed > self._xattr_allowance.granted and not self._xattr_allowance.grow(needed):
            raise OverLimit("xattr_bytes", Errno.ENOSPC, "too many bytes of attributes")

    def hold(self, fid: Fid) -> None:
        """Commit that a fid holds an attribute."""
        with self._guard:
            self.xattr_bytes += xattr_cost(fid)

    def retire(self, number: int) -> None:
        """Take a fid out of the table and close it. The fid is gone, whatever error that raises;
        only if the attribute that it sets cannot be set without waiting, ``WouldBlock`` is raised
        and nothing was done.
        """
        fid = self.fids[number]
        if not (fid.opened or fid.remove_on_clunk):
            del self.fids[number]
            fid.node.release()  # all there is to most fids: locks, too, need something open (0.3 us)
            return
        if fid.xattr is not None:
            self._commit(number, fid)
        del self.fids[number]
        self._uncount(fid)
        try:
            fid.close()
        except WouldBlock as error:
            raise too_late(fid.close) from error

    def discard(self, number: int) -> None:
        """As ``retire``, after a failure that matters more than what closing reports; an attribute
        is not set.
        """
        fid = self.fids.pop(number)
        self._uncount(fid)
        fid.drop()

    def _commit(self, number: int, fid: Fid) -> None:
        try:
            fid.commit()
        except WouldBlock:
            raise
        except Exception:
            self.discard(number)
            raise

    def _uncount(self, fid: Fid) -> None:
        self.opened.discard(fid)
        self.idle.discard(fid)
        self.listing.discard(fid)
        if fid.xattr is not None:
            with self._guard:
                self.xattr_bytes -= xattr_cost(fid)

    def close(self) -> None:
        """The session is over: all fids at once, uncommitted attributes dropped."""
        self.drop(self.take_all())

    def take_all(self) -> list[Fid]:
        """The session is over: its fids, to be dropped, together or some at a time."""
        fids = list(self.fids.values())
        self.fids.clear()  # the allowance counts this dictionary: as another one it would keep them all to the end
        self._remaining = len(fids)
        for export in self.visited:
            export.locks.forget_session(self, self.opened)
        if not fids:
            self._end()
        return fids

    def by_storage(self) -> list[tuple[Hashable, list[Fid]]]:
        """As ``take_all``, sorted by what closing them may wait for."""
        parts: dict[Hashable, list[Fid]] = {}
        for fid in self.take_all():
            parts.setdefault(fid.storage, []).append(fid)
        return list(parts.items())

    def drop(self, fids: Sequence[Fid]) -> None:
        """Close fids of a session that is over. With the last of them it gives back what it was
        granted.
        """
        for fid in fids:
            self._uncount(fid)
            fid.drop()
        with self._guard:
            self._remaining -= len(fids)
            ended = not self._remaining
        if ended and fids:
            self._end()

    def _end(self) -> None:
        for allowance in (self._fid_allowance, self._open_allowance, self._listing_allowance, self._xattr_allowance):
            allowance.end()

    # -- sizes ---------------------------------------------------------------------------------------------------------

    def iosize(self, block: int) -> int:
        """The iounit and st_blksize: the largest multiple of ``block`` that one read or write
        carries, or what it carries if that is 0.

        Never 0 for a file: FreeBSD would then ask for more than fits (QEMU 9p.c,
        blksize_to_iounit).
        """
        size = self._iosizes.get(block)
        if size is None:
            room = self.msize - IOHDRSZ
            size = self._iosizes[block] = (room - room % block if block else 0) or room
        return size


def xattr_cost(fid: Fid) -> int:
    """What an attribute in a fid counts against the limit: its bytes and something for the fid."""
    xattr = fid.xattr
    if xattr is None:
        return 0
    return FID_COST + (xattr.size if hasattr(xattr, "size") else len(xattr.value))
