"""Tlopen, Tlcreate, Tread, Twrite, Tfsync through the wire."""

import pytest
from tests.support.client import RawClient, refused
from tests.support.served import Served

from ninep import linux
from ninep.linux import NO_ID, Errno
from ninep.server.limits import Limits
from ninep.wire import messages as m
from ninep.wire.types import QT_DIR

ALL_FLAGS = [1 << bit for bit in range(6, 32)]
HARMLESS = [flag for flag in ALL_FLAGS if flag != linux.O_TRUNC]
TOP = (1 << 63) - 1


@pytest.fixture
def client(served: Served) -> RawClient:
    """``/f`` with ``hello`` in it, and a folder ``/d``."""
    client = served.client()
    client.create(0, 1, b"f", b"hello")
    client.clunk(1)
    client.mkdir(0, b"d")
    return client


class TestOpen:
    @pytest.mark.parametrize("flag", HARMLESS, ids=oct)
    def test_flags_that_change_nothing(self, client: RawClient, flag: int) -> None:
        # EXCL too: FreeBSD's append bit reads as EXCL here. CREATE is not for an existing file.
        client.walk(0, 1, b"f")
        opened = client.rpc(m.Tlopen(1, flag))
        assert opened.qid.type == 0
        assert client.read(1) == b"hello"

    @pytest.mark.parametrize("flag", HARMLESS, ids=oct)
    def test_directories_too(self, client: RawClient, flag: int) -> None:
        client.walk(0, 1, b"d")
        assert client.rpc(m.Tlopen(1, flag)).qid.type == QT_DIR
        assert client.names(1) == []

    def test_truncates(self, client: RawClient) -> None:
        client.walk(0, 1, b"f")
        client.open(1, linux.O_RDWR | linux.O_TRUNC)
        assert client.read(1) == b""

    def test_appends(self, client: RawClient) -> None:
        client.walk(0, 1, b"f")
        client.open(1, linux.O_RDWR | linux.O_APPEND)
        client.rpc(m.Twrite(1, 0, b" there"))
        client.rpc(m.Twrite(1, 2, b"!"))
        assert client.read(1) == b"hello there!"

    def test_access_mode_3(self, client: RawClient) -> None:
        client.walk(0, 1, b"f")
        with refused(Errno.EINVAL):
            client.open(1, 3)
        client.walk(0, 2)
        with refused(Errno.EINVAL):
            client.rpc(m.Tlcreate(2, b"new", 3, 0o644, NO_ID))
        with refused(Errno.ENOENT):
            client.walk(0, 3, b"new")

    @pytest.mark.parametrize("flags", [linux.O_WRONLY, linux.O_RDWR, linux.O_TRUNC], ids=oct)
    def test_a_directory_cannot_be_written(self, client: RawClient, flags: int) -> None:
        client.walk(0, 1, b"d")
        with refused(Errno.EISDIR):
            client.open(1, flags)
        client.open(1)

    def test_twice(self, client: RawClient) -> None:
        client.walk(0, 1, b"f")
        client.open(1)
        with refused(Errno.EINVAL):
            client.open(1)
        with refused(Errno.EINVAL):
            client.rpc(m.Tlcreate(1, b"x", 0, 0o644, NO_ID))

    def test_a_link_is_not_followed_and_a_device_not_opened(self, client: RawClient) -> None:
        client.rpc(m.Tsymlink(0, b"l", b"f", NO_ID))
        client.rpc(m.Tmknod(0, b"p", 0o010644, 0, 0, NO_ID))
        for fid, name, code in ((1, b"l", Errno.ELOOP), (2, b"p", Errno.ENXIO)):
            client.walk(0, fid, name)
            with refused(code):
                client.open(fid)

    def test_unknown_fid(self, client: RawClient) -> None:
        with refused(Errno.EBADF):
            client.open(5)

    def test_as_many_as_are_allowed(self) -> None:
        with Served(limits=Limits(open_files=2)) as served:
            client = served.client()
            client.create(0, 1, b"a")
            client.walk(0, 2)
            client.open(2)
            client.walk(0, 3)
            client.walk(0, 4)
            with refused(Errno.EMFILE):
                client.open(3)
            with refused(Errno.EMFILE):
                client.rpc(m.Tlcreate(4, b"b", 2, 0o644, NO_ID))
            with refused(Errno.EMFILE):
                client.rpc(m.Tcreate(4, b"b", 0o644, 2, b""))
            client.clunk(2)
            client.open(3)


class TestIounit:
    @pytest.mark.parametrize("msize", [4096, 8192, 8192 + 24, 131072 + 24, 1 << 20], ids=str)
    def test_what_one_message_carries_in_whole_blocks(self, served: Served, msize: int) -> None:
        client = served.client(msize=msize)
        client.walk(0, 1)
        iounit = client.rpc(m.Tlcreate(1, b"f", 2, 0o644, NO_ID)).iounit
        room = msize - 24
        assert iounit == (room - room % 4096 or room)
        assert client.rpc(m.Twrite(1, 0, b"x" * iounit)).count == iounit
        assert len(client.read(1, 0, iounit)) == iounit

    def test_none_for_a_directory(self, client: RawClient) -> None:
        # Linux would be bound by it in Treaddir.
        client.walk(0, 1, b"d")
        assert client.rpc(m.Tlopen(1, 0)).iounit == 0


