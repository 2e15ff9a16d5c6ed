r"""The lab on a Windows host: a real server in a thread, over the local driver, over the Windows
host module on a fake NT with NTFS semantics.

::

    C:\share          served, as \\server\share is on a network
    C:\share-secret   a sibling whose name begins with the export's
    C:\canary         files, folders and streams: none of it may change, none of it may be read

The volumes are of the kinds that differ (``VOLUMES``). The judge is the same as for other hosts,
with the fake's own picture of what is beside the export and the fake's own table of open handles.
"""

from __future__ import annotations

import gc
import secrets
import threading
from typing import Any, Self

import pytest
from tests.host.windows.outside import junction_data, symlink_data
from tests.support.served import Served
from tests.threats.lab import Lab, Records, handles

from ninep import host
from ninep.drivers.local import LocalDriver, new_handle_cache
from ninep.host import Handle
from ninep.host.windows.api import Attribute, Tag
from ninep.host.windows.host import NtHost
from ninep.server.exports import Export
from ninep.testing.fake_nt import FakeNt
from ninep.testing.fake_nt_volume import File, Volume

VOLUMES = {
    "ntfs": lambda: Volume(short_names=True),
    "refs": lambda: Volume(kind="ReFS", wide_ids=True),
    "unc": lambda: Volume(remote=True, posix=False, by_id=False, streams_by_handle=False),
    "fat": lambda: Volume(kind="FAT32", streams=False, posix=False, by_id=False, short_names=True),
}
# Which model on which volume: FAT has no streams.
ON = {"mapped-xattr": "ntfs", "passthrough": "refs", "none": "unc", "mapped-file": "fat"}
SECRET = "\\??\\C:\\share-secret"
LINKS = {
    "junction": (Tag.MOUNT_POINT, junction_data(SECRET)),
    "symlink": (Tag.SYMLINK, symlink_data(SECRET)),
    "relative": (Tag.SYMLINK, symlink_data("..\\share-secret")),
    "unc": (Tag.SYMLINK, symlink_data("\\??\\UNC\\server\\share-secret")),
    "loop": (Tag.MOUNT_POINT, junction_data("\\??\\C:\\share\\x")),
    "wsl": (Tag.LX_SYMLINK, b"\2\0\0\0../share-secret"),
    "app execution": (0x8000001B, b"\3\0\0\0program"),
    "DFS": (0x8000000A, b"\\server\\share-secret"),
    "unheard of": (0xA0FFFFFF, b""),
}


class Marker:
    """What the lab's clients look for in every reply."""

    def __init__(self) -> None:
        self.marker = secrets.token_hex(24).encode()


class WindowsLab(Lab):
    """A served folder of a fake volume and its judge. ``patch`` puts the Windows host in the place
    of this system's.
    """

    def __init__(self, patch: pytest.MonkeyPatch, kind: str, model: str, **options: Any) -> None:
        self.model = model
        self.kind = kind
        self.nt = FakeNt({"C:": VOLUMES[kind]()})
        self.canary = Marker()  # type: ignore[assignment]
        self._fill()
        self.windows = NtHost(self.nt)
        self._closing = threading.Lock()
        patch.setattr(host, "close", self._close)
        for name in set(host._system.__all__) - {"close"}:
            patch.setattr(host, name, getattr(self.windows, name))
        self.driver_under_test = LocalDriver("C:\\share", model, handles=new_handle_cache(64))
        self.records = Records()
        Served.__init__(self, exports=[Export("", self.driver_under_test)], **options)
        self.handles_before = set()
        self.gone = False

    def _fill(self) -> None:
        self.top_folder = self.volume.add("share")
        self.volume.add("share-secret")
        self.volume.add("share-secret\\file", self.canary.marker)
        self.volume.add("canary")
        self.volume.add("canary\\file", b"the secret: " + self.canary.marker)
        self.volume.add(f"canary\\{self.canary.marker.decode()}")
        if self.volume.streams:
            self.volume.at("canary\\file").streams["SECRET"] = _stream("secret", self.canary.marker)
        self._beside = self._picture()

    @property
    def volume(self) -> Volume:
        """The fake's volume."""
        return self.nt.volume

    def _close(self, handle: Handle, /) -> None:
        """A node of another test may be collected now, and closes its own kind of handle."""
        if handle in self.nt.handles:
            self.windows.close(handle)

    def _picture(self) -> dict[str, object]:
        """All that is on the volume outside the export, files and their streams."""
        seen = self.volume.picture().items()
        return {path: what for path, what in seen if path and path != "\\share" and not path.startswith("\\share\\")}

    def __enter__(self) -> Self:
        super().__enter__()
        self.handles_before = handles()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        super().__exit__(kind, *rest)
        self.driver_under_test.close()
        if kind is None:
            gc.collect()
            left = [opened.file.links for opened in self.nt.handles.values()]
            assert not left, f"handles left open: {left}"

    def check_beside(self) -> None:
        """Nothing outside the export has changed."""
        assert self._picture() == self._beside

    # -- what another program does in the export

    def names(self, folder: str = "share") -> set[str]:
        """What stands in a folder, as Windows has it, without what the server keeps for itself."""
        return {
            link.name
            for link in self.volume.at(folder).children.values()
            if not link.name.startswith((".ninep-", ".virtfs_metadata"))
        }

    def streams(self, path: str) -> set[str]:
        """The named streams of a file."""
        return {stream.name for stream in self.volume.at(path).streams.values() if stream.name}

    def link(self, name: str, kind: str, *, directory: bool) -> File:
        r"""A reparse point of this kind in ``C:\share``."""
        file = self.volume.add(f"share\\{name}", None if directory else b"")
        file.reparse = LINKS[kind]
        file.attributes |= Attribute.REPARSE_POINT
        return file


def _stream(name: str, data: bytes) -> Any:
    from ninep.testing.fake_nt_volume import Stream

    return Stream(name, bytearray(data))
