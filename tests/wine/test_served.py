"""``ninep serve`` as a program of Windows, mapped-xattr on an NTFS volume, used from Linux by our
own client.

What the kernel's client makes of the same server is in ``tests/guest/test_windows_server.py``.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.guest.debs import Unavailable
from tests.wine.lab import Lab, windows_path
from tests.wine.served import MAIN, WindowsServer
from tests.wine.volume import Volume, ntfs_volume

import ninep
from ninep.client.blocking import Client
from ninep.client.local import Keep
from ninep.linux import O_APPEND, O_RDWR, XATTR_CREATE, XATTR_REPLACE
from ninep.wire.modes import makedev

pytestmark = [pytest.mark.wine, pytest.mark.slow, pytest.mark.timeout(400)]

MANY = 120  # Wine lists the whole directory to find that a name is new: 2000 take minutes
BIG = 24 << 20
LIMIT = 120.0
YEAR_1999 = 915_148_800_000_000_000


def one_volume() -> Iterator[Volume]:
    """An NTFS volume."""
    try:
        with ntfs_volume() as volume:
            yield volume
    except Unavailable as missing:
        pytest.skip(f"no NTFS volume: {missing}")


volume = pytest.fixture(one_volume, scope="module", name="volume")
another_volume = pytest.fixture(one_volume, name="another_volume")


@pytest.fixture(scope="module")
def served(lab: Lab, volume: Volume) -> Iterator[WindowsServer]:
    """The server, which must end cleanly."""
    with WindowsServer(lab, windows_path(volume.folder), "--security-model", "mapped-xattr") as server:
        yield server


@pytest.fixture
def files(served: WindowsServer) -> Iterator[Client]:
    """A client of it."""
    with ninep.connect(served.address, uname="root", n_uname=0, gid=0) as client:
        yield client


@pytest.fixture
def here(files: Client, request: pytest.FixtureRequest) -> str:
    """A folder for one test."""
    folder = "/" + re.sub("[^a-z_]", "-", request.node.name)
    while files.exists(folder):
        folder += "-"
    files.mkdir(folder)
    return folder


@contextlib.contextmanager
def fails(code: int) -> Iterator[None]:
    """The block fails with this errno."""
    with pytest.raises(OSError, check=lambda error: error.errno == code):
        yield


# -- contents ----------------------------------------------------------------------------------------------------------


def test_create_read_write_append_truncate(files: Client, here: str) -> None:
    with files.open(f"{here}/f", "x+b") as file:
        assert file.write(b"0123456789") == 10
        assert file.pwrite(b"ab", 4) == 2
        assert file.pread(100, 2) == b"23ab6789"
        file.fsync()
        with files.open(f"{here}/f", O_RDWR | O_APPEND) as other:
            other.pwrite(b"!", 0)  # wherever it is said to go
        assert file.stat().st_size == 11
        file.truncate(6)
    assert files.read_bytes(f"{here}/f") == b"0123ab"
    files.truncate(f"{here}/f", 8)
    assert files.read_bytes(f"{here}/f") == b"0123ab\0\0"
    with fails(errno.EEXIST):
        files.open(f"{here}/f", "xb")
    with fails(errno.ENOENT):
        files.open(f"{here}/g")
    with files.open(f"{here}/f", "wb") as file:
        assert file.stat().st_size == 0


def test_much_with_a_checksum(files: Client, here: str) -> None:
    block = os.urandom(1 << 20)
    sent, came = hashlib.sha256(), hashlib.sha256()
    with files.open(f"{here}/big", "xb") as file:
        for number in range(BIG >> 20):
            data = number.to_bytes(8, "big") + block[8:]
            sent.update(data)
            file.write(data)
    with files.open(f"{here}/big") as file:
        for data in file.chunks():
            came.update(data)
    assert files.stat(f"{here}/big").st_size == BIG
    assert came.digest() == sent.digest()
    files.remove(f"{here}/big")


def test_a_file_that_is_removed_while_it_is_open(files: Client, here: str) -> None:
    with files.open(f"{here}/f", "x+b") as file:
        file.write(b"still here")
        files.remove(f"{here}/f")
        assert files.listdir(here) == []
        files.write_bytes(f"{here}/f", b"another")
        assert file.pread(100, 0) == b"still here"
        file.pwrite(b"S", 0)
        file.truncate(5)
        assert (file.stat().st_size, file.pread(100, 0)) == (5, b"Still")
    assert files.read_bytes(f"{here}/f") == b"another"
    files.rmtree(here)


# -- names -------------------------------------------------------------------------------------------------------------


def test_rename_and_rename_over(files: Client, here: str) -> None:
    files.write_bytes(f"{here}/a", b"a")
    files.mkdir(f"{here}/d")
    files.rename(f"{here}/a", f"{here}/d/b")
    files.write_bytes(f"{here}/c", b"c")
    files.chmod(f"{here}/c", 0o400)
    with files.open(f"{here}/d/b") as replaced:
        files.rename(f"{here}/c", f"{here}/d/b")
        assert replaced.read() == b"a"
    assert (files.read_bytes(f"{here}/d/b"), files.listdir(here)) == (b"c", ["d"])
    files.mkdir(f"{here}/e")
    files.rename(f"{here}/d", f"{here}/e/d")
    with fails(errno.EISDIR):
        files.rename(f"{here}/e/d/b", f"{here}/e")
    with fails(errno.EINVAL):
        files.rename(f"{here}/e", f"{here}/e/d/e")
    with fails(errno.ENOTEMPTY):
        files.rmdir(f"{here}/e")
    assert files.read_bytes(f"{here}/e/d/b") == b"c"


def test_links(files: Client, here: str) -> None:
    files.write_bytes(f"{here}/f", b"one")
    files.link(f"{here}/f", f"{here}/g")
    assert files.stat(f"{here}/f").st_nlink == 2
    assert files.stat(f"{here}/f").st_ino == files.stat(f"{here}/g").st_ino
    files.write_bytes(f"{here}/g", b"two")
    assert files.read_bytes(f"{here}/f") == b"two"
    # Not the mode: Linux keeps for a while what it read of a stream under the file's other name
    # (ntfs-3g's kernel_cache).
    files.remove(f"{here}/f")
    assert files.stat(f"{here}/g").st_nlink == 1


@pytest.mark.parametrize("target", ["f", "../f", "/etc/passwd", "C:\\Windows", "x" * 1000])
def test_symlinks(files: Client, here: str, target: str) -> None:
    files.symlink(target, f"{here}/l")
    assert files.readlink(f"{here}/l") == target
    assert stat.S_ISLNK(files.stat(f"{here}/l").st_mode)
    assert files.stat(f"{here}/l").st_size == len(target)
    with fails(errno.ELOOP):
        files.open(f"{here}/l")


@pytest.mark.parametrize(
    ("kind", "device"),
    [(stat.S_IFCHR, makedev(1, 3)), (stat.S_IFBLK, makedev(253, 70000)), (stat.S_IFIFO, 0), (stat.S_IFSOCK, 0)],
)
def test_nodes(files: Client, here: str, kind: int, device: int) -> None:
    files.mknod(f"{here}/n", kind | 0o620, device)
    found = files.stat(f"{here}/n")
    assert (oct(found.st_mode), found.st_rdev) == (oct(kind | 0o620), device)
    with fails(errno.EEXIST):  # bug 21
        files.mknod(f"{here}/n", kind | 0o777, device)
    files.rename(f"{here}/n", f"{here}/m")
    assert oct(files.stat(f"{here}/m").st_mode) == oct(kind | 0o620)
    files.remove(f"{here}/m")


@pytest.mark.parametrize(
    "name", ["a:b", "a\\b", "..\\..\\x", "CON", "nul.txt", "dot.", "space ", '*?<>|"', "\u6f22\u5b57", "\U0001f600"]
)
def test_names_that_windows_does_not_have(files: Client, here: str, volume: Volume, name: str) -> None:
    files.write_bytes(f"{here}/{name}", b"x")
    files.setxattr(f"{here}/{name}", "user.a", b"value")
    assert files.listdir(here) == [name]
    assert files.read_bytes(f"{here}/{name}") == b"x"
    assert files.getxattr(f"{here}/{name}", "user.a") == b"value"
    assert len(os.listdir(volume.folder / here[1:])) == 1
    files.remove(f"{here}/{name}")
    assert os.listdir(volume.folder / here[1:]) == []


def test_many_entries(files: Client, here: str) -> None:
    names = {f"{number:05}-with-a-name-of-some-length" for number in range(MANY)}
    for name in names:
        files.mknod(f"{here}/{name}", stat.S_IFREG | 0o600)
    listed = files.listdir(here)
    assert len(listed) == MANY
    assert set(listed) == names
    seen = 0
    for entry in files.scandir(here):  # and while they are removed
        files.remove(f"{here}/{entry.name}")
        seen += 1
    assert seen == MANY
    assert files.listdir(here) == []


# -- attributes --------------------------------------------------------------------------------------------------------


def test_chmod_chown_utime(files: Client, here: str) -> None:
    files.write_bytes(f"{here}/f", b"x", permissions=0o640)
    files.mkdir(f"{here}/d", 0o750)
    for name, mode in (("f", 0o4711), ("d", 0o3771)):
        path = f"{here}/{name}"
        files.chown(path, 1234, 4321)
        before = files.stat(path)
        files.chmod(path, mode)
        files.utime(path, atime=YEAR_1999 + 123_456_700, mtime=-YEAR_1999)
        found = files.stat(path)
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (1234, 4321, mode)
        assert (found.st_atime_ns, found.st_mtime_ns) == (YEAR_1999 + 123_456_700, -YEAR_1999)
        assert found.st_ctime_ns > before.st_ctime_ns
        files.utime(path, atime=None, mtime="now")
        assert files.stat(path).st_atime_ns == YEAR_1999 + 123_456_700
        assert files.stat(path).st_mtime_ns > YEAR_1999


def test_statfs(files: Client, volume: Volume) -> None:
    found, expected = files.statfs(), os.statvfs(volume.folder)
    assert found.f_bsize * found.f_blocks == pytest.approx(expected.f_frsize * expected.f_blocks, rel=0.01)
    assert 0 < found.f_bavail <= found.f_bfree <= found.f_blocks
    assert found.f_namemax == 255


def test_extended_attributes(files: Client, here: str) -> None:
    files.write_bytes(f"{here}/f", b"contents")
    files.mkdir(f"{here}/d")
    for name in ("f", "d"):
        path = f"{here}/{name}"
        with fails(errno.ENODATA):
            files.getxattr(path, "user.a")
        with fails(errno.ENODATA):
            files.setxattr(path, "user.a", b"x", XATTR_REPLACE)
        files.setxattr(path, "user.a", b"first", XATTR_CREATE)
        with fails(errno.EEXIST):
            files.setxattr(path, "user.a", b"second", XATTR_CREATE)
        files.setxattr(path, "user.A", bytes(range(256)) * 128)
        assert files.getxattr(path, "user.a") == b"first"
        assert files.getxattr(path, "user.A") == bytes(range(256)) * 128
        files.removexattr(path, "user.a")
        with fails(errno.ENODATA):
            files.getxattr(path, "user.a")
        for name_of_ours in ("user.virtfs.uid", "user.virtfs.mode"):
            with fails(errno.EACCES):
                files.setxattr(path, name_of_ours, bytes(4))
            with fails(errno.ENODATA):
                files.getxattr(path, name_of_ours)
    assert files.read_bytes(f"{here}/f") == b"contents"


def test_attributes_cannot_be_listed_under_wine(files: Client, here: str) -> None:
    """A known difference: Wine has no FileStreamInformation. It must fail, or the contract's list
    is out of date.
    """
    files.write_bytes(f"{here}/f", b"")
    with fails(errno.EOPNOTSUPP):
        files.listxattr(f"{here}/f")


def test_locks(served: WindowsServer, files: Client, here: str) -> None:
    files.write_bytes(f"{here}/f", bytes(100))
    with (
        ninep.connect(served.address) as second,
        files.open(f"{here}/f", "r+b") as mine,
        second.open(f"{here}/f", "r+b") as theirs,
    ):
        mine.lock(10, 20, owner=1)
        with pytest.raises(BlockingIOError):
            theirs.lock(0, 50, owner=2, wait=False)
        in_the_way = theirs.test_lock(0, 50, owner=2)
        assert in_the_way is not None
        assert (in_the_way.start, in_the_way.length) == (10, 20)
        assert theirs.pread(100, 0) == bytes(100)  # advisory: Windows' own locks would refuse
        assert theirs.pwrite(b"x", 15) == 1
        mine.unlock(10, 20, owner=1)
        theirs.lock(0, 50, owner=2, wait=False)


# -- whole trees -------------------------------------------------------------------------------------------------------


def test_a_tree_comes_back_as_it_went(files: Client, here: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub" / "deep").mkdir(parents=True)
    for number in range(20):
        path = source / ("sub" if number % 2 else ".") / f"file {number}.txt"
        path.write_bytes(os.urandom(number * 1111))
        path.chmod((0o600, 0o644, 0o755)[number % 3])
        os.utime(path, ns=(YEAR_1999 + number, YEAR_1999 + number * 1_000_000_000))
    (source / "link").symlink_to("sub/deep")
    (source / "sub").chmod(0o2750)
    keep = Keep(times=True, owner=True)
    files.put(source, f"{here}/copy", recursive=True, keep=keep)
    files.get(f"{here}/copy", tmp_path / "back", recursive=True, keep=keep)
    assert picture(tmp_path / "back") == picture(source)


def test_two_names_that_windows_takes_for_one(files: Client, here: str, tmp_path: Path) -> None:
    """A copy to it refuses the second one, and says so."""
    (tmp_path / "source").mkdir()
    for name in ("README", "readme"):
        (tmp_path / "source" / name).write_text(name)
        (tmp_path / "source" / f"in-{name}").mkdir()
    refused: list[OSError] = []
    files.put(tmp_path / "source", f"{here}/copy", recursive=True, onerror=refused.append)
    assert [error.errno for error in refused] == [errno.EEXIST] * 2
    assert sorted(files.listdir(f"{here}/copy")) == ["README", "in-README"]
    assert files.read_bytes(f"{here}/copy/README") == b"README"


def picture(top: Path) -> dict[str, tuple[object, ...]]:
    """What tar would keep of a tree, to a second."""
    found = {}
    for path in [top, *sorted(top.rglob("*"))]:
        told = path.lstat()
        content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        when = None if path.is_symlink() else told.st_mtime_ns // 10**9
        found[str(path.relative_to(top))] = (oct(told.st_mode), told.st_uid, told.st_gid, when, content)
    return found


# -- the programs ------------------------------------------------------------------------------------------------------


def test_the_client_commands_on_windows(
    lab: Lab, served: WindowsServer, files: Client, here: str, tmp_path: Path
) -> None:
    """The other role on the same Python: a copy there and back, and a listing."""
    (tmp_path / "f").write_bytes(b"from windows")
    there = f"{served.address}{here}"
    for words in (
        ["put", windows_path(tmp_path / "f"), f"{there}/f"],
        ["get", f"{there}/f", windows_path(tmp_path / "g")],
        ["chmod", "600", f"{there}/f"],
    ):
        lab.python(["-c", MAIN, *words], LIMIT).check()
    assert (tmp_path / "g").read_bytes() == b"from windows"
    files.makedirs(f"{here}/tree/sub")
    files.write_bytes(f"{here}/tree/sub/inner", b"below")
    for _ in range(2):  # the second time over what is there
        lab.python(["-c", MAIN, "get", "-rp", f"{there}/tree", windows_path(tmp_path / "copied")], LIMIT).check()
        assert (tmp_path / "copied" / "sub" / "inner").read_bytes() == b"below"
    assert files.read_bytes(f"{here}/f") == b"from windows"
    assert "-rw-------" in lab.python(["-c", MAIN, "ls", "-l", there], LIMIT).check().output


def test_the_streams_on_the_volume(lab: Lab, another_volume: Volume) -> None:
    """The bytes that the hypervisor would read: little-endian numbers of 4 and 8 bytes. Ctrl-C ends
    the server before they are looked at.
    """
    with WindowsServer(lab, windows_path(another_volume.folder), "-v") as server:
        with ninep.connect(server.address, n_uname=0, gid=0) as files:
            files.mkdir("/bytes", 0o750)
            files.write_bytes("/bytes/f", b"contents", permissions=0o640)
            files.chown("/bytes/f", 0x01020304, 77)
            files.setxattr("/bytes/f", "user.Note", b"\0binary\xff")
            files.symlink("../target", "/bytes/l")
            files.mknod("/bytes/n", stat.S_IFBLK | 0o660, makedev(253, 70000))
        assert server.stop() == 0
        said = server.said()
    assert "stopping" in said
    assert "Traceback" not in said
    found = another_volume.streams("bytes/f", "bytes/l", "bytes/n", "bytes")
    assert found["bytes/f"] == {
        "user.virtfs.uid": bytes.fromhex("04030201"),
        "user.virtfs.gid": bytes.fromhex("4d000000"),
        "user.virtfs.mode": (stat.S_IFREG | 0o640).to_bytes(4, "little"),
        "user.\uf04eote": b"\0binary\xff",  # capitals are set apart: streams ignore case
    }
    assert found["bytes/l"]["user.virtfs.mode"] == (stat.S_IFLNK | 0o777).to_bytes(4, "little")
    assert found["bytes/n"]["user.virtfs.mode"] == (stat.S_IFBLK | 0o660).to_bytes(4, "little")
    assert found["bytes/n"]["user.virtfs.rdev"] == makedev(253, 70000).to_bytes(8, "little")
    assert found["bytes"]["user.virtfs.mode"] == (stat.S_IFDIR | 0o750).to_bytes(4, "little")
    assert (another_volume.folder / "bytes" / "f").read_bytes() == b"contents"
    assert (another_volume.folder / "bytes" / "l").read_bytes() == b"../target"
    with WindowsServer(lab, windows_path(another_volume.folder)) as again, ninep.connect(again.address) as files:
        told = files.stat("/bytes/f")
        assert (told.st_uid, told.st_gid, oct(told.st_mode)) == (0x01020304, 77, oct(stat.S_IFREG | 0o640))
        assert files.stat("/bytes/n").st_rdev == makedev(253, 70000)
        assert files.readlink("/bytes/l") == "../target"
