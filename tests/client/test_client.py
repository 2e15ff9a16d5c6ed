"""What the client does with a server that behaves: every call, in each dialect that has it, with both faces."""

from __future__ import annotations

import errno
import io
import os
import stat

import pytest
from tests.client.expect import refused

from ninep.client.stat import SetAttr
from ninep.linux import S_IFCHR, S_IFIFO, XATTR_CREATE, XATTR_REPLACE

DIALECTS = ["9P2000.L", "9P2000.u", "9P2000"]
EXTENDED = DIALECTS[:2]


@pytest.fixture(params=DIALECTS)
def client(request, connect):
    return connect(request.param)


@pytest.fixture
def linux(connect):
    return connect("9P2000.L")


@pytest.fixture(params=EXTENDED)
def extended(request, connect):
    return connect(request.param)


def names(client, path="/"):
    return sorted(client.listdir(path))


def test_the_first_dialect_that_the_server_has_is_taken(connect):
    assert connect().dialect.value == b"9P2000.L"
    assert connect("9P2000").dialect.value == b"9P2000"


def test_msize_is_what_both_take(connect):
    assert connect(msize=8192).msize == 8192


# -- files


def test_what_is_written_is_read(client):
    assert client.write_bytes("file", b"some bytes\0and more") == 19
    assert client.read_bytes("/file") == b"some bytes\0and more"
    client.write_bytes("file", b"less")
    assert client.read_bytes("file") == b"less"
    client.write_bytes("file", b"")
    assert client.read_bytes("file") == b""


def test_large_files_go_in_pieces(connect):
    client = connect(msize=4096)
    data = os.urandom(1_000_003)
    client.write_bytes("large", data)
    assert client.read_bytes("large") == data
    with client.open("large") as file:
        assert file.pread(100_000, 450_000) == data[450_000:550_000]
        assert file.pread(100_000, 999_999) == data[999_999:]
        assert b"".join(file.chunks(10, 20_000)) == data[10:20_010]
        assert file.tell() == 0
        assert b"".join(file.chunks()) == data
        assert file.tell() == len(data)


def test_positions(client):
    with client.open("file", "w+b") as file:
        assert file.write(b"0123456789") == 10
        assert file.tell() == 10
        assert file.seek(-4, os.SEEK_END) == 6
        assert file.read(2) == b"67"
        assert file.seek(-1, os.SEEK_CUR) == 7
        assert file.read() == b"789"
        assert file.read() == b""
        assert file.read(5) == b""
        file.seek(12)
        file.write(b"x")
        assert file.pread(20, 8) == b"89\0\0x"
        assert file.pwrite(b"AB", 1) == 2
        assert file.tell() == 13
        file.seek(0)
        assert file.read(4) == b"0AB3"
        with refused(errno.EINVAL):
            file.seek(-1)


def test_appending(client):
    client.write_bytes("log", b"one\n")
    with client.open("log", "ab") as file:
        file.write(b"two\n")
        client.truncate("log", 4)
        file.write(b"three\n")
    assert client.read_bytes("log") == b"one\nthree\n"


def test_lines(client):
    client.write_bytes("text", b"first\n\nthird\nrest")
    with client.open("text") as file:
        assert list(file) == [b"first\n", b"\n", b"third\n", b"rest"]
        file.seek(2)
        for line in file:
            assert line == b"rst\n"
            break
        assert file.tell() == 6


def test_exclusive_creation(client):
    with client.open("new", "xb", permissions=0o600) as file:
        file.write(b"1")
    assert stat.S_IMODE(client.stat("new").st_mode) == 0o600
    with pytest.raises(FileExistsError) as caught:
        client.open("new", "xb")
    assert caught.value.filename == "new"


def test_opening_keeps_what_is_there(client):
    client.write_bytes("file", b"content", permissions=0o640)
    with client.open("file", "r+b") as file:
        file.write(b"C")
    assert client.read_bytes("file") == b"Content"
    client.write_bytes("file", b"x", permissions=0o777)
    assert stat.S_IMODE(client.stat("file").st_mode) == 0o640


