"""What other programs do in the folder meanwhile, on any system: the NT calls themselves, without
the host module in between.

Names are the host's (UTF-16), one below the root or several with backslashes.
"""

import contextlib
from collections.abc import Iterator

from ninep.host.windows import info
from ninep.host.windows.api import Access, Attribute, Control, Disposition, Info, NtCalls, Options, Share
from ninep.host.windows.open import OURS

_OPTIONS = Options.OPEN_REPARSE_POINT | Options.OPEN_FOR_BACKUP_INTENT
_ALL = Access.READ_DATA | Access.WRITE_DATA | Access.READ_ATTRIBUTES | Access.WRITE_ATTRIBUTES | Access.DELETE


class Outside:
    """Another program with the folder open."""

    def __init__(self, calls: NtCalls, root: int) -> None:
        self.calls = calls
        self.root = root

    @contextlib.contextmanager
    def open(
        self,
        name: str,
        access: int = _ALL,
        *,
        share: int = Share.ALL,
        options: int = 0,
        disposition: int = Disposition.OPEN,
        attributes: int = 0,
    ) -> Iterator[int]:
        """A handle, for the length of a block."""
        handle, _ = self.calls.create(
            self.root, name, access, _OPTIONS | options, share=share, disposition=disposition, attributes=attributes
        )
        try:
            yield handle
        finally:
            self.calls.close(handle)

    def write(self, name: str, data: bytes = b"") -> None:
        """Make or fill a file (or a stream: ``file:stream``)."""
        with self.open(name, disposition=Disposition.OPEN_IF, options=Options.NON_DIRECTORY_FILE) as handle:
            if data:
                self.calls.write(handle, data, 0)

    def read(self, name: str) -> bytes:
        """The contents of a file or stream."""
        with self.open(name, Access.READ_DATA) as handle:
            return self.calls.read(handle, 1 << 20, 0)

    def mkdir(self, name: str) -> None:
        """Make a directory."""
        with self.open(name, Access.READ_ATTRIBUTES, disposition=Disposition.CREATE, options=Options.DIRECTORY_FILE):
            pass

    def remove(self, name: str) -> None:
        """Remove a file, an empty directory or a link."""
        with self.open(name, Access.DELETE) as handle:
            self.calls.change(handle, Info.DISPOSITION, b"\1")

    def rename(self, name: str, new: str) -> None:
        """Rename, replacing nothing."""
        with self.open(name, Access.DELETE) as handle:
            self.calls.change(handle, Info.RENAME, info.rename(0, self.root, new))

    def attributes(self, name: str) -> int:
        """File attributes."""
        with self.open(name, Access.READ_ATTRIBUTES) as handle:
            return int(info.BASIC.unpack(self.calls.query(handle, Info.BASIC, info.BASIC.size))[4])

    def make_readonly(self, name: str) -> None:
        """Set Windows' read-only attribute."""
        with self.open(name, Access.WRITE_ATTRIBUTES) as handle:
            self.calls.change(handle, Info.BASIC, info.BASIC.pack(*info.Basic(attributes=Attribute.READONLY)))

    def set_reparse(self, name: str, tag: int, data: bytes) -> None:
        """Turn a file or an empty directory into a reparse point."""
        with self.open(name, Access.WRITE_ATTRIBUTES | Access.WRITE_DATA) as handle:
            self.calls.control(handle, Control.SET_REPARSE_POINT, info.reparse(tag, data), 0)

    def names(self, directory: str = "") -> set[str]:
        """What stands in a directory, without what the host module keeps there for itself."""
        found: set[str] = set()
        with self.open(directory, Access.READ_DATA, options=Options.DIRECTORY_FILE) as handle:
            while raw := self.calls.query_directory(handle, 65536):
                found |= {entry.name for entry in info.entries_of(raw)}
        return {name for name in found - {".", ".."} if not name.startswith(OURS.decode())}

    def exists(self, name: str) -> bool:
        """Is there anything of that name?"""
        return name in self.names()


def symlink_data(target: str, *, relative: bool = False) -> bytes:
    """The data of an NT symbolic link [MS-FSCC 2.1.2.4]."""
    raw = target.encode("utf-16-le")
    shown = target.removeprefix("\\??\\").encode("utf-16-le")
    return (
        (0).to_bytes(2, "little")
        + len(raw).to_bytes(2, "little")
        + len(raw).to_bytes(2, "little")
        + len(shown).to_bytes(2, "little")
        + int(relative).to_bytes(4, "little")
        + raw
        + shown
    )


def junction_data(target: str) -> bytes:
    """The data of a mount point [MS-FSCC 2.1.2.5]: as a symbolic link's, without flags."""
    data = symlink_data(target)
    return data[:8] + data[12:]
