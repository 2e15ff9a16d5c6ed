"""The verbs in 9P2000 and 9P2000.u: Topen, Tcreate, Tstat, Twstat and Tremove for everything (the
Plan 9 manual, section 5).

What these dialects lack is refused here with EOPNOTSUPP (extended attributes, locks, filesystem
statistics; in plain 9P2000 also links and devices), or EXDEV (a rename to another directory, which
Twstat lacks: programs then copy and delete).
"""

from __future__ import annotations

import time
from typing import Final

from ninep.client.aio.connection import Stream
from ninep.client.aio.verbs import Listed, Verbs
from ninep.client.errors import ListingLost, can_mean_missing, refusal
from ninep.client.paths import decode, encode, legal_entry
from ninep.client.stat import NOW, SECOND, FileStat, SetAttr, Time, from_record, kind_of_mode
from ninep.linux import O_ACCMODE, O_APPEND, O_TRUNC, S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, Errno
from ninep.wire.codec import IOHDRSZ, Malformed, unpack_stat
from ninep.wire.dialect import Dialect
from ninep.wire.messages import (
    Message,
    Rcreate,
    Ropen,
    Rread,
    Rremove,
    Rstat,
    Rwstat,
    Tcreate,
    Topen,
    Tread,
    Tremove,
    Tstat,
    Twstat,
)
from ninep.wire.modes import DMLINK, EXTENDED, LEAVE32, UNTOUCHED, Encoding, major, minor, mode_to_wire
from ninep.wire.types import QT_DIR, Qid, Stat

OTRUNC: Final = 0x10
OAPPEND: Final = 0x80


def _seconds(when: Time | None) -> int:
    if when is None:
        return LEAVE32
    seconds = time.time_ns() // SECOND if when == NOW else int(when) // SECOND
    return max(0, min(seconds, LEAVE32 - 1))