class TestCreate:
    def test_the_fid_becomes_the_file(self, client: RawClient) -> None:
        client.walk(0, 1, b"d")
        made = client.rpc(m.Tlcreate(1, b"new", linux.O_RDWR, 0o640, 77))
        assert client.walk(0, 2, b"d", b"new")[1] == made.qid
        found = client.rpc(m.Tgetattr(1, 0x7FF)).attributes
        assert (found.mode, found.gid) == (0o100640, 77)
        client.rpc(m.Twrite(1, 0, b"x"))
        with refused(Errno.ENOTDIR):
            client.rpc(m.Tmkdir(1, b"x", 0o755, NO_ID))

    def test_an_existing_file_is_opened(self, client: RawClient) -> None:
        client.walk(0, 1, b"f")
        before = client.rpc(m.Tgetattr(1, 0x7FF)).attributes
        client.walk(0, 2)
        client.rpc(m.Tlcreate(2, b"f", linux.O_RDONLY, 0o777, 77))
        assert client.read(2) == b"hello"
        after = client.rpc(m.Tgetattr(2, 0x7FF)).attributes
        assert (after.mode, after.uid, after.gid) == (before.mode, before.uid, before.gid)

    def test_unless_it_must_not_exist(self, client: RawClient) -> None:
        client.walk(0, 2)
        with refused(Errno.EEXIST):
            client.rpc(m.Tlcreate(2, b"f", linux.O_RDWR | linux.O_EXCL | linux.O_TRUNC, 0o644, NO_ID))
        client.walk(2, 3, b"f")  # the fid is still the directory
        client.open(3)
        assert client.read(3) == b"hello"

    def test_truncates_if_asked(self, client: RawClient) -> None:
        client.walk(0, 2)
        client.rpc(m.Tlcreate(2, b"f", linux.O_RDWR | linux.O_TRUNC, 0o644, NO_ID))
        assert client.read(2) == b""

    def test_below_a_file(self, client: RawClient) -> None:
        client.walk(0, 1, b"f")
        with refused(Errno.ENOTDIR):
            client.rpc(m.Tlcreate(1, b"x", 0, 0o644, NO_ID))

    @pytest.mark.parametrize("mode", [0, 0o7777, 0o102644, 0o060777], ids=oct)
    def test_exactly_the_permissions_that_were_sent(self, client: RawClient, mode: int) -> None:
        client.walk(0, 1)
        client.rpc(m.Tlcreate(1, b"new", 2, mode, NO_ID))
        assert client.rpc(m.Tgetattr(1, 1)).attributes.mode == 0o100000 | mode & 0o7777


class TestRead:
    @pytest.fixture
    def client(self, served: Served) -> RawClient:
        client = served.client()
        client.create(0, 1, b"f", b"hello")
        return client

    @pytest.mark.parametrize(
        ("offset", "count", "expected"),
        [
            (0, 5, b"hello"),
            (0, 0, b""),
            (1, 3, b"ell"),
            (4, 100, b"o"),
            (5, 1, b""),
            (1 << 62, 100, b""),
            (TOP - 100, 100, b""),
        ],
    )
    def test_short_only_at_the_end(self, client: RawClient, offset: int, count: int, expected: bytes) -> None:
        assert client.read(1, offset, count) == expected

    @pytest.mark.parametrize(
        ("offset", "count"), [(TOP, 1), (TOP - 99, 100), (1 << 63, 0), (1 << 63, 1), ((1 << 64) - 1, 1)]
    )
    def test_offsets_that_no_file_has(self, client: RawClient, offset: int, count: int) -> None:
        with refused(Errno.EINVAL):
            client.read(1, offset, count)

    @pytest.mark.parametrize("count", [8192 + 13, 1 << 20, 1 << 31, (1 << 32) - 1])
    def test_counts_beyond_msize_are_cut(self, client: RawClient, count: int) -> None:
        client.rpc(m.Tsetattr(1, linux.SETATTR_SIZE, 0, 0, 0, 1 << 20, 0, 0, 0, 0))
        assert len(client.read(1, 0, count)) == client.msize - 11

    def test_a_hole(self, client: RawClient) -> None:
        client.rpc(m.Twrite(1, 100_000, b"end"))
        assert client.read(1, 5, 4096) == bytes(4096)
        assert client.read(1, 99_990) == bytes(10) + b"end"

    def test_a_fid_that_is_not_open(self, client: RawClient) -> None:
        client.walk(0, 2, b"f")
        with refused(Errno.EBADF):
            client.read(2)
        with refused(Errno.EBADF):
            client.read(99)

    def test_a_fid_open_for_writing_only(self, client: RawClient) -> None:
        client.walk(0, 2, b"f")
        client.open(2, linux.O_WRONLY)
        with refused(Errno.EBADF):
            client.read(2)

    def test_a_directory_in_9p2000_l(self, client: RawClient) -> None:
        client.walk(0, 2)
        client.open(2)
        with refused(Errno.EOPNOTSUPP):
            client.read(2)

    def test_after_the_file_was_removed(self, client: RawClient) -> None:
        client.rpc(m.Tunlinkat(0, b"f", 0))
        client.rpc(m.Twrite(1, 5, b"!"))
        assert client.read(1) == b"hello!"
        assert client.rpc(m.Tgetattr(1, 0x7FF)).attributes.nlink == 0


