"""The primitives of a Linux host."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.drivers.local.conftest import refusal

from ninep import host
from ninep.errors import Refused, linux_errno
from ninep.host import NO_HANDLE, Handle, ObjectRef, _buffers
from ninep.linux import (
    DT_DIR,
    DT_LNK,
    DT_REG,
    LOCK_RDLCK,
    LOCK_UNLCK,
    LOCK_WRLCK,
    O_APPEND,
    O_CREAT,
    O_DIRECT,
    O_DIRECTORY,
    O_DSYNC,
    O_EXCL,
    O_NOATIME,
    O_NONBLOCK,
    O_RDONLY,
    O_RDWR,
    O_SYNC,
    O_TRUNC,
    O_WRONLY,
    XATTR_CREATE,
    XATTR_REPLACE,
    Errno,
)
from ninep.node import NOW, WouldBlock
from ninep.testing.suite.tree import in_buffers

linux = pytest.importorskip("ninep.host._linux", reason="Linux only", exc_type=ImportError)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"0123456789")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dir").mkdir()
    os.mkfifo(tmp_path / "fifo")
    return tmp_path


@pytest.fixture
def root(folder: Path) -> Iterator[Handle]:
    handle = linux.open_root(str(folder))
    yield handle
    linux.close(handle)


def place(root: Handle, name: bytes) -> ObjectRef:
    return ObjectRef(linux.open_path(root, name), root, name)


# -- handles -----------------------------------------------------------------------------------------------------------


def test_open_root(folder: Path) -> None:
    assert refusal(linux.open_root, str(folder / "nothing")) is Errno.ENOENT
    assert refusal(linux.open_root, str(folder / "file")) is Errno.ENOTDIR


def test_path_handles_are_of_the_link_itself(root: Handle) -> None:
    kinds = {
        name: stat.S_IFMT(linux.stat(linux.open_path(root, name)).st_mode)
        for name in (b"file", b"link", b"dir", b"fifo")
    }
    assert kinds == {b"file": stat.S_IFREG, b"link": stat.S_IFLNK, b"dir": stat.S_IFDIR, b"fifo": stat.S_IFIFO}
    assert refusal(linux.open_path, root, b"nothing") is Errno.ENOENT
    assert refusal(linux.open_path, linux.open_path(root, b"file"), b"x") is Errno.ENOTDIR
    assert refusal(linux.open_path, linux.open_path(root, b"link"), b"x") is Errno.ENOTDIR


def test_another_path_handle_does_not_need_the_name(root: Handle, folder: Path) -> None:
    handle = linux.open_file(place(root, b"file"), O_RDONLY)
    os.unlink(folder / "file")
    assert linux.stat(linux.reopen_path(handle)).st_ino == linux.stat(handle).st_ino


def test_open_file(root: Handle) -> None:
    assert linux.read(linux.open_file(place(root, b"file"), O_RDONLY), 5, 2) == b"23456"
    assert refusal(linux.open_file, place(root, b"dir"), O_RDONLY) is Errno.EISDIR
    assert refusal(linux.open_file, place(root, b"link"), O_RDONLY) is Errno.ELOOP
    assert refusal(linux.open_file, place(root, b"fifo"), O_RDONLY) is Errno.ENXIO


def test_open_file_goes_by_the_path_handle(root: Handle, folder: Path) -> None:
    seen = place(root, b"file")
    os.rename(folder / "file", folder / "moved")
    os.rename(folder / "fifo", folder / "file")
    assert linux.read(linux.open_file(seen, O_RDONLY), 3, 0) == b"012"


@pytest.mark.parametrize(
    "flags", [O_DIRECT, O_NOATIME, O_SYNC, O_DSYNC, O_NONBLOCK, O_DIRECTORY, O_CREAT | O_EXCL, 1 << 30]
)
def test_flags_that_are_known_or_ignored(root: Handle, flags: int) -> None:
    handle = linux.open_file(place(root, b"file"), O_RDWR | flags)
    assert linux.write(handle, b"x", 0) == 1
    assert linux.read(handle, 100, 0) == b"x123456789"


def test_flags_that_count(root: Handle) -> None:
    handle = linux.open_file(place(root, b"file"), O_WRONLY | O_APPEND)
    linux.write(handle, b"end", 0)
    assert linux.stat(handle).st_size == 13
    assert linux.stat(linux.open_file(place(root, b"file"), O_RDWR | O_TRUNC)).st_size == 0


def test_noatime_of_a_file_of_another_user(root: Handle, monkeypatch: pytest.MonkeyPatch) -> None:
    really_open = linux.open_fd

    def refusing(path: bytes, flags: int, *arguments: int, **keywords: int) -> Handle:
        if flags & os.O_NOATIME:
            raise PermissionError(1, "not yours")
        return really_open(path, flags, *arguments, **keywords)

    monkeypatch.setattr(linux, "open_fd", refusing)
    assert linux.read(linux.open_file(place(root, b"file"), O_RDONLY | O_NOATIME), 1, 0) == b"0"


def test_open_at(root: Handle, folder: Path) -> None:
    handle = linux.open_at(root, b"new", O_RDWR | O_CREAT | O_EXCL, 0o600)
    assert stat.S_IMODE(linux.stat(handle).st_mode) == 0o600
    assert refusal(linux.open_at, root, b"new", O_RDWR | O_CREAT | O_EXCL, 0o600) is Errno.EEXIST
    assert refusal(linux.open_at, root, b"link", O_RDWR | O_CREAT | O_EXCL) is Errno.EEXIST
    assert refusal(linux.open_at, root, b"link", O_RDWR) is Errno.ELOOP
    assert refusal(linux.open_at, root, b"fifo", O_RDONLY) is Errno.ENXIO
    assert refusal(linux.open_at, root, b"fifo", O_RDWR | O_TRUNC) is Errno.ENXIO
    assert refusal(linux.open_at, root, b"dir", O_RDONLY) is Errno.EISDIR
    assert linux.stat(linux.open_at(root, b"file", O_RDWR | O_TRUNC)).st_size == 0


def test_a_file_without_a_name(root: Handle, folder: Path) -> None:
    handle = linux.open_unnamed(root, O_RDWR, 0o640)
    linux.write(handle, b"whole", 0)
    assert sorted(os.listdir(folder)) == ["dir", "fifo", "file", "link"]
    linux.make_link(ObjectRef(handle, NO_HANDLE, b""), root, b"new")
    assert (folder / "new").read_bytes() == b"whole"
    assert refusal(linux.make_link, ObjectRef(handle, NO_HANDLE, b""), root, b"file") is Errno.EEXIST
    assert refusal(linux.open_unnamed, root, O_RDONLY, 0o640) is Errno.EOPNOTSUPP


# -- listings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("listing", ["kernel", "snapshot"])
def test_listings(root: Handle, folder: Path, listing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linux._libc, "HAS_GETDENTS", listing == "kernel")
    opened = linux.open_dir(place(root, b"dir"))
    assert sorted(entry[3] for entry in host.iterate(opened)) == [b".", b".."]
    opened.close()
    for number in range(2000):
        (folder / f"number-{number:050}").touch()
    opened = linux.open_dir(ObjectRef(root, root, b"."))
    entries = list(host.iterate(opened))
    kinds = {entry[3]: entry[2] for entry in entries}
    assert (kinds[b"dir"], kinds[b"link"], kinds[b"."]) == (DT_DIR, DT_LNK, DT_DIR)
    assert kinds[b"file"] in (DT_REG, 0)
    assert len(kinds) == len(entries) == 2006
    inodes = {entry[3]: entry[0] for entry in entries}
    assert inodes[b"file"] == (folder / "file").stat().st_ino
    assert [entry[3] for entry in opened.read(entries[1500][1])][0:2] == [entry[3] for entry in entries[1501:1503]]
    (folder / "late").touch()
    assert b"late" in [entry[3] for entry in host.iterate(opened)]
    opened.sync()
    opened.close()
    assert refusal(linux.open_dir, place(root, b"file")) is Errno.ENOTDIR
    assert refusal(linux.open_dir, place(root, b"link")) is Errno.ENOTDIR


def test_a_removed_directory_is_at_its_end(root: Handle, folder: Path) -> None:
    opened = linux.open_dir(place(root, b"dir"))
    os.rmdir(folder / "dir")
    assert list(host.iterate(opened)) == []
    opened.close()


# -- looking -----------------------------------------------------------------------------------------------------------


def test_stat_at_does_not_follow(root: Handle) -> None:
    assert stat.S_ISLNK(linux.stat_at(root, b"link").st_mode)


def test_birth_time(root: Handle, folder: Path) -> None:
    (folder / "file").write_bytes(b"changed")
    os.utime(folder / "file", ns=(5, 5))
    born = linux.birth_time(linux.open_path(root, b"file"))
    if born is None:
        pytest.skip("this filesystem keeps no birth time")
    assert 0 <= linux.stat_at(root, b"file").st_ctime_ns - born < 60_000_000_000


def test_generation_needs_an_open_file(root: Handle) -> None:
    assert linux.generation(linux.open_path(root, b"file")) is None
    found = linux.generation(linux.open_file(place(root, b"file"), O_RDONLY))
    assert found is None or 0 <= found < 1 << 32


def test_statfs(root: Handle, folder: Path) -> None:
    kind, bsize, blocks, bfree, _, files, _, fsid, namelen = linux.statfs(root)
    figures = os.statvfs(folder)
    assert (bsize, blocks, files, namelen) == (figures.f_bsize, figures.f_blocks, figures.f_files, figures.f_namemax)
    assert 0 <= bfree <= blocks
    assert fsid == figures.f_fsid
    assert kind > 0


def test_volume(root: Handle) -> None:
    found = linux.volume(root)
    assert found.kind
    assert found.unique_ino
    assert not found.read_only
    assert linux.volume(linux.open_root("/proc")).xattrs is False


def test_volume_asks_without_leaving_anything(root: Handle, folder: Path) -> None:
    before = folder.stat().st_ctime_ns
    linux.volume(root)
    assert (folder.stat().st_ctime_ns, os.listxattr(folder)) == (before, [])


@pytest.mark.parametrize(
    ("magic", "kind", "slow"), [(0x6969, "nfs", True), (0xEF53, "ext4", False), (0x12345, "0x12345", False)]
)
def test_kinds_of_volumes(root: Handle, monkeypatch: pytest.MonkeyPatch, magic: int, kind: str, slow: bool) -> None:
    figures = (magic, *linux._libc.statfs(root)[1:])
    monkeypatch.setattr(linux._libc, "statfs", lambda handle: figures)
    assert linux.volume(root)[:2] == (kind, slow)


def test_read_link(root: Handle) -> None:
    assert linux.read_link(place(root, b"link")) == b"file"
    assert refusal(linux.read_link, place(root, b"file")) is Errno.EINVAL
    assert refusal(linux.read_link, place(root, b"dir")) is Errno.EINVAL


# -- changing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["fchmodat2", "proc"])
def test_chmod(root: Handle, folder: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "proc":
        monkeypatch.setattr(linux._libc, "HAS_FCHMODAT2", False)
    elif not linux._libc.HAS_FCHMODAT2:
        pytest.skip("this kernel is older than Linux 6.6")
    linux.chmod(place(root, b"file"), stat.S_IFDIR | 0o4701)
    assert (folder / "file").stat().st_mode == stat.S_IFREG | 0o4701
    linux.chmod(place(root, b"fifo"), 0o600)
    assert refusal(linux.chmod, place(root, b"link"), 0o600) is Errno.EOPNOTSUPP


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_chown(root: Handle, folder: Path) -> None:
    linux.chown(place(root, b"link"), 5, 6)
    linux.chown(place(root, b"file"), -1, 7)
    assert ((folder / "link").lstat().st_uid, (folder / "link").lstat().st_gid) == (5, 6)
    assert ((folder / "file").stat().st_uid, (folder / "file").stat().st_gid) == (0, 7)


def test_utimes(root: Handle, folder: Path) -> None:
    file = place(root, b"file")
    linux.utimes(file, 1_500_000_000_123_456_789, -7_000_000_001)
    linux.utimes(file, None, None)
    found = (folder / "file").stat()
    assert (found.st_atime_ns, found.st_mtime_ns) == (1_500_000_000_123_456_789, -7_000_000_001)
    linux.utimes(file, None, 5)
    linux.utimes(place(root, b"link"), NOW, 9)
    found, link = (folder / "file").stat(), (folder / "link").lstat()
    assert (found.st_atime_ns, found.st_mtime_ns) == (1_500_000_000_123_456_789, 5)
    assert (link.st_mtime_ns, link.st_atime_ns > 10**18) == (9, True)
    linux.utimes(file, NOW, NOW)
    assert (folder / "file").stat().st_atime_ns > 1_500_000_000_123_456_789


@pytest.mark.parametrize("opened", [True, False])
def test_attributes(root: Handle, opened: bool) -> None:
    where = place(root, b"file")
    if opened:
        where = ObjectRef(linux.open_file(where, O_RDWR), NO_HANDLE, b"")
    linux.set_xattr(where, b"user.a", b"\0value", XATTR_CREATE)
    assert refusal(linux.set_xattr, where, b"user.a", b"", XATTR_CREATE) is Errno.EEXIST
    assert refusal(linux.set_xattr, where, b"user.b", b"", XATTR_REPLACE) is Errno.ENODATA
    assert linux.get_xattr(where, b"user.a") == b"\0value"
    assert linux.list_xattrs(where) == [b"user.a"]
    linux.remove_xattr(where, b"user.a")
    assert refusal(linux.get_xattr, where, b"user.a") is Errno.ENODATA


# -- names -------------------------------------------------------------------------------------------------------------


def test_names(root: Handle, folder: Path) -> None:
    linux.make_dir(root, b"d", 0o700)
    linux.make_symlink(root, b"l", b"target")
    linux.make_node(root, b"p", stat.S_IFIFO | 0o600, 0)
    linux.make_link(place(root, b"l"), root, b"l2")
    assert os.readlink(folder / "l2") == "target"
    assert refusal(linux.make_link, place(root, b"d"), root, b"d2") is Errno.EPERM
    linux.rename(root, b"l2", linux.open_path(root, b"d"), b"moved")
    assert refusal(linux.remove_dir, root, b"d") is Errno.ENOTEMPTY
    assert refusal(linux.remove_dir, root, b"p") is Errno.ENOTDIR
    assert refusal(linux.remove_file, root, b"d") is Errno.EISDIR
    linux.remove_file(linux.open_path(root, b"d"), b"moved")
    linux.remove_dir(root, b"d")
    assert refusal(linux.open_path, root, b"d") is Errno.ENOENT


# -- reads that do not wait --------------------------------------------------------------------------------------------


@pytest.fixture
def big(root: Handle, folder: Path) -> Iterator[Handle]:
    (folder / "big").write_bytes(bytes(range(256)) * 1024)
    where = place(root, b"big")
    handle = linux.open_file(where, O_RDONLY)
    try:
        linux.read_now(handle, 1, 0)
        yield handle
    except OSError as error:
        if linux_errno(error) is Errno.EOPNOTSUPP:
            pytest.skip("this filesystem does not tell whether a read would wait")
        raise
    finally:
        linux.close(handle)
        linux.close(where.path_handle)


@pytest.mark.parametrize("count", [1, 4096, 32767, 32768, 100_000, 262_144, 300_000, 2_000_000])
@pytest.mark.parametrize("offset", [0, 77, 262_143, 262_144, 1 << 40])
def test_read_now(big: Handle, count: int, offset: int) -> None:
    assert bytes(linux.read_now(big, count, offset)) == (bytes(range(256)) * 1024)[offset : offset + count]


def test_a_buffer_that_is_still_held_is_not_used_again(big: Handle) -> None:
    held = [linux.read_now(big, 65536, offset) for offset in range(10)]
    held += [memoryview(linux.read_now(big, 65536, offset)) for offset in range(10, 20)]
    assert [part[0] for part in held] == list(range(20))
    assert sum(len(kept) for kept in _buffers.KEPT.values()) <= 2 * 6
    del held
    first = linux.read_now(big, 65536, 1)
    kept = {id(buffer) for buffer in _buffers.KEPT[65536]}
    assert id(first.obj) in kept
    del first
    again = linux.read_now(big, 65536, 2)
    assert id(again.obj) in kept
    assert again[0] == 2


def test_a_read_that_would_wait(big: Handle, monkeypatch: pytest.MonkeyPatch) -> None:
    def waits(*arguments: object) -> int:
        raise BlockingIOError(11, "would wait")

    monkeypatch.setattr(os, "preadv", waits)
    with pytest.raises(WouldBlock):
        linux.read_now(big, 10, 0)


def test_a_hole_in_the_page_cache_is_not_the_end(big: Handle, monkeypatch: pytest.MonkeyPatch) -> None:
    preadv = os.preadv
    monkeypatch.setattr(
        os, "preadv", lambda fd, buffers, offset, flags: preadv(fd, [memoryview(buffers[0])[:1000]], offset)
    )
    assert bytes(linux.read_now(big, 100_000, 5)) == (bytes(range(256)) * 1024)[5:100_005]


@pytest.mark.parametrize("sizes", [(1,), (4096, 4096), (77, 1, 30_000), (3,) * 2000, (200_000, 200_000)], ids=len)
@pytest.mark.parametrize("offset", [0, 77, 262_143, 262_144, 1 << 40])
def test_read_into_now(big: Handle, sizes: tuple[int, ...], offset: int) -> None:
    content = (bytes(range(256)) * 1024)[offset : offset + sum(sizes)]
    for read in (linux.read_into_now, linux.read_into):
        memory, buffers = in_buffers(bytes(sum(sizes)), sizes)
        assert read(big, buffers, offset) == len(content)
        assert memory[: len(content)] == content
        assert not any(memory[len(content) :])


def test_a_read_into_buffers_that_would_wait(big: Handle, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the start, or in the middle: what is there already does not matter."""
    preadv, _, buffers = os.preadv, *in_buffers(bytes(100), (50, 50))

    def waits(handle: Handle, buffers: list[memoryview], offset: int, flags: int) -> int:
        if offset:
            raise BlockingIOError(11, "would wait")
        return preadv(handle, [buffers[0][:10]], offset, flags)

    monkeypatch.setattr(os, "preadv", waits)
    for offset in (0, 1):
        with pytest.raises(WouldBlock):
            linux.read_into_now(big, buffers, offset)


