"""The objects of the fake NT: volumes, files, links (names) and streams, with NTFS semantics.

A *file* is what has an id; a *link* is one name of it in a directory; a *stream* holds bytes ("" is the file's own
data). Names keep their case and are found without it, unless the directory is case-sensitive. 8.3 aliases are made
as NTFS makes them where a volume has them.

What is modelled is what [MS-FSA] and the driver kit's documentation say about objects and names; what the calls make
of it is in ``fake_nt``. No two moments are the same, so that a test can tell "later" from "at once".
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from ninep.host.windows import info
from ninep.host.windows.api import Attribute, VolumeFlag
from ninep.host.windows.status import NtError, Status

_PLAIN_83: Final = re.compile(r"[^ .+,;=\[\]]{1,8}(\.[^ .+,;=\[\]]{1,3})?")
_ODD_83: Final = re.compile(r"[ .+,;=\[\]]")


def fold(name: str) -> str:
    """NTFS's upper-casing: unit by unit, never changing the length."""
    if name.isascii():
        return name.upper()
    return "".join(upper if len(upper := c.upper()) == 1 else c for c in name)


@dataclass(eq=False)
class Stream:
    """One run of bytes."""

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
    """Access rights that the file's ACL refuses."""
    mapped: bool = False
    """A running program: cannot be removed or replaced."""

    @property
    def is_dir(self) -> bool:
        """A directory, also one that is a reparse point."""
        return bool(self.attributes & Attribute.DIRECTORY)

    def key(self, name: str) -> str:
        """How a name is found in this directory."""
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
        """Contents or attributes changed just now."""
        self.changed = self.volume.tick()
        if data:
            self.written = self.changed


class Volume:
    """A volume. The options say what its filesystem, its system or the way to it can do."""

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
        self._last = 0
        self._numbers = itertools.count(5)
        self.root = self.new(Attribute.DIRECTORY)

    def tick(self) -> int:
        """The time, and later than ever before."""
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
        # The upper 16 bits of an NTFS file id count how often its record was used; ReFS has 128 bits.
        identity = number | (7 << 64 if self.wide_ids else 1 << 48)
        file = File(self, identity, attributes, now, now, now, now)
        if not file.is_dir:
            file.streams[""] = Stream("")
        self.files[identity] = file
        return file

    # -- names ---------------------------------------------------------------------------------------------------------

    def link(self, parent: File, name: str, file: File) -> Link:
        """Give a file a name."""
        link = Link(parent, name, file)
        self.place(link)
        file.links.append(link)
        parent.touch(data=True)
        file.touch()
        return link

    def place(self, link: Link) -> None:
        """Enter a link in its directory, with an 8.3 alias where the volume makes them."""
        parent = link.parent
        link.short = self._alias(parent, link.name) if self.short_names else ""
        parent.children[parent.key(link.name)] = link
        if link.short:
            parent.aliases[fold(link.short)] = link

    @staticmethod
    def displace(link: Link) -> None:
        """Take a link out of its directory."""
        del link.parent.children[link.parent.key(link.name)]
        link.parent.aliases.pop(fold(link.short), None)

    def unlink(self, link: Link) -> None:
        """Take a name away; a file without names and handles is forgotten by whoever holds it."""
        self.displace(link)
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
        r"""A file with data, or a directory (``data`` None), as another program makes it; ``path`` with ``\``."""
        parent, name = self.parent(path)
        file = self.new(Attribute.DIRECTORY if data is None else Attribute.ARCHIVE)
        if data is not None:
            file.streams[""].data[:] = data
        if reparse is not None:
            file.reparse = reparse
            file.attributes |= Attribute.REPARSE_POINT
        self.link(parent, name, file)
        return file

    def parent(self, path: str) -> tuple[File, str]:
        """The directory of a path, and the last name."""
        *above, name = path.split("\\")
        directory = self.root
        for part in above:
            directory = self.at(part, directory)
        return directory, name

    def at(self, path: str, below: File | None = None) -> File:
        """A file by its path, following nothing."""
        file = below or self.root
        for part in path.split("\\") if path else ():
            link = file.find(part)
            if link is None:
                raise NtError(Status.OBJECT_NAME_NOT_FOUND, "FakeNt")
            file = link.file
        return file

    def remove(self, path: str) -> None:
        """A host program removes a file."""
        parent, name = self.parent(path)
        link = parent.find(name)
        assert link is not None
        self.unlink(link)

    def move(self, path: str, to: str) -> None:
        """A host program renames a file."""
        parent, name = self.parent(path)
        link = parent.find(name)
        assert link is not None
        file = link.file
        self.unlink(link)
        self.files[file.id] = file
        self.link(*self.parent(to), file)

    def walk(self) -> Iterator[tuple[str, File]]:
        """Every path and file, for comparing before and after."""
        waiting = [("", self.root)]
        while waiting:
            path, file = waiting.pop()
            yield path, file
            waiting.extend((f"{path}\\{link.name}", link.file) for link in file.children.values())

    def picture(self) -> dict[str, object]:
        """All that a canary must keep: names, types, contents of all streams, attributes, mtime."""
        return {
            path: (file.attributes, file.written, {s.name: bytes(s.data) for s in file.streams.values()}, file.reparse)
            for path, file in self.walk()
        }
