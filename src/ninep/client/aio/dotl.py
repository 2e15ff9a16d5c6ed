"""The verbs in 9P2000.L: one message each, as the Linux client sends them (fs/9p,
net/9p/client.c).
"""

from __future__ import annotations

import errno
from typing import Final

from ninep.client.aio.connection import Stream
from ninep.client.aio.verbs import Listed, Verbs
from ninep.client.errors import ListingLost, refusal
from ninep.client.paths import decode, legal_entry
from ninep.client.stat import NOW, SECOND, FileStat, FileSystem, LockInfo, SetAttr, Time, from_attributes, kind_of_qid
from ninep.linux import (
    AT_REMOVEDIR,
    GETATTR_ALL,
    LOCK_FLAG_BLOCK,
    LOCK_UNLCK,
    LOCK_WRLCK,
    O_CREAT,
    O_EXCL,
    O_TRUNC,
    SETATTR_ATIME,
    SETATTR_ATIME_SET,
    SETATTR_GID,
    SETATTR_MODE,
    SETATTR_MTIME,
    SETATTR_MTIME_SET,
    SETATTR_SIZE,
    SETATTR_UID,
    Errno,
)
from ninep.wire.codec import IOHDRSZ, Malformed, unpack_dirents
from ninep.wire.messages import (
    Message,
    Rfsync,
    Rgetattr,
    Rgetlock,
    Rlcreate,
    Rlink,
    Rlock,
    Rlopen,
    Rmkdir,
    Rmknod,
    Rreaddir,
    Rreadlink,
    Rremove,
    Rrename,
    Rrenameat,
    Rsetattr,
    Rstatfs,
    Rsymlink,
    Runlinkat,
    Rxattrcreate,
    Rxattrwalk,
    Tclunk,
    Tfsync,
    Tgetattr,
    Tgetlock,
    Tlcreate,
    Tlink,
    Tlock,
    Tlopen,
    Tmkdir,
    Tmknod,
    Treaddir,
    Treadlink,
    Tremove,
    Trename,
    Trenameat,
    Tsetattr,
    Tstatfs,
    Tsymlink,
    Tunlinkat,
    Txattrcreate,
    Txattrwalk,
)
from ninep.wire.modes import major, minor
from ninep.wire.types import Qid

MAX_XATTR: Final = 16 << 20
"""Larger values raise an error. Linux stops at 64 KiB, macOS resource forks are larger."""
LISTING_REPLY: Final = 1 << 20


def _time(time: Time | None, plain: int, given: int) -> tuple[int, int, int]:
    """The bits, seconds and nanoseconds of one time of a Tsetattr."""
    if time is None:
        return 0, 0, 0
    if time == NOW:
        return plain, 0, 0
    seconds, nanoseconds = divmod(int(time), SECOND)
    return plain | given, seconds, nanoseconds


