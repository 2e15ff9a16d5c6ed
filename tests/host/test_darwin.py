"""The macOS primitives, as far as Linux has their equals: by-name verbs with an identity check,
ghosts, snapshots.

The module is put in place of the host, with three things exchanged that Linux spells differently:
the flags of a path handle (O_SYMLINK and O_EVTONLY are unknown here, so that a link becomes a
ghost), locks, and fsetxattr, statfs, whose arguments or answers differ.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.drivers.local.conftest import refusal
from tests.support.descriptors import open_descriptors

from ninep import host
from ninep.drivers.local import LocalDriver, new_handle_cache
from ninep.errors import Refused
from ninep.host import Handle, ObjectRef
from ninep.linux import O_RDONLY, O_RDWR, O_TRUNC, Errno
from ninep.node import NOW, Node, User
from ninep.testing.suite import Capabilities, DriverSuite
from ninep.testing.suite.links import SymlinkTests

linux = pytest.importorskip("ninep.host._linux", reason="stands in for macOS on Linux", exc_type=ImportError)
darwin = pytest.importorskip("ninep.host._darwin", reason="POSIX only", exc_type=ImportError)

EXCHANGED = ("lock", "test_lock", "statfs", "volume", "set_xattr", "list_xattrs", "get_xattr", "remove_xattr")


@pytest.fixture(autouse=True)
def macos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(darwin, "_PATH_FLAGS", os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    for name in darwin.__all__:
        monkeypatch.setattr(host, name, getattr(linux if name in EXCHANGED else darwin, name))
    # the one call that Python has on macOS only: ghosts of this test are reached through /proc
    # instead
    monkeypatch.setattr(darwin._posix, "chmod_by_name", lambda place, held, mode: through_proc(place, mode))


def through_proc(place: ObjectRef, mode: int) -> None:
    path_handle = linux.open_path(place.dir, place.name)
    try:
        linux.chmod(place._replace(path_handle=path_handle), mode)
    finally:
        linux.close(path_handle)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"0123456789")
    (tmp_path / "other").write_bytes(b"other")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")
    return tmp_path


@pytest.fixture
def root(folder: Path) -> Iterator[Handle]:
    handle = darwin.open_root(str(folder))
    yield handle
    darwin.close(handle)


def place(root: Handle, name: bytes) -> ObjectRef:
    return ObjectRef(darwin.open_path(root, name), root, name)


def test_ghosts_stand_in_for_what_cannot_be_opened(root: Handle) -> None:
    before, known = open_descriptors(), set(darwin._ghosts)
    ghosts = [darwin.open_path(root, name) for name in (b"fifo", b"link")]
    assert [number < -1 for number in ghosts] == [True, True]
    assert [stat.S_IFMT(darwin.stat(ghost).st_mode) for ghost in ghosts] == [stat.S_IFIFO, stat.S_IFLNK]
    for ghost in ghosts:
        darwin.close(ghost)
    assert not open_descriptors() - before
    assert set(darwin._ghosts) == known


def test_a_ghost_sees_that_it_is_another(root: Handle, folder: Path) -> None:
    where = place(root, b"fifo")
    os.rename(folder / "fifo", folder / "gone")
    assert refusal(darwin.stat, where.path_handle) is Errno.ENOENT
    os.mkfifo(folder / "fifo")
    for verb, arguments in ((darwin.chmod, (0o600,)), (darwin.chown, (-1, -1)), (darwin.utimes, (1, 1))):
        assert refusal(verb, where, *arguments) is Errno.ESTALE
    assert refusal(darwin.open_file, where, O_RDONLY) is Errno.ESTALE
    assert refusal(darwin.make_link, where, root, b"new") is Errno.ESTALE


def test_by_name_only_if_it_is_the_same(root: Handle, folder: Path) -> None:
    where = place(root, b"file")
    assert darwin.read(darwin.open_file(where, O_RDONLY), 3, 0) == b"012"
    assert darwin.stat(darwin.open_file(where, O_RDWR | O_TRUNC)).st_size == 0
    os.rename(folder / "other", folder / "file")
    assert refusal(darwin.open_file, where, O_RDWR | O_TRUNC) is Errno.ESTALE
    assert refusal(darwin.make_link, where, root, b"new") is Errno.ESTALE
    assert (folder / "file").read_bytes() == b"other"
    assert not (folder / "new").exists()
    darwin.chmod(where, 0o600)  # through the descriptor, whatever the name leads to
    darwin.utimes(where, 5, NOW)
    assert darwin.stat(where.path_handle).st_atime_ns == 5
    os.rename(folder / "link", folder / "moved")
    os.symlink("elsewhere", folder / "link")
    assert darwin.read_link(place(root, b"link")) == b"elsewhere"


def test_links_are_never_opened(root: Handle) -> None:
    assert refusal(darwin.open_file, place(root, b"link"), O_RDONLY) is Errno.ELOOP
    assert refusal(darwin.open_file, place(root, b"fifo"), O_RDONLY) is Errno.ENXIO
    assert refusal(darwin.read_link, place(root, b"file")) is Errno.EINVAL
    assert refusal(darwin.chmod, place(root, b"link"), 0o600) is Errno.EOPNOTSUPP


def test_a_name_swapped_between_the_look_and_the_link(
    root: Handle, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def swapping(*arguments: object, **keywords: object) -> None:
        os.replace(folder / "other", folder / "file")
        link(*arguments, **keywords)

    monkeypatch.setattr(os, "link", swapping)
    assert refusal(darwin.make_link, place(root, b"file"), root, b"new") is Errno.ESTALE
    assert not (folder / "new").exists()


def test_what_macos_has_not() -> None:
    for verb, arguments in ((darwin.open_unnamed, (0, 2, 0)), (darwin.read_now, (0, 1, 0))):
        with pytest.raises(Refused) as refused:
            verb(*arguments)
        assert refused.value.code is Errno.EOPNOTSUPP


@pytest.mark.parametrize("rdev", [0, 0x103, 0x12345678_00100801])
def test_device_numbers(rdev: int) -> None:
    """On Linux both layouts are one, so that the way there and back must be nothing."""
    assert darwin.linux_rdev(rdev) == darwin._posix.host_rdev(rdev) == rdev


def test_attribute_calls(root: Handle, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(darwin, "_ROOM", 16)
    os.setxattr(folder / "file", b"user.a", b"\0value" * 100)
    os.setxattr(folder / "file", b"user.b", b"")
    where = place(root, b"file")
    assert darwin.get_xattr(where, b"user.a") == b"\0value" * 100
    assert sorted(darwin.list_xattrs(where)) == [b"user.a", b"user.b"]
    assert refusal(darwin.get_xattr, where, b"user.c") is Errno.ENODATA
    darwin.remove_xattr(where, b"user.b")
    assert darwin.list_xattrs(where) == [b"user.a"]
    assert refusal(darwin.get_xattr, place(root, b"fifo"), b"user.a") is Errno.EOPNOTSUPP


class LinkTests(SymlinkTests):
    test_moving_and_removing_the_link_itself = None  # links are ghosts here, which do not outlive their names


LACKING = dict.fromkeys(("allocation", "copies", "no_replace", "exchange", "unnamed"), False)
"""``_lacking``, and where these tests run, renameatx_np(2)."""


class TestPassthrough(DriverSuite):
    """The whole driver on these primitives."""

    TestSymlink = LinkTests
    TestSpecial = None  # ghosts, too; and no sockets

    capabilities = Capabilities(
        **LACKING,
        owners="kept" if os.geteuid() == 0 else "refused",
        devices=os.geteuid() == 0,
        root_keeps_setid=os.geteuid() == 0,
    )

    @pytest.fixture
    def root(self, tmp_path: Path) -> Iterator[Node]:
        driver = LocalDriver(str(tmp_path), "passthrough", devices=True, handles=new_handle_cache(64))
        root = driver.attach(User())
        yield root
        root.release()
        driver.close()


class TestMappedFile(TestPassthrough):
    capabilities = Capabilities(**LACKING)

    @pytest.fixture
    def root(self, tmp_path: Path) -> Iterator[Node]:
        driver = LocalDriver(str(tmp_path), "mapped-file", handles=new_handle_cache(64))
        root = driver.attach(User())
        yield root
        root.release()
        driver.close()