def test_truncation_and_sync(client):
    with client.open("file", "w+b") as file:
        file.write(b"0123456789")
        assert file.truncate(4) == 4
        assert file.stat().st_size == 4
        file.seek(2)
        assert file.truncate() == 2
        file.fsync()
    assert client.read_bytes("file") == b"01"
    client.truncate("file", 5)
    assert client.read_bytes("file") == b"01\0\0\0"


def test_a_removed_file_that_is_open_goes_on(linux):
    with linux.open("file", "w+b") as file:
        file.write(b"still here")
        linux.remove("file")
        assert not linux.exists("file")
        assert file.pread(20, 0) == b"still here"
        assert file.stat().st_size == 10


def test_a_closed_file_is_closed(client):
    file = client.open("file", "wb")
    file.close()
    file.close()
    assert file.closed
    with pytest.raises(ValueError, match="closed"):
        file.write(b"x")


def test_files_that_cannot_be_opened(client):
    client.mkdir("dir")
    with pytest.raises(IsADirectoryError) as caught:
        client.open("dir")
    assert caught.value.filename == "dir"
    with pytest.raises(IsADirectoryError):
        client.open("/", "wb")
    with pytest.raises(FileNotFoundError):
        client.open("missing")
    with pytest.raises(FileNotFoundError):
        client.open("missing/file", "wb")
    with pytest.raises(ValueError, match="binary"):
        client.open("file", "w")


def test_a_raw_file_for_io(memory):
    from ninep.client.blocking import connect, raw

    with connect(memory.socket()) as client:
        with io.TextIOWrapper(io.BufferedRandom(raw(client.open("text", "w+b"))), "utf-8") as text:
            text.write("grün\nblau\n")
            text.seek(0)
            assert text.readlines() == ["grün\n", "blau\n"]
        assert client.read_bytes("text") == "grün\nblau\n".encode()


# -- attributes


def test_stat(client):
    client.write_bytes("file", b"12345", permissions=0o640)
    found = client.stat("file")
    assert found.is_file()
    assert not found.is_dir()
    assert found.st_size == 5
    assert stat.S_IMODE(found.st_mode) == 0o640
    assert found.st_nlink == 1
    assert found.st_ino == found.qid.path
    assert client.stat("/").is_dir()
    assert client.stat("").st_ino == client.stat("/").st_ino


def test_changing_attributes(client):
    client.write_bytes("file", b"x")
    client.chmod("file", 0o604)
    client.utime("file", atime=1_000_000_000 * 10**9, mtime=1_500_000_000 * 10**9)
    found = client.stat("file")
    assert stat.S_IMODE(found.st_mode) == 0o604
    assert (found.st_atime, found.st_mtime) == (1_000_000_000, 1_500_000_000)
    client.utime("file", atime=None)
    found = client.stat("file")
    assert found.st_atime == 1_000_000_000
    assert found.st_mtime > 1_700_000_000
    client.mkdir("dir")
    client.chmod("dir", 0o700)
    assert client.stat("dir").is_dir()


def test_ownership(extended):
    extended.write_bytes("file", b"x")
    extended.chown("file", 1234, 5678)
    assert (extended.stat("file").st_uid, extended.stat("file").st_gid) == (1234, 5678)
    extended.chown("file", gid=9)
    assert (extended.stat("file").st_uid, extended.stat("file").st_gid) == (1234, 9)


def test_times_to_the_nanosecond(linux):
    linux.write_bytes("file", b"x")
    linux.utime("file", atime=-5, mtime=1_234_567_890_123_456_789)
    found = linux.stat("file")
    assert (found.st_atime_ns, found.st_mtime_ns) == (-5, 1_234_567_890_123_456_789)


def test_several_attributes_at_once(linux):
    linux.write_bytes("file", b"12345678")
    linux.setattr("file", SetAttr(mode=0o600, uid=7, size=3, mtime=5))
    found = linux.stat("file")
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_size, found.st_mtime_ns) == (0o600, 7, 3, 5)


def test_statfs(linux):
    assert linux.statfs("/").f_bsize > 0
    assert linux.statfs().f_namemax == 255


def test_what_a_dialect_cannot_say_is_refused(connect):
    client = connect("9P2000")
    client.write_bytes("file", b"")
    for act in (
        lambda: client.statfs("/"),
        lambda: client.getxattr("file", "user.x"),
        lambda: client.symlink("x", "link"),
        lambda: client.link("file", "other"),
        lambda: client.open("file").lock(),
    ):
        with pytest.raises(OSError, match="9P2000 has no") as error:
            act()
        assert error.value.errno == errno.EOPNOTSUPP


