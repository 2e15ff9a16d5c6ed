# Generated from ninep/client/aio/attributes.py by tools/unasync.py. Do not edit.
"""Attributes, extended attributes and filesystem statistics, by path. ``follow``: see
``export``.
"""

from __future__ import annotations

from ninep.client.blocking.export import AttachedExport
from ninep.client.errors import about, can_mean_missing
from ninep.client.paths import RemotePath, decode, encode, text_of
from ninep.client.stat import FileStat, FileSystem, SetAttr, Time
from ninep.linux import XATTR_REPLACE


class AttributeCalls(AttachedExport):
    """Calls for the attributes of files."""

    def stat(self, path: RemotePath, *, follow: bool = False) -> FileStat:
        """The attributes. ``FileNotFoundError`` if the file does not exist."""
        with about(text_of(path)):
            with self.at(self.names_of(path, follow)) as fid:
                return self.verbs.stat(fid)

    def exists(self, path: RemotePath, *, follow: bool = False) -> bool:
        """Whether the file exists. An unsearchable directory in the path is an error (EACCES), not
        False.
        """
        try:
            with about(text_of(path)):
                with self.at(self.names_of(path, follow)):
                    return True
        except NotADirectoryError:
            return False
        except OSError as error:
            if not can_mean_missing(error):
                raise
            return False

    def setattr(self, path: RemotePath, changes: SetAttr, *, follow: bool = False) -> None:
        """Change several attributes in one request."""
        with about(text_of(path)):
            with self.at(self.names_of(path, follow)) as fid:
                self.verbs.setattr(fid, changes)

    def chmod(self, path: RemotePath, mode: int, *, follow: bool = False) -> None:
        """Set the permissions (the lower 12 bits of ``mode``)."""
        self.setattr(path, SetAttr(mode=mode & 0o7777), follow=follow)

    def chown(self, path: RemotePath, uid: int | None = None, gid: int | None = None, *, follow: bool = False) -> None:
        """Set owner, group or both; None leaves one unchanged."""
        self.setattr(path, SetAttr(uid=uid, gid=gid), follow=follow)

    def utime(
        self, path: RemotePath, *, atime: Time | None = "now", mtime: Time | None = "now", follow: bool = False
    ) -> None:
        """Set the times, in nanoseconds since 1970; ``"now"`` is the server's clock, None leaves
        one unchanged.
        """
        self.setattr(path, SetAttr(atime=atime, mtime=mtime), follow=follow)

    def truncate(self, path: RemotePath, size: int, *, follow: bool = False) -> None:
        """Set the size of a file, in bytes."""
        self.setattr(path, SetAttr(size=size), follow=follow)

    def statfs(self, path: RemotePath = "/") -> FileSystem:
        """Statistics of the filesystem that contains ``path`` (9P2000.L only; EOPNOTSUPP
        otherwise).
        """
        with about(text_of(path)):
            with self.at(self.names_of(path, follow=False)) as fid:
                return self.verbs.statfs(fid)

    # -- extended attributes (9P2000.L only) ---------------------------------------------------------------------------

    def getxattr(self, path: RemotePath, name: str, *, follow: bool = False) -> bytes:
        """The value of an extended attribute. ENODATA if it does not exist."""
        if not name:
            raise ValueError("an attribute needs a name")
        with about(text_of(path)):
            with self.at(self.names_of(path, follow)) as fid:
                return self.verbs.xattr(fid, encode(name))

    def listxattr(self, path: RemotePath, *, follow: bool = False) -> list[str]:
        """The names of the extended attributes."""
        with about(text_of(path)):
            with self.at(self.names_of(path, follow)) as fid:
                return [decode(name) for name in (self.verbs.xattr(fid, b"")).split(b"\0") if name]

    def setxattr(self, path: RemotePath, name: str, value: bytes, flags: int = 0, *, follow: bool = False) -> None:
        """Set an extended attribute; ``flags`` 0, ``linux.XATTR_CREATE`` (EEXIST if it exists) or
        ``XATTR_REPLACE`` (ENODATA if it does not).

        QEMU's server treats an empty value as a removal.
        """
        if not name:
            raise ValueError("an attribute needs a name")
        with about(text_of(path)):
            with self.at(self.names_of(path, follow)) as fid:
                self.verbs.set_xattr(fid, encode(name), value, flags)

    def removexattr(self, path: RemotePath, name: str, *, follow: bool = False) -> None:
        """Remove an extended attribute. ENODATA if it does not exist."""
        # removal in the protocol
        self.setxattr(path, name, b"", XATTR_REPLACE, follow=follow)
