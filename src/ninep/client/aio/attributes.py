"""Attributes, extended attributes and filesystem statistics, by path. ``follow``: see
``export``.
"""

from __future__ import annotations

from ninep.client.aio.export import AttachedExport
from ninep.client.errors import about, can_mean_missing
from ninep.client.paths import RemotePath, decode, encode, text_of
from ninep.client.stat import FileStat, FileSystem, SetAttr, Time
from ninep.linux import XATTR_REPLACE


class AttributeCalls(AttachedExport):
    """Calls for the attributes of files."""

    async def stat(self, path: RemotePath, *, follow: bool = False) -> FileStat:
        """The attributes. ``FileNotFoundError`` if the file does not exist."""
        with about(text_of(path)):
            async with self.at(await self.names_of(path, follow)) as fid:
                return await self.verbs.stat(fid)

    async def exists(self, path: RemotePath, *, follow: bool = False) -> bool:
        """Whether the file exists. An unsearchable directory in the path is an error (EACCES), not
        False.
        """
        try:
            with about(text_of(path)):
                async with self.at(await self.names_of(path, follow)):
                    return True
        except NotADirectoryError:
            return False
        except OSError as error:
            if not can_mean_missing(error):
                raise
            return False

    async def setattr(self, path: RemotePath, changes: SetAttr, *, follow: bool = False) -> None:
        """Change several attributes in one request."""
        with about(text_of(path)):
            async with self.at(await self.names_of(path, follow)) as fid:
                await self.verbs.setattr(fid, changes)

    async def chmod(self, path: RemotePath, mode: int, *, follow: bool = False) -> None:
        """Set the permissions (the lower 12 bits of ``mode``)."""
        await self.setattr(path, SetAttr(mode=mode & 0o7777), follow=follow)

    async def chown(
        self, path: RemotePath, uid: int | None = None, gid: int | None = None, *, follow: bool = False
    ) -> None:
        """Set owner, group or both; None leaves one unchanged."""
        await self.setattr(path, SetAttr(uid=uid, gid=gid), follow=follow)

    async def utime(
        self, path: RemotePath, *, atime: Time | None = "now", mtime: Time | None = "now", follow: bool = False
    ) -> None:
        """Set the times, in nanoseconds since 1970; ``"now"`` is the server's clock, None leaves
        one unchanged.
        """
        await self.setattr(path, SetAttr(atime=atime, mtime=mtime), follow=follow)

    async def truncate(self, path: RemotePath, size: int, *, follow: bool = False) -> None:
        """Set the size of a file, in bytes."""
        await self.setattr(path, SetAttr(size=size), follow=follow)

    async def statfs(self, path: RemotePath = "/") -> FileSystem:
        """Statistics of the filesystem that contains ``path`` (9P2000.L only; EOPNOTSUPP
        otherwise).
        """
        with about(text_of(path)):
            async with self.at(await self.names_of(path, follow=False)) as fid:
                return await self.verbs.statfs(fid)

    # -- extended attributes (9P2000.L only) ---------------------------------------------------------------------------

    async def getxattr(self, path: RemotePath, name: str, *, follow: bool = False) -> bytes:
        """The value of an extended attribute. ENODATA if it does not exist."""
        if not name:
            raise ValueError("an attribute needs a name")
        with about(text_of(path)):
            async with self.at(await self.names_of(path, follow)) as fid:
                return await self.verbs.xattr(fid, encode(name))

    async def listxattr(self, path: RemotePath, *, follow: bool = False) -> list[str]:
        """The names of the extended attributes."""
        with about(text_of(path)):
            async with self.at(await self.names_of(path, follow)) as fid:
                return [decode(name) for name in (await self.verbs.xattr(fid, b"")).split(b"\0") if name]

    async def setxattr(
        self, path: RemotePath, name: str, value: bytes, flags: int = 0, *, follow: bool = False
    ) -> None:
        """Set an extended attribute; ``flags`` 0, ``linux.XATTR_CREATE`` (EEXIST if it exists) or
        ``XATTR_REPLACE`` (ENODATA if it does not).

        QEMU's server treats an empty value as a removal.
        """
        if not name:
            raise ValueError("an attribute needs a name")
        with about(text_of(path)):
            async with self.at(await self.names_of(path, follow)) as fid:
                await self.verbs.set_xattr(fid, encode(name), value, flags)

    async def removexattr(self, path: RemotePath, name: str, *, follow: bool = False) -> None:
        """Remove an extended attribute. ENODATA if it does not exist."""
        # removal in the protocol
        await self.setxattr(path, name, b"", XATTR_REPLACE, follow=follow)