# -- names


def test_directories(client):
    client.mkdir("dir", 0o750)
    assert stat.S_IMODE(client.stat("dir").st_mode) == 0o750
    with pytest.raises(FileExistsError) as caught:
        client.mkdir("dir")
    assert caught.value.filename == "dir"
    client.mkdir("dir/below")
    with refused(errno.ENOTEMPTY):
        client.rmdir("dir")
    client.rmdir("dir/below")
    client.rmdir("dir")
    assert names(client) == []


def test_makedirs(client):
    client.makedirs("a/b/c")
    assert client.stat("a/b/c").is_dir()
    with pytest.raises(FileExistsError):
        client.makedirs("a/b/c")
    client.makedirs("a/b/c", exist_ok=True)
    client.write_bytes("a/file", b"")
    with pytest.raises(FileExistsError):
        client.makedirs("a/file", exist_ok=True)


def test_removal_knows_files_from_directories(client):
    client.write_bytes("file", b"")
    client.mkdir("dir")
    with pytest.raises(IsADirectoryError):
        client.remove("dir")
    with pytest.raises(NotADirectoryError):
        client.rmdir("file")
    client.remove("file")
    with pytest.raises(FileNotFoundError) as caught:
        client.remove("file")
    assert caught.value.filename == "file"
    assert names(client) == ["dir"]


def test_the_root_is_not_removed_or_renamed(client):
    for act in (
        lambda: client.rmdir("/"),
        lambda: client.remove(".."),
        lambda: client.rename("/", "x"),
        lambda: client.mkdir("a/.."),
    ):
        with refused(errno.EBUSY):
            act()


def test_rename_in_place(client):
    client.write_bytes("old", b"1")
    client.rename("old", "new")
    assert names(client) == ["new"]
    assert client.read_bytes("new") == b"1"


def test_rename_into_another_directory(connect):
    client = connect("9P2000.L")
    client.makedirs("a/b")
    client.write_bytes("a/file", b"1")
    client.write_bytes("a/b/file", b"2")
    client.rename("a/file", "a/b/file")
    assert client.read_bytes("a/b/file") == b"1"
    other = connect("9P2000.u")
    with refused(errno.EXDEV, "a/b/file", "file"):
        other.rename("a/b/file", "file")


def test_links(extended):
    extended.write_bytes("file", b"linked")
    extended.link("file", "name")
    assert extended.read_bytes("name") == b"linked"
    assert extended.stat("file").st_nlink == 2
    extended.symlink("where/ever", "link")
    assert extended.readlink("link") == "where/ever"
    assert extended.stat("link").is_symlink()
    with refused(errno.EINVAL):
        extended.readlink("file")


def test_special_files(extended):
    extended.mknod("fifo", S_IFIFO | 0o600)
    assert stat.S_ISFIFO(extended.stat("fifo").st_mode)
    extended.mknod("null", S_IFCHR | 0o666, 1 << 8 | 3)
    found = extended.stat("null")
    assert stat.S_ISCHR(found.st_mode)
    assert found.st_rdev == 1 << 8 | 3


def test_names_of_any_bytes(client):
    for name in ("Grüße", "white space", "\udcff\udc80", "new\nline", "-r", "*"):
        client.write_bytes(name, name.encode("utf-8", "surrogateescape"))
        assert client.read_bytes(name.encode("utf-8", "surrogateescape")) == name.encode("utf-8", "surrogateescape")
        assert names(client) == [name]
        client.remove(name)
    with pytest.raises(ValueError, match="null byte"):
        client.stat("a\0b")


def test_paths_start_at_the_root_whatever_they_say(client):
    client.makedirs("a/b")
    ino = client.stat("a/b").st_ino
    for path in ("/a/b", "a/b/", "a//b", "./a/./b", "../../a/b", "a/b/../b", b"a/b"):
        assert client.stat(path).st_ino == ino


