"""The objects of the fake NT: volumes, files, links (names) and streams, with NTFS semantics.

A *file* has an id; a *link* is one name of it in a directory; a *stream* contains bytes ("" is the
file's own data). Names keep their case and are compared without it, unless the directory is
case-sensitive. 8.3 aliases are generated as in NTFS where the volume has them.

Objects and names follow [MS-FSA] and the driver kit's documentation; the calls are in ``fake_nt``.
Every timestamp is later than the one before, so that a test can compare them.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ninep.host.windows import info
from ninep.host.windows.api import Attribute, Tag, VolumeFlag
from ninep.host.windows.status import NtError, Status

_PLAIN_83: Final = re.compile(r"[^ .+,;=\[\]]{1,8}(\.[^ .+,;=\[\]]{1,3})?")
_DEHYDRATED: Final = Attribute.RECALL_ON_DATA_ACCESS | Attribute.OFFLINE | Attribute.SPARSE_FILE
RECALLED: Final = Attribute.RECALL_ON_DATA_ACCESS | Attribute.RECALL_ON_OPEN | Attribute.OFFLINE
_ODD_83: Final = re.compile(r"[ .+,;=\[\]]")


def fold(name: str) -> str:
    """NTFS's upper-casing: each UTF-16 unit by itself, never changing the length."""
    if name.isascii():
        return name.upper()
    return "".join(upper if len(upper := c.upper()) == 1 else c for c in name)


@dataclass(eq=False)
class Stream:
    """The bytes of one stream."""

    name: str
    data: bytearray = field(default_factory=bytearray)
    delete_pending: bool = False


@dataclass(eq=False)
class Link:
    """One name of a file."""

    parent: File
    name: str
    file: File
    short: str = ""
    delete_pending: bool = False
    gone: bool = False


@dataclass(eq=False)
class File:
    """A file or directory."""

    volume: Volume
    id: int
    attributes: int
    created: int
    accessed: int
    written: int
    changed: int
    streams: dict[str, Stream] = field(default_factory=dict)
    children: dict[str, Link] = field(default_factory=dict)
    aliases: dict[str, Link] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    eas: dict[bytes, bytes] = field(default_factory=dict)
    reparse: tuple[int, bytes] | None = None
    case_sensitive: bool = False
    denied: int = 0
    """Access rights that the file's ACL denies."""
    mapped: bool = False
    """The image of a running program: cannot be removed or replaced."""
    elsewhere: bytes | None = None
    """What the cloud provider has of a file that is not on this computer."""

    @property
    def is_dir(self) -> bool:
        """Whether it is a directory, including a reparse point."""
        return bool(self.attributes & Attribute.DIRECTORY)

    def key(self, name: str) -> str:
        """The key of a name in this directory."""
        return name if self.case_sensitive else fold(name)

    def find(self, name: str) -> Link | None:
        """A child by its name or by its 8.3 alias."""
        found = self.children.get(self.key(name))
        if found is not None:
            return found
        return self.aliases.get(fold(name))

    def stream(self, name: str) -> Stream | None:
        """A stream, without regard to case."""
        return self.streams.get(fold(name))

    def touch(self, *, data: bool = False) -> None:
        """Record a change of contents or attributes."""
        self.changed = self.volume.tick()
        if data:
            self.written = self.changed


