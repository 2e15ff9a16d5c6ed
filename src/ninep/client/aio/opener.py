"""Opening and creating files, by path."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ninep.client.aio.connection import Done
from ninep.client.aio.export import AttachedExport
from ninep.client.aio.file import AsyncFile
from ninep.client.copied import Copied, not_overwritten
from ninep.client.errors import OutcomeUnknown, about, can_mean_missing, refusal
from ninep.client.opening import flags_of
from ninep.client.paths import RemotePath, join_names, split, text_of
from ninep.linux import O_CREAT, O_EXCL, O_TRUNC, O_WRONLY, PERMISSIONS, Errno
from ninep.wire.dialect import Dialect
from ninep.wire.types import QT_DIR, QT_SYMLINK, Qid

_CREATE_ATTEMPTS: Final = 8


class Opener(AttachedExport):
    """Calls that open files."""

    async def open(
        self, path: RemotePath, mode: str | int = "rb", *, permissions: int = 0o666, follow: bool = False
    ) -> AsyncFile:
        """Open a file: ``"rb"``, ``"wb"``, ``"ab"``, ``"xb"``, with ``+`` for reading and writing,
        or ``linux.O_*`` flags.

        ``permissions`` are the exact permissions of a new file (there is no umask).
        ``IsADirectoryError`` for a directory, ELOOP for a symbolic link without ``follow``.
        """
        flags = flags_of(mode)
        with about(text_of(path)):
            names = await self.names_of(path, follow)
            if not names:
                raise refusal(Errno.EISDIR)
            if flags & O_CREAT:
                return await self._open_or_create(names, flags, permissions & PERMISSIONS, text_of(path))
            fid, qid = await self.verbs.walk(self.root, names)
            return await self._open_fid(fid, qid, flags, text_of(path))

    async def open_copy(
        self, path: str, permissions: int, copied: Copied, check: Callable[[], Done] | None = None
    ) -> AsyncFile:
        """An empty file at ``path`` to copy to. An existing symbolic link is replaced, an existing
        file truncated; EEXIST if it is in ``copied``. ``check`` is called before that, and raises if the
        file must stay.
        """
        with about(path):
            names = split(path)
            if not names:
                raise refusal(Errno.EISDIR)
            flags = O_WRONLY | O_CREAT | O_TRUNC
            return await self._open_or_create(names, flags, permissions & PERMISSIONS, path, copied, check)

    async def refuse_if_made(self, path: str, qid_path: int, copied: Copied) -> None:
        """EEXIST if the file at ``path`` was made by the command that ``copied`` belongs to.

        Some servers do not give different files different qids, so two paths with one qid count as
        one file only if their attributes are equal as well.
        """
        other = copied.remote_path(qid_path)
        if other is None:
            return
        if other != path:
            try:
                async with self.at(split(path)) as here, self.at(split(other)) as there:
                    mine, its = await self.verbs.stat(here), await self.verbs.stat(there)
            except FileNotFoundError:
                return
            if replace(mine, st_atime_ns=0) != replace(its, st_atime_ns=0):
                return
        raise not_overwritten(other, path)

    def _is_link(self, qid: Qid) -> bool:
        """Whether it is a link. Plain 9P2000 has no links: the bit has no meaning there."""
        return bool(qid.type & QT_SYMLINK) and self.connection.dialect is not Dialect.BASE

    async def _open_fid(self, fid: int, qid: Qid | None, flags: int, path: str) -> AsyncFile:
        if qid is None or qid.type & QT_DIR:
            self.verbs.release(fid)
            raise refusal(Errno.EISDIR)
        if self._is_link(qid):  # some servers would open its target on their host
            self.verbs.release(fid)
            raise refusal(Errno.ELOOP)
        try:
            iounit = await self.verbs.open(fid, flags)
        except BaseException:
            self.verbs.release(fid)
            raise
        return AsyncFile(self.verbs, fid, path, flags, iounit)

    async def _open_or_create(
        self,
        names: list[bytes],
        flags: int,
        mode: int,
        path: str,
        copied: Copied | None = None,
        check: Callable[[], Done] | None = None,
    ) -> AsyncFile:
        """Open the file if it exists, otherwise create it; it may be created or removed by others
        in between.
        """
        for _ in range(_CREATE_ATTEMPTS):
            parent, _ = await self.verbs.walk(self.root, names[:-1])
            try:
                if not flags & O_EXCL:
                    found = await self._found(parent, names, copied, check)
                    if found is not None:
                        self.verbs.release(parent)
                        fid, qid = found
                        if copied is not None and qid is not None:
                            copied.record_remote(qid.path, join_names(names))
                        return await self._open_fid(fid, qid, flags & ~O_CREAT, path)
                iounit, qid = await self.verbs.create(parent, names[-1], flags & ~O_TRUNC, mode, self.gid)
            except BaseException as error:
                self.verbs.release(parent)
                again = isinstance(error, OutcomeUnknown) or (
                    isinstance(error, FileExistsError) and error.filename is None
                )
                if again and not flags & O_EXCL:
                    continue  # made by this client or another: it is opened as it is now
                raise
            if copied is not None:
                copied.record_remote(qid.path, join_names(names))
            return AsyncFile(self.verbs, parent, path, flags, iounit)
        raise refusal(Errno.EEXIST, f"{join_names(names)} comes and goes")

    async def _found(
        self, parent: int, names: list[bytes], copied: Copied | None, check: Callable[[], Done] | None
    ) -> tuple[int, Qid | None] | None:
        """The existing file, if there is one. For a copy, a link is removed, and a file made by the
        same copy is EEXIST.
        """
        try:
            fid, qid = await self.verbs.walk(parent, names[-1:])
        except OSError as error:
            if not can_mean_missing(error):
                raise
            return None
        if copied is None or qid is None or qid.type & QT_DIR:
            return fid, qid
        try:
            await self.refuse_if_made(join_names(names), qid.path, copied)
            if not self._is_link(qid):
                if check is not None:
                    await check()
                return fid, qid
        except BaseException:
            self.verbs.release(fid)
            raise
        self.verbs.release(fid)
        await self.verbs.unlink(parent, names[-1], directory=False)
        return None
