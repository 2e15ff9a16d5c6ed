"""Attributes, extended attributes and the figures of the filesystem, by path. ``follow``: see ``export``."""

from __future__ import annotations

from ninep.client.aio.export import Export
from ninep.client.errors import about, may_be_missing
from ninep.client.paths import RemotePath, decode, encode, text_of
from ninep.client.stat import FileStat, FileSystem, SetAttr, Time
from ninep.linux import XATTR_REPLACE


class Attributes(Export):
    """The calls on a file's attributes."""

    async def stat(self, path: RemotePath, *, follow: bool = False) -> FileStat:
        """The attributes."""
        with about(text_of(path)):
            async with self.at(await self.names_of(path, follow)) as fid:
                return await self.verbs.stat(fid)

    async def exists(self, path: RemotePath, *, follow: bool = False) -> bool:
        """Whether there is something. A directory on the way that may not be searched is an error, not an answer."""
        try:
            with about(text_of(path)):
                async with self.at(await self.names_of(path, follow)):
                    return True
        except NotADirectoryError:
            return False
        except OSError as error:
            if not may_be_missing(error):
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
        """Set owner, group or both."""
        await self.setattr(path, SetAttr(uid=uid, gid=gid), follow=follow)

    async def utime(
        self, path: RemotePath, *, atime: Time | None = "now", mtime: Time | None = "now", follow: bool = False
    ) -> None:
        """Set the times, in nanoseconds since 1970; ``"now"`` is the server's clock, None leaves one alone."""
        await self.setattr(path, SetAttr(atime=atime, mtime=mtime), follow=follow)

    async def truncate(self, path: RemotePath, size: int, *, follow: bool = False) -> None:
        """Set the size of a file."""
        await self.setattr(path, SetAttr(size=size), follow=follow)

    async def statfs(self, path: RemotePath = "/") -> FileSystem:
        """The figures of the filesystem that ``path`` is on (9P2000.L only)."""
        with about(text_of(path)):
            async with self.at(await self.names_of(path, follow=False)) as fid:
                return await self.verbs.statfs(fid)

    # -- extended attributes (9P2000.L only) ---------------------------------------------------------------------------

    async def getxattr(self, path: RemotePath, name: str, *, follow: bool = False) -> bytes:
        """The value of an extended attribute. ENODATA if there is none of that name."""
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
        """Set an extended attribute; ``flags`` ``linux.XATTR_CREATE`` (it must be new) or ``XATTR_REPLACE``.

        The hypervisor's server takes an empty value for a removal.
        """
        if not name:
            raise ValueError("an attribute needs a name")
        with about(text_of(path)):
            async with self.at(await self.names_of(path, follow)) as fid:
                await self.verbs.set_xattr(fid, encode(name), value, flags)

    async def removexattr(self, path: RemotePath, name: str, *, follow: bool = False) -> None:
        """Remove an extended attribute. ENODATA if there is none of that name."""
        await self.setxattr(path, name, b"", XATTR_REPLACE, follow=follow)  # the protocol's way to say it