def test_a_hole_in_the_page_cache_is_not_the_end_for_buffers(big: Handle, monkeypatch: pytest.MonkeyPatch) -> None:
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, offset, flags: preadv(fd, [buffers[0][:1000]], offset, flags))
    memory, buffers = in_buffers(bytes(5000), (999, 1001, 3000))
    assert linux.read_into_now(big, buffers, 5) == 5000
    assert memory == (bytes(range(256)) * 1024)[5:5005]


@pytest.mark.parametrize("sizes", [(), (10,), (4096, 4096), (77, 1, 30_000), (3,) * 2000], ids=len)
@pytest.mark.parametrize("flags", [O_RDWR, O_RDWR | O_APPEND], ids=["at a place", "at the end"])
def test_write_from(root: Handle, folder: Path, sizes: tuple[int, ...], flags: int) -> None:
    (folder / "new").write_bytes(b"start")
    handle = linux.open_file(place(root, b"new"), flags)
    memory, buffers = in_buffers(os.urandom(sum(sizes)), sizes)
    assert linux.write_from(handle, buffers, 3) == len(memory)
    linux.close(handle)
    begin = b"start" if flags & O_APPEND or not sizes else b"sta"
    assert (folder / "new").read_bytes() == begin + memory


# -- locks -------------------------------------------------------------------------------------------------------------