class LinuxVerbs(Verbs):
    """9P2000.L."""

    # -- attributes ----------------------------------------------------------------------------------------------------

    def stat_request(self, fid: int) -> Message:
        return Tgetattr(fid, GETATTR_ALL)

    def stat_of(self, reply: Message) -> FileStat:
        if not isinstance(reply, Rgetattr):
            raise TypeError(type(reply))
        return from_attributes(reply.attributes)

    async def stat(self, fid: int) -> FileStat:
        return self.stat_of(await self.connection.call(self.stat_request(fid), Rgetattr))

    async def setattr(self, fid: int, changes: SetAttr) -> None:
        mode, uid, gid, size, atime, mtime = changes
        access, atime_sec, atime_nsec = _time(atime, SETATTR_ATIME, SETATTR_ATIME_SET)
        modification, mtime_sec, mtime_nsec = _time(mtime, SETATTR_MTIME, SETATTR_MTIME_SET)
        valid = access | modification
        for bit, value in ((SETATTR_MODE, mode), (SETATTR_UID, uid), (SETATTR_GID, gid), (SETATTR_SIZE, size)):
            if value is not None:
                valid |= bit
        request = Tsetattr(
            fid, valid, mode or 0, uid or 0, gid or 0, size or 0, atime_sec, atime_nsec, mtime_sec, mtime_nsec
        )
        await self.connection.call(request, Rsetattr)

    async def statfs(self, fid: int) -> FileSystem:
        return FileSystem(*(await self.connection.call(Tstatfs(fid), Rstatfs)).statfs)

    async def fsync(self, fid: int, datasync: bool) -> None:
        await self.connection.call(Tfsync(fid, int(datasync)), Rfsync)

    # -- opening -------------------------------------------------------------------------------------------------------

    async def open(self, fid: int, flags: int) -> int:
        opened = await self.connection.call(Tlopen(fid, flags & ~(O_CREAT | O_EXCL | O_TRUNC)), Rlopen)
        if flags & O_TRUNC:
            # the same as the Linux client, so that it works with every server that works with Linux
            await self.setattr(fid, SetAttr(size=0))
        return self.checked(opened.qid, opened.iounit, flags)

    async def create(self, fid: int, name: bytes, flags: int, mode: int, gid: int) -> tuple[int, Qid]:
        # Always exclusive: otherwise QEMU's server changes the owner and mode of a file that was
        # created meanwhile.
        created = await self.connection.call(Tlcreate(fid, name, flags | O_CREAT | O_EXCL, mode, gid), Rlcreate)
        return created.iounit, created.qid

    async def entries(self, fid: int) -> Stream[list[Listed]]:
        connection = self.connection
        count = min(connection.msize - IOHDRSZ, LISTING_REPLY)
        cookie = kept = replies = 0
        seen = self.names_seen()
        while True:
            try:
                data = (await connection.call(Treaddir(fid, cookie, count), Rreaddir)).data
            except ListingLost as error:
                self.check_restart(error, seen)
                cookie = kept = replies = 0
                continue
            if not data:
                return
            try:
                entries = unpack_dirents(data)
            except Malformed as error:
                raise connection.broken(f"the server sent a listing with a {error}") from None
            batch = []
            for entry in entries:
                if entry.name in {b".", b".."}:
                    continue
                if not legal_entry(entry.name):
                    raise connection.broken(f"the server lists an entry called {decode(entry.name)!r}")
                batch.append(Listed(entry.name, entry.qid_path, kind_of_qid(entry.type, entry.qid_type), None))
            yield self.unseen(batch, seen)
            cookie = entries[-1].cookie
            if cookie == kept:
                raise connection.broken(f"the server's listing comes back to offset {cookie}")
            replies += 1
            if not replies & (replies - 1):
                # after 1, 2, 4, 8 ... replies: every cycle contains one of them, so storing one
                # offset is enough
                kept = cookie

    # -- names ---------------------------------------------------------------------------------------------------------

    async def mkdir(self, dirfid: int, name: bytes, mode: int, gid: int) -> None:
        await self.connection.call(Tmkdir(dirfid, name, mode, gid), Rmkdir)

    async def symlink(self, dirfid: int, name: bytes, target: bytes, gid: int) -> None:
        await self.connection.call(Tsymlink(dirfid, name, target, gid), Rsymlink)

    async def mknod(self, dirfid: int, name: bytes, mode: int, rdev: int, gid: int) -> None:
        await self.connection.call(Tmknod(dirfid, name, mode, major(rdev), minor(rdev), gid), Rmknod)

    async def link(self, dirfid: int, fid: int, name: bytes) -> None:
        await self.connection.call(Tlink(dirfid, fid, name), Rlink)

    async def readlink(self, fid: int) -> bytes:
        return (await self.connection.call(Treadlink(fid), Rreadlink)).target

    async def rename(self, olddir: int, oldname: bytes, newdir: int | None, newname: bytes) -> None:
        target = olddir if newdir is None else newdir
        try:
            await self.connection.call(Trenameat(olddir, oldname, target, newname), Rrenameat)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
        else:
            return
        # the server lacks the message; the Linux client also falls back to Trename
        fid, _ = await self.walk(olddir, [oldname])
        try:
            await self.connection.call(Trename(fid, target, newname), Rrename)
        finally:
            self.release(fid)

    async def unlink(self, dirfid: int, name: bytes, directory: bool) -> None:
        try:
            await self.connection.call(Tunlinkat(dirfid, name, AT_REMOVEDIR if directory else 0), Runlinkat)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
        else:
            return
        fid, _ = await self.walk(dirfid, [name])
        await self.connection.call(Tremove(fid), Rremove)

    def unlink_request(self, dirfid: int, name: bytes) -> Message | None:
        return Tunlinkat(dirfid, name, 0)

    # -- extended attributes -------------------------------------------------------------------------------------------

    async def xattr(self, fid: int, name: bytes) -> bytes:
        connection = self.connection
        newfid = connection.exchange.fids.allocate()
        size = (await connection.call(Txattrwalk(fid, newfid, name), Rxattrwalk, undo=Tclunk(newfid))).size
        try:
            if size > MAX_XATTR:
                raise refusal(Errno.E2BIG, f"the server has {size} bytes of attributes")
            pieces = [piece async for piece in self.read_ahead(newfid, 0, size, self.chunk(0))]
        finally:
            self.release(newfid)
        return b"".join(pieces)

    async def set_xattr(self, fid: int, name: bytes, value: bytes, flags: int) -> None:
        writing, _ = await self.walk(fid, [])
        try:
            await self.connection.call(Txattrcreate(writing, name, len(value), flags), Rxattrcreate)
            await self.write_behind(writing, 0, value, self.chunk(0))
        except BaseException:
            self.release(writing)
            raise
        await self.clunk(writing)  # this sets the attribute, or is refused

    # -- locks ---------------------------------------------------------------------------------------------------------

    async def lock(self, fid: int, kind: int, start: int, length: int, proc_id: int, client_id: bytes) -> int:
        request = Tlock(fid, kind, LOCK_FLAG_BLOCK, start, length, proc_id, client_id)
        return (await self.connection.call(request, Rlock)).status

    async def test_lock(
        self, fid: int, kind: int, start: int, length: int, proc_id: int, client_id: bytes
    ) -> LockInfo | None:
        got = await self.connection.call(Tgetlock(fid, kind, start, length, proc_id, client_id), Rgetlock)
        if got.type == LOCK_UNLCK:
            return None
        return LockInfo(got.type == LOCK_WRLCK, got.start, got.length, got.proc_id, decode(got.client_id))