def test_deep_paths_take_several_walks(client):
    path = "/".join(f"d{n}" for n in range(40))
    client.makedirs(path)
    client.write_bytes(path + "/file", b"deep")
    assert client.read_bytes(path + "/file") == b"deep"
    with pytest.raises(FileNotFoundError):
        client.stat("/".join(f"d{n}" for n in range(20)) + "/missing/" + "x/" * 20)
    with pytest.raises(NotADirectoryError):
        client.stat(path + "/file/below")
    client.rmtree("d0")
    assert names(client) == []


def test_exists(client):
    client.mkdir("dir")
    client.write_bytes("dir/file", b"")
    assert client.exists("dir/file")
    assert client.exists("/")
    assert not client.exists("dir/missing")
    assert not client.exists("missing/file")
    assert not client.exists("dir/file/below")


# -- following links


def test_links_are_followed_when_asked(extended):
    extended.makedirs("a/b")
    extended.write_bytes("a/b/file", b"found")
    extended.symlink("b/../b/file", "a/link")
    extended.symlink("/a/b", "absolute")
    extended.symlink("../../../../absolute/../link", "a/b/out")
    assert extended.read_bytes("a/link", follow=True) == b"found"
    assert extended.read_bytes("absolute/file", follow=True) == b"found"
    assert extended.read_bytes("a/b/out", follow=True) == b"found"
    assert extended.realpath("absolute/out") == "/a/b/file"
    assert extended.realpath("absolute/..") == "/a"
    assert extended.realpath("absolute/new") == "/a/b/new"
    assert extended.realpath("missing") == "/missing"
    with pytest.raises(FileNotFoundError):
        extended.realpath("missing/file")
    with refused(errno.ENOTDIR, "absolute/file"):
        extended.stat("absolute/file")


def test_writing_through_a_link(extended):
    extended.mkdir("dir")
    extended.symlink("dir/new", "link")
    extended.write_bytes("link", b"through", follow=True)
    assert extended.read_bytes("dir/new") == b"through"


def test_circles_of_links_end(extended):
    extended.symlink("b", "a")
    extended.symlink("a", "b")
    with refused(errno.ELOOP, "a"):
        extended.stat("a", follow=True)


# -- directories and trees


def test_listing(client):
    client.mkdir("dir")
    client.write_bytes("file", b"123")
    entries = {entry.name: entry for entry in client.scandir(stat=True)}
    assert entries["dir"].is_dir()
    assert entries["file"].is_file()
    assert entries["file"].stat.st_size == 3
    assert entries["file"].path == "/file"
    assert next(entry.path for entry in client.scandir("dir/..")).startswith("dir/../")
    with pytest.raises(NotADirectoryError) as caught:
        list(client.scandir("file"))
    assert caught.value.filename == "file"
    with pytest.raises(FileNotFoundError):
        client.listdir("missing")


def test_large_directories(connect):
    client = connect(msize=4096)
    client.mkdir("dir")
    wanted = {f"file number {n}" for n in range(700)}
    for name in wanted:
        client.open(f"dir/{name}", "xb").close()
    assert set(client.listdir("dir")) == wanted
    assert {entry.name for entry in client.scandir("dir", stat=True) if entry.stat.is_file()} == wanted
    client.rmtree("dir")
    assert not client.exists("dir")


def test_a_listing_that_is_left_early_leaves_nothing_behind(client):
    for n in range(20):
        client.open(f"f{n}", "xb").close()
    for _entry in client.scandir():
        break
    client.stat("/")  # the clunk before has been answered when this is
    assert client.connection.exchange.fids.in_use <= 2


@pytest.fixture
def tree(client):
    client.makedirs("top/one/deep")
    client.makedirs("top/two")
    for path in ("top/a", "top/one/b", "top/one/deep/c", "top/two/d"):
        client.write_bytes(path, path.encode())
    return client


def test_walk(tree):
    def shape(walked):
        return [(path, sorted(e.name for e in dirs), sorted(e.name for e in files)) for path, dirs, files in walked]

    down = shape(tree.walk("top"))
    assert down[0] == ("top", ["one", "two"], ["a"])
    assert sorted(down) == [
        ("top", ["one", "two"], ["a"]),
        ("top/one", ["deep"], ["b"]),
        ("top/one/deep", [], ["c"]),
        ("top/two", [], ["d"]),
    ]
    up = shape(tree.walk("top", topdown=False))
    assert up[-1] == down[0]
    assert sorted(up) == sorted(down)
    assert up.index(("top/one/deep", [], ["c"])) < up.index(("top/one", ["deep"], ["b"]))


