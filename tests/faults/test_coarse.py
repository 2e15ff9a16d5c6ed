"""Filesystems whose times move in steps of a second or two: what is kept of them is never older
than what is there.
"""

from __future__ import annotations

import os
import shutil
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults import disks
from tests.faults.disks import ext4, mounted, needs_root

from ninep.drivers.local import LocalDriver, LocalNode, new_handle_cache
from ninep.linux import GETATTR_BASIC, O_RDWR
from ninep.node import User
from ninep.security.attr_cache import RACY
from ninep.wire.codec import unpack_dirents

pytestmark = needs_root


@pytest.fixture
def base() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ninep-coarse.") as folder:
        yield Path(folder)


def make_fat(image: Path) -> None:
    if shutil.which("mkfs.vfat") is None:
        pytest.skip("mkfs.vfat is not installed (dosfstools)")
    with image.open("wb") as file:
        file.truncate(8 << 20)
    made = disks.run("mkfs.vfat", image)
    if made.returncode:
        pytest.skip(f"no FAT image: {made.stderr.strip()}")


@pytest.fixture(params=["ext4 -I 128", "vfat"])
def disk(base: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    if request.param == "vfat":
        make_fat(base / "image")
        with mounted(base / "disk", "-o", "loop", base / "image") as folder:
            yield folder
    else:
        with ext4(base / "disk", base / "image", 8, ["-I", "128"]) as folder:
            yield folder


def listed(root: LocalNode) -> set[bytes]:
    """As clients read it, and as it may be kept."""
    directory = root.opendir()
    try:
        found = b""
        cookie = 0
        while data := directory.read_packed(cookie, 1 << 16):
            found += bytes(data)
            cookie = unpack_dirents(data)[-1].cookie
        return {entry.name for entry in unpack_dirents(found)}
    finally:
        directory.close()


@pytest.mark.parametrize("model", ["passthrough", "mapped-file"])
def test_a_listing_has_every_file_that_was_made(disk: Path, model: str) -> None:
    """Files made one after the other, with a listing after each: all in the same second or two,
    whatever they are.
    """
    driver = LocalDriver(str(disk), model, handles=new_handle_cache(100))
    root = driver.attach(User())
    made: set[bytes] = set()
    for number in range(60):
        name = b"f%d" % number
        (disk / os.fsdecode(name)).write_bytes(b"")
        made.add(name)
        assert made <= listed(root)
        assert made <= listed(root)
    root.release()
    driver.close()


def test_a_mode_that_another_process_revokes(base: Path) -> None:
    """It writes the attribute in the same second as the file was made and looked at."""
    with ext4(base / "disk", base / "image", 8, ["-I", "128"]) as disk:
        driver = LocalDriver(str(disk), "mapped-xattr", handles=new_handle_cache(100))
        root = driver.attach(User())
        node, file = root.create(b"file", O_RDWR, 0o644, 0, 0)
        file.close()
        own = time.monotonic_ns() + RACY  # for so long what this server wrote itself counts
        while time.monotonic_ns() <= own:
            node.getattr(GETATTR_BASIC)
        for bits in (0o600, 0o640, 0o000):
            os.setxattr(disk / "file", "user.virtfs.mode", struct.pack("<I", 0o100000 | bits))
            assert node.getattr(GETATTR_BASIC).mode == 0o100000 | bits
        node.release()
        root.release()
        driver.close()


def test_permissions_on_fat_are_looked_at_each_time(base: Path) -> None:
    """FAT's chmod moves no time at all."""
    make_fat(base / "image")
    export = base / "export"
    (export / "disk").mkdir(parents=True)
    with mounted(export / "disk", "-o", "loop", base / "image") as disk:
        (disk / "file").write_bytes(b"")
        os.utime(disk / "file", (1, 1))
        driver = LocalDriver(str(export), "mapped-xattr", handles=new_handle_cache(100))
        root = driver.attach(User())
        folder = root.walk(b"disk")
        node = folder.walk(b"file")
        before = node.getattr(GETATTR_BASIC).mode
        (disk / "file").chmod(0o555)
        after = node.getattr(GETATTR_BASIC).mode
        assert after == (disk / "file").stat().st_mode != before
        for one in (node, folder, root):
            one.release()
        driver.close()