class TestWrite:
    @pytest.fixture
    def client(self, served: Served) -> RawClient:
        client = served.client()
        client.create(0, 1, b"f", b"hello")
        return client

    def test_says_how_much(self, client: RawClient) -> None:
        assert client.rpc(m.Twrite(1, 3, b"p me")).count == 4
        assert client.rpc(m.Twrite(1, 0, b"")).count == 0
        assert client.read(1) == b"help me"

    def test_a_whole_message(self, client: RawClient) -> None:
        data = (bytes(range(256)) * 33)[: client.msize - 23]
        assert client.rpc(m.Twrite(1, 0, data)).count == len(data)
        assert client.read(1, 0, 1 << 20) == data

    def test_a_megabyte(self, served: Served, client: RawClient) -> None:
        client = served.client(msize=1 << 20 | 24)
        data = bytes(range(256)) * 4096
        client.walk(0, 1, b"f")
        client.open(1, linux.O_RDWR)
        for i in range(4):  # frames that are views of the receive buffer
            assert client.rpc(m.Twrite(1, i << 20, data)).count == 1 << 20
        assert all(client.read(1, i << 20, 1 << 20) == data for i in range(4))

    @pytest.mark.parametrize(
        ("offset", "code"),
        [(1 << 63, Errno.EINVAL), ((1 << 64) - 1, Errno.EINVAL), (TOP, Errno.EFBIG), (TOP - 2, Errno.EFBIG)],
    )
    def test_offsets_that_no_file_has(self, client: RawClient, offset: int, code: Errno) -> None:
        with refused(code):
            client.rpc(m.Twrite(1, offset, b"abc"))
        assert client.read(1) == b"hello"

    def test_fids_that_cannot_be_written(self, client: RawClient) -> None:
        client.walk(0, 2, b"f")
        client.walk(0, 3, b"f")
        client.open(3)
        client.walk(0, 4)
        client.open(4)
        for fid, code in ((2, Errno.EBADF), (3, Errno.EBADF), (4, Errno.EISDIR), (99, Errno.EBADF)):
            with refused(code):
                client.rpc(m.Twrite(fid, 0, b"x"))
        assert client.read(1) == b"hello"

    def test_the_drivers_error(self, served: Served, client: RawClient) -> None:
        served.faults.fail("file.write", Errno.ENOSPC)
        with refused(Errno.ENOSPC):
            client.rpc(m.Twrite(1, 0, b"x"))

    def test_who_writes_drops_suid(self, client: RawClient) -> None:
        client.rpc(m.Tsetattr(1, linux.SETATTR_MODE, 0o6755, 0, 0, 0, 0, 0, 0, 0))
        client.attach(5, n_uname=1000)
        client.walk(5, 6, b"f")
        client.open(6, linux.O_WRONLY)
        client.rpc(m.Twrite(6, 0, b"x"))
        assert client.rpc(m.Tgetattr(1, 1)).attributes.mode == 0o100755


class TestFsync:
    @pytest.mark.parametrize("datasync", [0, 1])
    def test_files_and_directories(self, served: Served, client: RawClient, datasync: int) -> None:
        client.walk(0, 1, b"f")
        client.walk(0, 2, b"d")
        for fid in (1, 2):
            client.open(fid)
            client.rpc(m.Tfsync(fid, datasync))
        assert served.faults.calls["file.fsync"] == served.faults.calls["dir.fsync"] == 1

    def test_only_open_ones(self, client: RawClient) -> None:
        # QEMU syncs descriptor 0 for others.
        client.walk(0, 1, b"f")
        for fid in (1, 99):
            with refused(Errno.EBADF):
                client.rpc(m.Tfsync(fid))

    def test_its_error(self, served: Served, client: RawClient) -> None:
        client.walk(0, 1, b"f")
        client.open(1)
        served.faults.fail("file.fsync", Errno.EIO)
        with refused(Errno.EIO):
            client.rpc(m.Tfsync(1))

    def test_without_datasync(self, client: RawClient) -> None:
        client.walk(0, 1, b"f")
        client.open(1)
        client.send_bytes(bytes.fromhex("0b000000 32 0500 01000000"), number=50, tag=5)
        client.reply(5)
