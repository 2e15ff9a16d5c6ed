"""A record of the files made by one command, so that it never overwrites the copy of one source by
another.

Different names of sources can be one name at the destination: where case is folded (NTFS, APFS,
vfat, some ext4), where accents are normalised, where short aliases exist; and several sources of
one command can have the same name. So an existing file is looked up here before it is replaced:
local files by device and inode, those of a server by their qid.
"""

from __future__ import annotations

import errno
import os
from typing import Final

from ninep.client.errors import ServerPath

_WORDS: Final = "not overwritten: this command has just made it"


class Copied:
    """The files and directories that a command has made. Use one object for all calls of a
    command.
    """

    def __init__(self) -> None:
        self._files: dict[int, set[int]] = {}
        self._directories: dict[tuple[int, int], tuple[int, int, str]] = {}
        self._remote: dict[int, str] = {}

    # -- on this host --------------------------------------------------------------------------------------------------

    def record(self, found: os.stat_result) -> None:
        """Record a new local file or link."""
        self._files.setdefault(found.st_dev, set()).add(found.st_ino)

    def check(self, found: os.stat_result, path: str) -> None:
        """EEXIST if the file at ``path``, which is about to be replaced, was made by this
        command.
        """
        if found.st_ino in self._files.get(found.st_dev, ()):
            raise FileExistsError(
                errno.EEXIST, f"{_WORDS} (the same name, or one that this host takes for the same)", path
            )

    def enter_directory(self, found: os.stat_result, parent: os.stat_result, name: str, path: str) -> None:
        """Record that files are copied into the local directory ``name`` of ``parent``. EEXIST if
        this command already copies into the same directory under another name.
        """
        location = parent.st_dev, parent.st_ino, name
        other = self._directories.setdefault((found.st_dev, found.st_ino), location)
        if other != location:
            raise FileExistsError(
                errno.EEXIST, f"this host takes it for {other[2]}, which this command has just made", path
            )

    # -- on a server ---------------------------------------------------------------------------------------------------

    def record_remote(self, qid_path: int, path: str) -> None:
        """Record a new file, link or directory of the server."""
        self._remote[qid_path] = path

    def forget_remote(self, path: str) -> None:
        """The file at ``path`` is to be made once more."""
        for qid_path in [made for made, known in self._remote.items() if known == path]:
            del self._remote[qid_path]

    def remote_path(self, qid_path: int) -> str | None:
        """The path of the file with this qid that this command has made, if any."""
        return self._remote.get(qid_path)


def not_overwritten(other: str, path: str) -> FileExistsError:
    """The error for the file of a server at ``path``, if it is the one that was made at
    ``other``.
    """
    same = "" if other == path else f" ({other}: the server takes both names for one)"
    return FileExistsError(errno.EEXIST, f"{_WORDS}{same}", ServerPath(path))