class Volume:
    """A volume. The options describe its filesystem, its system and the access to it."""

    def __init__(
        self,
        *,
        kind: str = "NTFS",
        serial: int = 0x1234_5678_9ABC_DEF0,
        streams: bool = True,
        streams_by_handle: bool = True,
        posix: bool = True,
        by_id: bool = True,
        wide_ids: bool = False,
        short_names: bool = False,
        read_only: bool = False,
        remote: bool = False,
        units: int = 1 << 31,
    ) -> None:
        self.kind = kind
        self.serial = serial
        self.streams = streams
        self.streams_by_handle = streams_by_handle
        self.posix = posix
        self.by_id = by_id
        self.wide_ids = wide_ids
        self.short_names = short_names
        self.read_only = read_only
        self.remote = remote
        self.units = units
        self.files: dict[int, File] = {}
        self.provider: Status | None = None
        """What a cloud provider answers that cannot supply a file."""
        self._last = 0
        self._numbers = itertools.count(5)
        self.root = self.new(Attribute.DIRECTORY)

    def tick(self) -> int:
        """The current time, later than any returned before."""
        self._last = max(self._last + 1, info.to_filetime(time.time_ns()))
        return self._last

    @property
    def flags(self) -> int:
        """FileSystemAttributes."""
        flags = VolumeFlag.NAMED_STREAMS if self.streams else 0
        flags |= VolumeFlag.SUPPORTS_POSIX_UNLINK_RENAME if self.posix else 0
        return flags | (VolumeFlag.READ_ONLY_VOLUME if self.read_only else 0)

    def new(self, attributes: int) -> File:
        """A file without a name."""
        number, now = next(self._numbers), self.tick()
        # The upper 16 bits of an NTFS file id count the uses of its record; ReFS has 128 bits.
        identity = number | (7 << 64 if self.wide_ids else 1 << 48)
        file = File(self, identity, attributes, now, now, now, now)
        if not file.is_dir:
            file.streams[""] = Stream("")
        self.files[identity] = file
        return file

    # -- names ---------------------------------------------------------------------------------------------------------

    def link(self, parent: File, name: str, file: File) -> Link:
        """Add a name of a file."""
        link = Link(parent, name, file)
        self.insert(link)
        file.links.append(link)
        parent.touch(data=True)
        file.touch()
        return link

    def insert(self, link: Link) -> None:
        """Add a link to its directory, with an 8.3 alias where the volume has them."""
        parent = link.parent
        link.short = self._alias(parent, link.name) if self.short_names else ""
        parent.children[parent.key(link.name)] = link
        if link.short:
            parent.aliases[fold(link.short)] = link

    @staticmethod
    def detach(link: Link) -> None:
        """Remove a link from its directory."""
        del link.parent.children[link.parent.key(link.name)]
        link.parent.aliases.pop(fold(link.short), None)

    def unlink(self, link: Link) -> None:
        """Remove a name. A file without names exists as long as a handle refers to it."""
        self.detach(link)
        link.gone = True
        link.file.links.remove(link)
        link.parent.touch(data=True)
        link.file.touch()
        if not link.file.links:
            self.files.pop(link.file.id, None)

    @staticmethod
    def _alias(parent: File, name: str) -> str:
        if _PLAIN_83.fullmatch(name) and name.isascii():
            return ""
        stem, _, extension = name.lstrip(".").rpartition(".") if "." in name.lstrip(".") else (name.lstrip("."), "", "")
        stem, extension = (_ODD_83.sub("", part).upper() for part in (stem, extension))
        for number in itertools.count(1):
            tail = f"~{number}"
            short = stem[: min(6, 8 - len(tail))] + tail + (f".{extension[:3]}" if extension else "")
            if parent.find(short) is None:
                return short
        raise AssertionError

    # -- what tests put there ------------------------------------------------------------------------------------------

    def add(self, path: str, data: bytes | None = None, *, reparse: tuple[int, bytes] | None = None) -> File:
        r"""Add a file with data, or a directory (``data`` None), as another program does; ``path``
        with ``\``.
        """
        parent, name = self.parent(path)
        file = self.new(Attribute.DIRECTORY if data is None else Attribute.ARCHIVE)
        if data is not None:
            file.streams[""].data[:] = data
        if reparse is not None:
            file.reparse = reparse
            file.attributes |= Attribute.REPARSE_POINT
        self.link(parent, name, file)
        return file

    def add_placeholder(self, path: str, content: bytes, tag: int = Tag.CLOUD) -> File:
        """A file of a cloud provider that is not on this computer: its size is here, its contents
        are not.
        """
        file = self.add(path, bytes(len(content)), reparse=(tag, b"\1\2\3"))
        file.attributes |= _DEHYDRATED
        file.elsewhere = content
        return file

    def parent(self, path: str) -> tuple[File, str]:
        """The directory of a path, and its last name."""
        *above, name = path.split("\\")
        directory = self.root
        for part in above:
            directory = self.at(part, directory)
        return directory, name

    def at(self, path: str, below: File | None = None) -> File:
        """The file at a path, without following reparse points."""
        file = below or self.root
        for part in path.split("\\") if path else ():
            link = file.find(part)
            if link is None:
                raise NtError(Status.OBJECT_NAME_NOT_FOUND, "FakeNt")
            file = link.file
        return file

    def remove(self, path: str) -> None:
        """Another program removes a file."""
        parent, name = self.parent(path)
        link = parent.find(name)
        assert link is not None
        self.unlink(link)

    def move(self, path: str, to: str) -> None:
        """Another program renames a file."""
        parent, name = self.parent(path)
        link = parent.find(name)
        assert link is not None
        file = link.file
        self.unlink(link)
        self.files[file.id] = file
        self.link(*self.parent(to), file)

    def walk(self) -> Iterator[tuple[str, File]]:
        """Every path and file, for comparison before and after."""
        waiting = [("", self.root)]
        while waiting:
            path, file = waiting.pop()
            yield path, file
            waiting.extend((f"{path}\\{link.name}", link.file) for link in file.children.values())

    def picture(self) -> dict[str, object]:
        """The state that an untouched file keeps: names, types, contents of all streams,
        attributes, mtime.
        """
        return {
            path: (file.attributes, file.written, {s.name: bytes(s.data) for s in file.streams.values()}, file.reparse)
            for path, file in self.walk()
        }
