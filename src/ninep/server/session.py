"""A session: everything between one Tversion and the next (version(5)): the dialect, msize, the fids, what they may hold.

Handlers get it as their first argument and commit into it. It knows no tag, no frame, no thread and no transport: when a version
is asked for again while requests still run in worker threads, those go on committing into *their* session, which is closed when the
last one has ended.
"""

from __future__ import annotations

from ninep.errors import Refused
from ninep.linux import Errno
from ninep.node import Node, User
from ninep.server.exports import Export, Exports
from ninep.server.fids import Fid
from ninep.server.limits import Limits
from ninep.wire.codec import IOHDRSZ
from ninep.wire.dialect import Dialect
from ninep.wire.messages import NOFID


class Session:
    """What one client has, from version to version."""

    __slots__ = (
        "_iosizes",
        "dialect",
        "exports",
        "extended",
        "fids",
        "inline",
        "limits",
        "linux",
        "msize",
        "open_files",
        "peer",
        "slow_driver",
        "threadsafe",
        "xattr_bytes",
    )

    def __init__(self, exports: Exports, limits: Limits, dialect: Dialect, msize: int, peer: str = "") -> None:
        self.exports = exports
        self.limits = limits
        self.dialect = dialect
        self.linux = dialect is Dialect.LINUX
        self.extended = dialect.extended
        self.msize = msize
        self.peer = peer
        self.fids: dict[int, Fid] = {}
        self.inline = True
        """The attached drivers may be called in the event loop: all say so, and none was found to be slow."""
        self.slow_driver = False
        """A driver of this session says that it waits."""
        self.threadsafe = True
        """The attached drivers may be called from worker threads, should their storage turn out slow."""
        self.open_files = 0
        self.xattr_bytes = 0
        self._iosizes: dict[int, int] = {}

    def inline_again(self) -> None:
        """Storage that was slow for a while gets another try in the event loop."""
        self.inline = not self.slow_driver

    # -- fids ----------------------------------------------------------------------------------------------------------

    def fid(self, number: int) -> Fid:
        """The fid, or EBADF."""
        fid = self.fids.get(number)
        if fid is None:
            raise Refused(Errno.EBADF, f"fid {number} is not in use")
        return fid

    def unused(self, number: int) -> None:
        """Check that a new fid may be made: EINVAL if the number is taken, ENFILE beyond the limit."""
        if number in self.fids or number == NOFID:
            raise Refused(Errno.EINVAL, f"fid {number} is in use")
        if len(self.fids) >= self.limits.fids:
            raise Refused(Errno.ENFILE, f"{self.limits.fids} fids are the limit of a connection")

    def bind(self, number: int, node: Node, user: User, export: Export) -> Fid:
        """Commit a new fid."""
        fid = self.fids[number] = Fid(node, user, export)
        return fid

    def may_open(self) -> None:
        """Check that one more file or directory may be opened: EMFILE."""
        if self.open_files >= self.limits.open_files:
            raise Refused(Errno.EMFILE, f"{self.limits.open_files} open files are the limit of a connection")

    def fits(self, size: int) -> None:
        """Check that a reply of ``size`` bytes may be sent: EMSGSIZE (only names and link targets can be too long for a small msize)."""
        if size > self.msize:
            raise Refused(Errno.EMSGSIZE, f"a reply of {size} bytes; the client takes {self.msize}")

    def may_hold(self, size: int) -> None:
        """Check that ``size`` more bytes of attributes may be held: ENOSPC."""
        if self.xattr_bytes + size > self.limits.xattr_bytes:
            raise Refused(Errno.ENOSPC, f"{self.limits.xattr_bytes} bytes of attributes are the limit of a connection")

    def retire(self, number: int) -> None:
        """Take a fid out of the table and close it. The fid is gone, whatever error that raises."""
        fid = self.fids.pop(number)
        self._uncount(fid)
        fid.close()

    def discard(self, number: int) -> None:
        """As ``retire``, after a failure that matters more than what closing reports; an attribute is not set."""
        fid = self.fids.pop(number)
        self._uncount(fid)
        fid.drop()

    def _uncount(self, fid: Fid) -> None:
        if fid.file is not None or fid.directory is not None:
            self.open_files -= 1
        if fid.xattr is not None:
            self.xattr_bytes -= xattr_cost(fid)

    def close(self) -> None:
        """The session is over: all fids at once, uncommitted attributes dropped."""
        fids, self.fids = self.fids, {}
        for fid in fids.values():
            self._uncount(fid)
            fid.drop()

    # -- sizes ---------------------------------------------------------------------------------------------------------

    def iosize(self, block: int) -> int:
        """The iounit and st_blksize: the largest multiple of ``block`` that one read or write carries, or what it carries if that is 0.

        Never 0 for a file: FreeBSD would then ask for more than fits (QEMU blksize_to_iounit; protocol-facts section 3).
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
    return 256 + (xattr.size if hasattr(xattr, "size") else len(xattr.value))