def test_walk_goes_only_where_it_is_let(tree):
    seen = []
    for path, directories, _ in tree.walk("top"):
        seen.append(path)
        directories[:] = [entry for entry in directories if entry.name != "one"]
    assert seen == ["top", "top/two"]


def test_walk_tells_what_cannot_be_listed(client):
    errors = []
    assert list(client.walk("missing", onerror=errors.append)) == []
    assert [error.filename for error in errors] == ["missing"]
    with pytest.raises(FileNotFoundError):
        list(client.walk("missing"))


def test_rmtree(tree):
    tree.rmtree("top")
    assert names(tree) == []
    with pytest.raises(FileNotFoundError):
        tree.rmtree("top")


def test_rmtree_removes_links_not_what_they_lead_to(extended):
    extended.makedirs("keep")
    extended.write_bytes("keep/file", b"")
    extended.mkdir("dir")
    extended.symlink("../keep", "dir/link")
    extended.rmtree("dir")
    assert names(extended, "keep") == ["file"]


# -- extended attributes and locks


def test_extended_attributes(linux):
    linux.write_bytes("file", b"")
    linux.setxattr("file", "user.one", b"1")
    linux.setxattr("file", "user.two", bytes(range(256)) * 100)
    assert sorted(linux.listxattr("file")) == ["user.one", "user.two"]
    assert linux.getxattr("file", "user.two") == bytes(range(256)) * 100
    with pytest.raises(FileExistsError):
        linux.setxattr("file", "user.one", b"2", XATTR_CREATE)
    linux.setxattr("file", "user.one", b"3", XATTR_REPLACE)
    assert linux.getxattr("file", "user.one") == b"3"
    linux.setxattr("file", "user.empty", b"")
    assert linux.getxattr("file", "user.empty") == b""
    linux.removexattr("file", "user.one")
    for act in (lambda: linux.getxattr("file", "user.one"), lambda: linux.removexattr("file", "user.one")):
        with refused(errno.ENODATA, "file"):
            act()


def test_locks(linux):
    linux.write_bytes("file", b"0123456789")
    with linux.open("file", "r+b") as one, linux.open("file", "r+b") as two:
        one.lock(2, 4, owner=1)
        found = two.test_lock(owner=2)
        assert (found.exclusive, found.start, found.length, found.proc_id) == (True, 2, 4, 1)
        with pytest.raises(BlockingIOError):
            two.lock(wait=False, owner=2)
        with pytest.raises(TimeoutError):
            two.lock(timeout=0.03, owner=2)
        two.lock(6, wait=False, owner=2)
        one.unlock(owner=1)
        assert two.test_lock(0, 6, owner=2) is None
        one.lock(shared=True, length=5, owner=1)
        two.lock(shared=True, length=5, wait=False, owner=2)


def test_a_lock_excludes_other_connections(linux, connect):
    other = connect("9P2000.L")
    linux.write_bytes("file", b"")
    with linux.open("file", "r+b") as one, other.open("file", "r+b") as two:
        one.lock()
        with pytest.raises(BlockingIOError) as caught:
            two.lock(wait=False)
        assert caught.value.filename == "file"
        one.unlock()
        two.lock(timeout=10)


# -- clients


def test_attaching_again_over_the_same_connection(linux):
    linux.write_bytes("file", b"shared")
    other = linux.attach(uname="somebody", n_uname=77)
    other.write_bytes("theirs", b"")
    assert other.read_bytes("file") == b"shared"
    other.close()
    assert linux.stat("theirs").st_uid == 77


def test_nothing_is_left_in_use(client):
    client.mkdir("dir")
    client.write_bytes("dir/file", b"x" * 100_000)
    client.read_bytes("dir/file")
    list(client.scandir("dir", stat=True))
    for path in ("missing", "dir/missing", "dir/missing/too", "dir/file/x"):
        assert not client.exists(path)
    client.rmtree("dir")
    client.stat("/")
    assert client.connection.exchange.fids.in_use <= 2  # the root, and a clunk that is on its way


def test_after_the_end_nothing_can_be_asked(client):
    client.close()
    client.close()
    with pytest.raises(ConnectionError):
        client.stat("/")