class BaseVerbs(Verbs):
    """9P2000 and 9P2000.u."""

    @property
    def _encoding(self) -> Encoding:
        return self.connection.dialect.encoding

    # -- attributes ----------------------------------------------------------------------------------------------------

    def stat_request(self, fid: int) -> Message:
        return Tstat(fid)

    def stat_of(self, reply: Message) -> FileStat:
        if not isinstance(reply, Rstat):
            raise TypeError(type(reply))
        return from_record(reply.stat, self._encoding)

    async def stat(self, fid: int) -> FileStat:
        return self.stat_of(await self.connection.call(Tstat(fid), Rstat))

    async def _wstat(self, fid: int, record: Stat) -> None:
        await self.connection.call(Twstat(fid, record), Rwstat)

    async def setattr(self, fid: int, changes: SetAttr) -> None:
        record = UNTOUCHED._replace(atime=_seconds(changes.atime), mtime=_seconds(changes.mtime))
        if changes.mode is not None:
            # servers refuse a mode whose type bits differ from the file's
            kind = (await self.stat(fid)).st_mode & S_IFMT
            record = record._replace(mode=mode_to_wire(kind | changes.mode & 0o7777, self._encoding))
        if changes.size is not None:
            record = record._replace(length=changes.size)
        if changes.uid is not None:
            record = record._replace(n_uid=changes.uid, uid=b"" if self._encoding.unix_fields else b"%d" % changes.uid)
        if changes.gid is not None:
            record = record._replace(n_gid=changes.gid, gid=b"" if self._encoding.unix_fields else b"%d" % changes.gid)
        await self._wstat(fid, record)

    async def fsync(self, fid: int, datasync: bool) -> None:  # these dialects have one kind of sync
        await self._wstat(fid, UNTOUCHED)

    # -- opening -------------------------------------------------------------------------------------------------------

    def _open_mode(self, flags: int) -> int:
        mode = flags & O_ACCMODE
        if flags & O_TRUNC:
            mode |= OTRUNC
        if flags & O_APPEND and self._encoding.unix_fields:
            mode |= OAPPEND
        return mode

    async def open(self, fid: int, flags: int) -> int:
        opened = await self.connection.call(Topen(fid, self._open_mode(flags)), Ropen)
        return self.checked(opened.qid, opened.iounit, flags)

    async def create(
        self, fid: int, name: bytes, flags: int, mode: int, gid: int
    ) -> tuple[int, Qid]:  # the group is the directory's
        await self._refuse_existing(fid, name)
        request = Tcreate(fid, name, mode_to_wire(S_IFREG | mode, self._encoding), self._open_mode(flags & ~O_TRUNC))
        created = await self.connection.call(request, Rcreate)
        return created.iounit, created.qid

    async def _refuse_existing(self, dirfid: int, name: bytes) -> None:
        """EEXIST if the name exists. Tcreate has no exclusive mode that every server supports: some
        truncate an existing file.
        """
        try:
            found, _ = await self.walk(dirfid, [name])
        except OSError as error:
            if not can_mean_missing(error):
                raise
            return
        self.release(found)
        raise refusal(Errno.EEXIST)

    async def entries(self, fid: int) -> Stream[list[Listed]]:
        connection = self.connection
        offset = 0
        seen = self.names_seen()
        while True:
            try:
                data = bytes((await connection.call(Tread(fid, offset, connection.msize - IOHDRSZ), Rread)).data)
            except ListingLost as error:
                self.check_restart(error, seen)
                offset = 0
                continue
            if not data:
                return
            offset += len(data)
            position = 0
            batch = []
            while position < len(data):
                try:
                    record, position = unpack_stat(data, position, len(data), self._encoding)
                except Malformed as error:
                    raise connection.broken(f"the server sent a listing with a {error}") from None
                if record.name in {b".", b".."}:
                    continue
                if not legal_entry(record.name):
                    raise connection.broken(f"the server lists an entry called {decode(record.name)!r}")
                stat = from_record(record, self._encoding)
                batch.append(Listed(record.name, record.qid.path, kind_of_mode(stat.st_mode), stat))
            yield self.unseen(batch, seen)

    # -- names ---------------------------------------------------------------------------------------------------------

    async def _make(self, dirfid: int, name: bytes, perm: int, extension: bytes = b"") -> None:
        fid, _ = await self.walk(dirfid, [])
        try:
            await self.connection.call(Tcreate(fid, name, perm, 0, extension), Rcreate)
        finally:
            self.release(fid)

    async def _make_special(self, dirfid: int, name: bytes, mode: int, extension: bytes) -> None:
        if self.connection.dialect is Dialect.BASE:
            raise self.unsupported("links and devices")
        await self._make(dirfid, name, mode_to_wire(mode, EXTENDED), extension)

    # the group is the directory's
    async def mkdir(self, dirfid: int, name: bytes, mode: int, gid: int) -> None:
        await self._make(dirfid, name, mode_to_wire(S_IFDIR | mode & 0o7777, self._encoding))

    async def symlink(self, dirfid: int, name: bytes, target: bytes, gid: int) -> None:
        await self._make_special(dirfid, name, S_IFLNK | 0o777, target)

    async def mknod(self, dirfid: int, name: bytes, mode: int, rdev: int, gid: int) -> None:
        extension = b""
        if mode & S_IFMT in {S_IFCHR, S_IFBLK}:
            extension = b"%c %d %d" % (b"c" if mode & S_IFMT == S_IFCHR else b"b", major(rdev), minor(rdev))
        await self._make_special(dirfid, name, mode, extension)

    async def link(self, dirfid: int, fid: int, name: bytes) -> None:
        if self.connection.dialect is Dialect.BASE:
            raise self.unsupported("links and devices")
        await self._make(dirfid, name, DMLINK, b"%d" % fid)

    async def readlink(self, fid: int) -> bytes:
        target = (await self.stat(fid)).target
        if target is None:
            raise refusal(Errno.EINVAL)
        return encode(target)

    async def rename(self, olddir: int, oldname: bytes, newdir: int | None, newname: bytes) -> None:
        if newdir is not None:
            raise refusal(Errno.EXDEV, f"{self.connection.dialect.value.decode()} cannot move into another directory")
        fid, _ = await self.walk(olddir, [oldname])
        try:
            await self._wstat(fid, UNTOUCHED._replace(name=newname))
        finally:
            self.release(fid)

    async def unlink(self, dirfid: int, name: bytes, directory: bool) -> None:
        fid, qid = await self.walk(dirfid, [name])
        is_directory = qid is not None and bool(qid.type & QT_DIR)
        if is_directory is not directory:
            self.release(fid)
            raise refusal(Errno.ENOTDIR if directory else Errno.EISDIR)
        await self.connection.call(Tremove(fid), Rremove)

    # Tremove needs a walk first
    def unlink_request(self, dirfid: int, name: bytes) -> Message | None:
        return None
