"""Reparse tags: what a reparse point is, decided by its tag alone.

A tag says which filter driver or which part of the system handles a reparse point [MS-FSCC 2.1.2.1,
ntifs.h]. Three meanings matter here:

* ``LINK`` and the types of WSL and AF_UNIX: shown as what they are, never followed, never opened;
* ``CONTENTS``: a file or directory whose data a filter driver supplies (files of a cloud provider,
  deduplicated or compressed ones, projected ones): the file itself, read and written through the
  filter;
* ``OPAQUE``: anything that leads somewhere else or stands for a program or a hidden object: seen
  and removed, not opened.

A tag that is not listed has its meaning from one bit: name surrogates stand for another object, all
others are files [ntifs.h, IsReparseTagNameSurrogate].
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from ninep import linux
from ninep.host.windows.api import Tag

_NAME_SURROGATE: Final = 0x20000000
_CLOUD_VARIANT: Final = 0xF000
"""IO_REPARSE_TAG_CLOUD_1 to _F: which of its own tags a provider uses does not matter."""


class Meaning(Enum):
    """What to do with a reparse point."""

    LINK = "link"
    SPECIAL = "special file"
    CONTENTS = "contents"
    OPAQUE = "opaque"


class Row(NamedTuple):
    """A tag: its meaning, what it is to people, and the type that it has for clients if it is no
    plain file.
    """

    meaning: Meaning
    words: str
    type: int = linux.S_IFREG


_PLAIN: Final = Row(Meaning.CONTENTS, "a plain file")
_SURROGATE: Final = Row(Meaning.OPAQUE, "a stand-in for another object")
_FILTERED: Final = Row(Meaning.CONTENTS, "a file of a filter driver")
CLOUD: Final = Row(Meaning.CONTENTS, "a file of a cloud provider")
_TABLE: Final[dict[int, Row]] = {
    Tag.MOUNT_POINT: Row(Meaning.LINK, "a junction or mount point", linux.S_IFLNK),
    Tag.SYMLINK: Row(Meaning.LINK, "a symbolic link", linux.S_IFLNK),
    Tag.LX_SYMLINK: Row(Meaning.LINK, "a symbolic link of WSL", linux.S_IFLNK),
    Tag.AF_UNIX: Row(Meaning.SPECIAL, "a socket", linux.S_IFSOCK),
    Tag.LX_FIFO: Row(Meaning.SPECIAL, "a FIFO of WSL", linux.S_IFIFO),
    Tag.LX_CHR: Row(Meaning.SPECIAL, "a character device of WSL", linux.S_IFCHR),
    Tag.LX_BLK: Row(Meaning.SPECIAL, "a block device of WSL", linux.S_IFBLK),
    # No name surrogates by their bit, and yet they lead to another program, server or object.
    Tag.APPEXECLINK: Row(Meaning.OPAQUE, "an alias of a Store application"),
    Tag.DFS: Row(Meaning.OPAQUE, "a link of DFS"),
    Tag.DFSR: Row(Meaning.OPAQUE, "a link of DFS replication"),
    Tag.FILTER_MANAGER: Row(Meaning.OPAQUE, "a test of the filter manager"),
    Tag.UNHANDLED: Row(Meaning.OPAQUE, "a reparse point that cannot be handled"),
    Tag.CLOUD: CLOUD,
    Tag.ONEDRIVE: CLOUD,
    Tag.HSM: Row(Meaning.CONTENTS, "a file in hierarchical storage"),
    Tag.HSM2: Row(Meaning.CONTENTS, "a file in hierarchical storage"),
    Tag.SIS: Row(Meaning.CONTENTS, "a file of single-instance storage"),
    Tag.WIM: Row(Meaning.CONTENTS, "a file of a mounted image"),
    Tag.DEDUP: Row(Meaning.CONTENTS, "a deduplicated file"),
    Tag.NFS: Row(Meaning.CONTENTS, "a file of the NFS server"),
    Tag.WOF: Row(Meaning.CONTENTS, "a compressed file"),
    Tag.WCI: Row(Meaning.CONTENTS, "a file of a container"),
    Tag.WCI_1: Row(Meaning.CONTENTS, "a file of a container"),
    Tag.PROJFS: Row(Meaning.CONTENTS, "a projected file"),
    Tag.STORAGE_SYNC: Row(Meaning.CONTENTS, "a file of Azure File Sync"),
    Tag.STORAGE_SYNC_FOLDER: Row(Meaning.CONTENTS, "a folder of Azure File Sync"),
}


def row_of(tag: int) -> Row:
    """The row of a tag, whether it is listed or not; 0: a file that is no reparse point."""
    if not tag:
        return _PLAIN
    row = _TABLE.get(tag)
    if row is not None:
        return row
    if tag & ~_CLOUD_VARIANT == Tag.CLOUD:
        return CLOUD
    return _SURROGATE if tag & _NAME_SURROGATE else _FILTERED


def is_contents(tag: int) -> bool:
    """Is it the file itself, to be opened as any other?"""
    return row_of(tag).meaning is Meaning.CONTENTS


def is_link(tag: int) -> bool:
    """Is it a link with a target that can be read?"""
    return row_of(tag).meaning is Meaning.LINK
