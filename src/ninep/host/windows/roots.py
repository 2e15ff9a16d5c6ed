"""The exported folders: how they are opened, held, and found in again by file ids; and what is said
of them at start.

The root's handle lives as long as the server, and does not share deletion: the folder cannot be
removed or replaced meanwhile (bug 23). It is opened through links, because the person who starts
the server named it, so it is no link itself: the tag of a mount point that it may carry (the root
of a drive, for Wine) says nothing about it.
"""

from __future__ import annotations

import logging
from typing import Final, NamedTuple

from ninep.errors import Refused
from ninep.host._api import Handle
from ninep.host.windows import info
from ninep.host.windows.api import NULL, OBJ_CASE_INSENSITIVE, NtCalls, Options, Share, VolumeInfo
from ninep.host.windows.contents import THROUGH
from ninep.host.windows.names import client_name, from_units
from ninep.host.windows.open import ITSELF, LIST, LOOK, kept, tag_of
from ninep.host.windows.stat import identity
from ninep.host.windows.status import NtError, Status
from ninep.host.windows.tags import CLOUD, is_contents, row_of
from ninep.linux import Errno

log = logging.getLogger(__name__)

_WHY_NOT: Final[dict[int, str]] = {
    Status.IO_REPARSE_TAG_NOT_HANDLED: "the driver that supplies its files is not running on this computer",
    Status.CLOUD_FILE_PROVIDER_NOT_RUNNING: "it belongs to a cloud provider (OneDrive or another) that is not running: start it first",
    Status.CLOUD_FILE_PROVIDER_TERMINATED: "it belongs to a cloud provider (OneDrive or another) that has ended: start it first",
    Status.CLOUD_FILE_NETWORK_UNAVAILABLE: "it is in the cloud, and the network cannot be reached",
    Status.CLOUD_FILE_AUTHENTICATION_FAILED: "it is in the cloud, and its provider is not signed in",
    Status.CLOUD_FILE_ACCESS_DENIED: "it is in the cloud, and its provider refuses access",
}  # fmt: skip
# What NTFS says of an id that is not there any more, and of one that is not a directory's now.
_NO_SUCH_ID: Final = frozenset(
    {Status.INVALID_PARAMETER, Status.NOT_A_DIRECTORY, Status.DELETE_PENDING, Status.FILE_DELETED}
)
_OPTIONS: Final = Options.DIRECTORY_FILE | Options.OPEN_FOR_BACKUP_INTENT


class Export(NamedTuple):
    """A root, and what is known of its volume: can files be opened by id, and are 64 bits of it
    enough?
    """

    handle: Handle
    by_id: bool
    short_ids: bool


class Roots:
    """The roots of one system, by handle and by volume."""

    def __init__(self, calls: NtCalls) -> None:
        self._calls = calls
        self._exports: dict[int, Export] = {}
        self._volumes: dict[Handle, int] = {}
        self._paths: dict[Handle, str] = {}

    def __contains__(self, handle: Handle) -> bool:
        return handle in self._volumes

    def open(self, path: str) -> tuple[Handle, int]:
        """A folder, links in ``path`` followed, and its volume."""
        calls = self._calls
        where = calls.dos_path(path)
        # Only an open with data access takes part in sharing: with fewer rights another program
        # could rename the folder.
        share = Share.READ | Share.WRITE
        try:
            opened, _ = calls.create(NULL, where, LIST, _OPTIONS, share=share, object_attributes=OBJ_CASE_INSENSITIVE)
        except NtError as error:
            if error.status not in _WHY_NOT:
                raise
            raise Refused(error.code, _WHY_NOT[error.status]) from error
        with kept(calls, opened) as root:
            who = identity(calls, root)
            found = info.volume_attributes_of(calls.query_volume(root, VolumeInfo.ATTRIBUTE, 256))
            self._exports[who.volume] = Export(root, self._finds(root, who.file), found.name == "NTFS")
            self._volumes[root] = who.volume
            self._paths[root] = where
            self._describe(root, path)
        return root, who.volume

    def _describe(self, root: Handle, path: str) -> None:
        """What kind of folder it is, if it is no plain one."""
        row = row_of(tag_of(self._calls, root))
        if row is CLOUD:
            log.warning(
                "%s is a OneDrive folder, or another cloud provider's: files that are not on this computer are downloaded when clients read or "
                "write them, and clients wait for that",
                path,
            )
        elif self.is_filtered(root):
            log.warning("%s is %s: its contents come through a driver, and clients wait for that", path, row.words)

    def is_filtered(self, root: Handle) -> bool:
        """Does a filter driver (a cloud provider's, for one) keep what is in it? Then every call
        may wait.
        """
        tag = tag_of(self._calls, root)
        return bool(tag) and is_contents(tag)

    def close(self, root: Handle) -> int | None:
        """A root is about to be closed: its volume; None if it is no root."""
        volume = self._volumes.pop(root, None)
        if volume is not None:
            export = self._exports.get(volume)
            if export is not None and export.handle == root:
                del self._exports[volume]
            del self._paths[root]
        return volume

    def on(self, volume: int) -> Export | None:
        """The export on a volume."""
        return self._exports.get(volume)

    def _finds(self, root: Handle, file: int) -> bool:
        """Whether files can be opened by their ids here (not on FAT, nor through every
        redirector).
        """
        try:
            self._calls.close(self._by_id(root, file))
        except OSError:
            return False
        return True

    def _by_id(self, root: Handle, file: int, access: int = LIST, options: int = THROUGH) -> Handle:
        """A directory, by its id: it was opened before, so it was none of those that are not
        followed.
        """
        raw = file.to_bytes(8 if file < 1 << 64 else 16, "little")
        options |= Options.OPEN_BY_FILE_ID | Options.DIRECTORY_FILE
        try:
            return Handle(self._calls.create(root, from_units(raw), access, options)[0])
        except NtError as error:
            if error.status in _NO_SUCH_ID:
                raise Refused(Errno.ENOENT) from None
            raise

    def find(self, root: Handle, file: int) -> Handle:
        """A directory below a root, by its id, for listing."""
        return self._by_id(root, file)

    def find_itself(self, root: Handle, file: int, access: int) -> Handle:
        """A directory below a root, by its id, opened as the entry that it is. EOPNOTSUPP where
        files cannot be opened by id.
        """
        export = self._exports.get(self._volumes.get(root, 0))
        if export is None or not export.by_id:
            raise Refused(Errno.EOPNOTSUPP)
        return self._by_id(root, file, access, ITSELF)

    def directory_of(self, root: Handle) -> tuple[Handle, bytes] | None:
        """The directory that a root is in, and its name there; None if there is none (a drive) or
        it cannot be opened (a network share).
        """
        above, _, name = self._paths[root].rpartition("\\")
        known = client_name(name) if name else None
        if known is None:
            return None
        try:
            opened, _ = self._calls.create(NULL, f"{above}\\", LOOK, _OPTIONS, object_attributes=OBJ_CASE_INSENSITIVE)
        except NtError:
            return None
        return Handle(opened), known
