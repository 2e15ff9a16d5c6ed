"""A real NTFS volume: a file with NTFS on it, mounted by ntfs-3g with ``file:stream`` names. Needs
root.

What a Windows program has left there can be looked at from outside: ``streams`` mounts the image in
the other way, as attributes.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.guest.debs import Unavailable, system

IMAGE_MIB = 256
LET_GO_LIMIT = 20.0  # seconds that a program of Wine's may take to close its last file


@dataclass(frozen=True)
class Volume:
    """A mounted volume. ``folder`` is a folder below its root: Wine takes the mount point itself
    for a reparse point.
    """

    image: Path
    mounted: Path

    @property
    def folder(self) -> Path:
        """The folder for tests."""
        return self.mounted / "folder"

    def streams(self, *names: str) -> dict[str, dict[str, bytes]]:
        """The named streams of these files below ``folder``, by name, as ntfs-3g shows them when
        mounted for attributes.
        """
        self._unmount()
        _mount(self.image, self.mounted, "xattr")
        try:
            return {name: _attributes(self.folder / name) for name in names}
        finally:
            self._unmount()
            _mount(self.image, self.mounted, "windows")

    def _unmount(self) -> None:
        deadline = time.monotonic() + LET_GO_LIMIT
        while True:
            try:
                return system(["umount", str(self.mounted)])
            except Unavailable:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.2)  # there is no event for the end of another program's open files


@contextlib.contextmanager
def ntfs_volume() -> Iterator[Volume]:
    """A freshly made volume for the length of a block. ``Unavailable`` without root or ntfs-3g."""
    if os.geteuid():
        raise Unavailable("mounting an NTFS image needs root")
    with tempfile.TemporaryDirectory(prefix="ninep-ntfs.") as scratch:
        volume = Volume(Path(scratch, "image"), Path(scratch, "mounted"))
        volume.mounted.mkdir()
        with volume.image.open("wb") as file:
            file.truncate(IMAGE_MIB << 20)
        system(["mkfs.ntfs", "-F", "-q", "-Q", str(volume.image)], stdout=subprocess.DEVNULL)
        _mount(volume.image, volume.mounted, "windows")
        try:
            volume.folder.mkdir()
            yield volume
        finally:
            system(["umount", "--lazy", str(volume.mounted)])  # a program of Wine's may take a moment to let go


def _mount(image: Path, where: Path, streams: str) -> None:
    """``streams`` is ``windows`` (as ``file:stream``) or ``xattr`` (as ``user.`` attributes)."""
    options = f"streams_interface={streams},permissions,noatime"
    system(["ntfs-3g", str(image), str(where), "-o", options], stdout=subprocess.DEVNULL)


def _attributes(path: Path) -> dict[str, bytes]:
    """ntfs-3g puts ``user.`` before the name of each stream."""
    names = (name for name in os.listxattr(path, follow_symlinks=False) if name.startswith("user."))
    return {name.removeprefix("user."): os.getxattr(path, name, follow_symlinks=False) for name in names}