def test_locks_belong_to_the_open_file(root: Handle) -> None:
    one, two = (linux.open_file(place(root, b"file"), O_RDWR) for _ in range(2))
    linux.lock(one, LOCK_WRLCK, 3, 4)
    kind, start, length, _ = linux.test_lock(two, LOCK_RDLCK, 0, 0)
    assert (kind, start, length) == (LOCK_WRLCK, 3, 4)
    with pytest.raises(OSError, match="unavailable") as error:
        linux.lock(two, LOCK_RDLCK, 0, 0)
    assert linux_errno(error.value) is Errno.EAGAIN
    linux.lock(one, LOCK_UNLCK, 0, 0)
    linux.lock(two, LOCK_RDLCK, 0, 0)
    assert linux.test_lock(one, LOCK_RDLCK, 0, 0) is None


# -- /proc/self/fd, held -----------------------------------------------------------------------------------------------


def test_no_proc_no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: str) -> os.stat_result:
        raise FileNotFoundError(2, "No such file or directory", path)

    monkeypatch.setattr(os, "stat", missing)
    with pytest.raises(Refused, match="/proc is not mounted"):
        linux.open_root("/")


def test_a_fork_reaches_its_own_handles(root: Handle, folder: Path) -> None:
    """The child puts another file in the place of the handle; through the parent's descriptors it
    would open the parent's file.
    """
    (folder / "other").write_bytes(b"other")
    held = place(root, b"file")
    child = os.fork()
    if not child:
        code = 1
        try:
            os.dup2(linux.open_path(root, b"other"), held.path_handle)
            code = 0 if linux.read(linux.open_file(held, O_RDONLY), 10, 0) == b"other" else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert linux.read(linux.open_file(held, O_RDONLY), 10, 0) == b"0123456789"


def test_after_all_descriptors_were_closed(root: Handle, folder: Path) -> None:
    """As a program does that becomes a daemon after its imports: the number may stand for another
    directory now.
    """
    before = linux._own.fds
    wrong = os.open(folder, os.O_RDONLY)
    os.dup2(wrong, before, inheritable=False)
    try:
        again = linux.open_root(str(folder))
        assert linux._own.fds != before
        handle = linux.open_file(ObjectRef(linux.open_path(again, b"file"), again, b"file"), O_RDONLY)
        assert linux.read(handle, 10, 0) == b"0123456789"
        assert os.path.samestat(os.fstat(before), os.fstat(wrong)), "that one is not ours any more"
    finally:
        os.close(wrong)
        os.close(before)
