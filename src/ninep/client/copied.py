"""What one command has made so far, so that two of its sources never become one file without a word.

Names that differ at their source can be one name at the other end: where case is folded (NTFS, APFS, vfat, some ext4), where accents are
normalised, where a short alias exists; and several sources of one command can have the same name. What is found at a place is therefore
looked up here before it is replaced: local files by device and inode, those of a server by their qid.
"""

from __future__ import annotations

import errno
import os
from typing import Final

_WORDS: Final = "not overwritten: this command has just made it"


class Copied:
    """The files and directories that a command has made. Share one between the calls that belong together."""

    def __init__(self) -> None:
        self._files: dict[int, set[int]] = {}
        self._directories: dict[tuple[int, int], tuple[int, int, str]] = {}
        self._remote: dict[int, str] = {}

    # -- on this host --------------------------------------------------------------------------------------------------

    def made(self, found: os.stat_result) -> None:
        """A local file or link was made."""
        self._files.setdefault(found.st_dev, set()).add(found.st_ino)

    def check(self, found: os.stat_result, path: str) -> None:
        """EEXIST if what is at ``path``, and would be replaced, was made by this command."""
        if found.st_ino in self._files.get(found.st_dev, ()):
            raise FileExistsError(
                errno.EEXIST, f"{_WORDS} (the same name, or one that this host takes for the same)", path
            )

    def entered(self, found: os.stat_result, parent: os.stat_result, name: str, path: str) -> None:
        """Things are copied into the local directory ``name`` of ``parent``. EEXIST if that is so of another name that is the same directory."""
        place = parent.st_dev, parent.st_ino, name
        other = self._directories.setdefault((found.st_dev, found.st_ino), place)
        if other != place:
            raise FileExistsError(
                errno.EEXIST, f"this host takes it for {other[2]}, which this command has just made", path
            )

    # -- on a server ---------------------------------------------------------------------------------------------------

    def made_remote(self, qid_path: int, path: str) -> None:
        """A file, link or directory of the server was made."""
        self._remote[qid_path] = path

    def remote(self, qid_path: int) -> str | None:
        """The path of what this command has made with this qid."""
        return self._remote.get(qid_path)


def not_overwritten(other: str, path: str) -> FileExistsError:
    """The error for what a server has at ``path`` if it is what was made at ``other``."""
    same = "" if other == path else f" ({other}: the server takes both names for one)"
    return FileExistsError(errno.EEXIST, f"{_WORDS}{same}", path)
