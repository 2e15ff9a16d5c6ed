"""Two names in one call: neither links are followed nor mounts crossed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from tests.faults.disks import needs_root, run, tmpfs, unmount
from tests.support.descriptors import open_descriptors

from ninep import host
from ninep.errors import linux_errno
from ninep.host import Handle, Stat, _steps
from ninep.linux import Errno

Look = Callable[[Handle, bytes, bytes], Stat | None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(b"12345")
    (tmp_path / "folder" / "link").symlink_to("file")
    (tmp_path / "to_folder").symlink_to("folder")
    (tmp_path / "file").touch()
    return tmp_path


@pytest.fixture
def dir(folder: Path) -> Iterator[Handle]:
    handle = host.open_root(str(folder))
    yield handle
    host.close(handle)


@pytest.fixture(params=["in one call", "by steps"])
def look(request: pytest.FixtureRequest) -> Look:
    """``stat_below`` of the host, and as hosts without such a call have it."""
    if request.param == "in one call":
        return host.stat_below
    return partial(_steps.stat_below, host.open_path, host.stat_at, host.close)


def test_a_file_in_a_folder(folder: Path, dir: Handle, look: Look) -> None:
    found = look(dir, b"folder", b"file")
    assert found is not None
    assert (found.st_ino, found.st_size) == (os.stat(folder / "folder" / "file").st_ino, 5)


def test_a_link_is_not_followed(folder: Path, dir: Handle, look: Look) -> None:
    found = look(dir, b"folder", b"link")
    assert found is not None
    assert found.st_ino == os.lstat(folder / "folder" / "link").st_ino


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (b"folder", b"nothing"),
        (b"nothing", b"file"),
        (b"file", b"file"),
        (b"to_folder", b"file"),  # a link in the place of the folder
        (b"folder", b"n" * 256),
    ],
)
def test_what_is_not_there(dir: Handle, look: Look, first: bytes, second: bytes) -> None:
    before = open_descriptors()
    assert look(dir, first, second) is None
    assert open_descriptors() == before


def test_other_errors_are_raised(look: Look) -> None:
    with pytest.raises(OSError, match="descriptor") as error:
        look(Handle(-1), b"folder", b"file")
    assert linux_errno(error.value) is Errno.EBADF


@needs_root
@pytest.mark.skipif(not host.SEES_MOUNTS, reason="openat2(2) is missing or forbidden here")
def test_a_folder_that_is_mounted_there_is_not_entered(folder: Path, dir: Handle) -> None:
    with tmpfs(folder / "folder"):
        (folder / "folder" / "file").touch()
        assert host.stat_below(dir, b"folder", b"file") is None


@needs_root
@pytest.mark.skipif(not host.SEES_MOUNTS, reason="openat2(2) is missing or forbidden here")
def test_a_file_that_is_mounted_there_is_not_looked_at(folder: Path, dir: Handle) -> None:
    at = folder / "folder" / "file"
    done = run("mount", "--bind", folder / "file", at)
    if done.returncode:
        pytest.skip(f"cannot mount: {done.stderr.strip()}")
    try:
        assert host.stat_below(dir, b"folder", b"file") is None
    finally:
        unmount(at)
