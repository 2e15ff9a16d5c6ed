"""Tgetattr, Tsetattr, Tstatfs, Treadlink through the wire."""

import pytest
from tests.support.client import RawClient, refused
from tests.support.served import Served

from ninep import linux
from ninep.drivers.memory import MemoryDriver
from ninep.linux import NO_ID, Errno
from ninep.linux import SETATTR_ATIME as ATIME
from ninep.linux import SETATTR_ATIME_SET as ATIME_SET
from ninep.linux import SETATTR_CTIME as CTIME
from ninep.linux import SETATTR_GID as GID
from ninep.linux import SETATTR_MODE as MODE
from ninep.linux import SETATTR_MTIME as MTIME
from ninep.linux import SETATTR_MTIME_SET as MTIME_SET
from ninep.linux import SETATTR_SIZE as SIZE
from ninep.linux import SETATTR_UID as UID
from ninep.wire import messages as m
from ninep.wire.types import Attributes

GARBAGE = {
    "mode": 0xDEADBEEF,
    "uid": 0xDEADBEEF,
    "gid": 0xDEADBEEF,
    "size": 0xDEADBEEFDEADBEEF,
    "atime_sec": -0x21524110,
    "atime_nsec": 0xDEADBEEFDEADBEEF,
    "mtime_sec": -0x21524110,
    "mtime_nsec": 0xDEADBEEFDEADBEEF,
}


class Clock:
    """A second for each look."""

    def __init__(self) -> None:
        self.now = 1_000 * 10**9

    def __call__(self) -> int:
        self.now += 10**9
        return self.now


@pytest.fixture
def served() -> Served:
    with Served(driver=MemoryDriver(clock=Clock())) as server:
        yield server


@pytest.fixture
def client(served: Served) -> RawClient:
    """``/f`` with ``hello`` in it as fid 1, not open."""
    client = served.client()
    client.create(0, 1, b"f", b"hello")
    client.clunk(1)
    client.walk(0, 1, b"f")
    return client


def attributes(client: RawClient, fid: int = 1) -> Attributes:
    found: Attributes = client.rpc(m.Tgetattr(fid, linux.GETATTR_ALL)).attributes
    return found


def setattr_(client: RawClient, valid: int, fid: int = 1, **fields: int) -> None:
    """What is not named is garbage."""
    client.rpc(m.Tsetattr(fid, valid, **{**GARBAGE, **fields}))


class TestGetattr:
    @pytest.mark.parametrize("mask", [0, 1, 0x7FF, 0x17FF, 0x3FFF, (1 << 64) - 1], ids=hex)
    def test_basic_is_always_there(self, client: RawClient, mask: int) -> None:
        # The judge looks at valid.
        found = client.rpc(m.Tgetattr(1, mask)).attributes
        assert (found.mode, found.size, found.nlink) == (0o100644, 5, 1)

    def test_the_qid_is_the_one_of_the_walk(self, client: RawClient) -> None:
        found = attributes(client)
        assert client.walk(0, 2, b"f")[0] == (found.qid_type, found.qid_version, found.qid_path)

    def test_the_version_moves_with_the_content_only(self, client: RawClient) -> None:
        client.walk(0, 2, b"f")
        client.open(2, linux.O_RDWR)
        before = attributes(client).qid_version
        client.read(2)
        assert attributes(client).qid_version == before
        client.rpc(m.Twrite(2, 0, b"hello"))
        assert attributes(client).qid_version != before

    @pytest.mark.parametrize("msize", [4096, 8192 + 24, 1 << 20 | 24], ids=str)
    def test_blksize_is_what_one_read_carries(self, served: Served, client: RawClient, msize: int) -> None:
        other = served.client(msize=msize)
        found = attributes(other, 0)
        room = msize - 24
        assert found.blksize == (room - room % 4096 or room)

    def test_unknown_fid(self, client: RawClient) -> None:
        with refused(Errno.EBADF):
            attributes(client, 99)

    def test_the_drivers_error(self, served: Served, client: RawClient) -> None:
        served.faults.fail("getattr", Errno.ESTALE)
        with refused(Errno.ESTALE):
            attributes(client)

    def test_a_driver_that_breaks_its_word(self, served: Served, client: RawClient) -> None:
        served.faults.crash("getattr", ZeroDivisionError())
        with refused(Errno.EIO):
            attributes(client)
        attributes(client)


class TestSetattr:
    @pytest.mark.parametrize("valid", [0, 1 << 9, 1 << 31, 0xFFFFFE00], ids=hex)
    def test_fields_that_are_not_named_are_not_read(self, client: RawClient, valid: int) -> None:
        # Kernels send whatever was there.
        before = attributes(client)
        setattr_(client, valid)
        assert attributes(client) == before

    def test_mode_keeps_the_type(self, client: RawClient) -> None:
        for sent in (0o100600, 0o600, 0o040600, 0o170600):
            setattr_(client, MODE, mode=sent)
            assert attributes(client).mode == 0o100600
        setattr_(client, MODE, mode=0o7777)
        assert attributes(client).mode == 0o107777

    def test_owner_and_group(self, client: RawClient) -> None:
        setattr_(client, UID, uid=1000)
        assert (attributes(client).uid, attributes(client).gid) == (1000, 0)
        setattr_(client, GID, gid=1001)
        assert (attributes(client).uid, attributes(client).gid) == (1000, 1001)
        setattr_(client, UID | GID, uid=NO_ID, gid=NO_ID)
        assert (attributes(client).uid, attributes(client).gid) == (1000, 1001)

    def test_size(self, client: RawClient) -> None:
        setattr_(client, SIZE, size=3)
        assert attributes(client).size == 3
        setattr_(client, SIZE, size=1 << 40)
        assert attributes(client).size == 1 << 40

    @pytest.mark.parametrize("size", [1 << 63, (1 << 64) - 1], ids=hex)
    def test_sizes_that_no_file_has(self, client: RawClient, size: int) -> None:
        with refused(Errno.EINVAL):
            setattr_(client, SIZE | MODE, size=size, mode=0)
        assert attributes(client).mode == 0o100644

    def test_now(self, served: Served, client: RawClient) -> None:
        before = attributes(client)
        setattr_(client, ATIME)
        between = attributes(client)
        assert between.atime_sec > before.atime_sec
        assert between.mtime_sec == before.mtime_sec
        setattr_(client, MTIME)
        after = attributes(client)
        assert after.mtime_sec > between.atime_sec
        assert after.atime_sec == between.atime_sec

    @pytest.mark.parametrize("seconds", [0, 1, 2**31, 2**33, -1, -(2**31), -(2**40)])
    def test_moments_before_and_after_1970(self, client: RawClient, seconds: int) -> None:
        setattr_(client, ATIME | ATIME_SET, atime_sec=seconds, atime_nsec=999_999_999)
        setattr_(client, MTIME | MTIME_SET, mtime_sec=seconds, mtime_nsec=1)
        found = attributes(client)
        assert (found.atime_sec, found.atime_nsec) == (seconds, 999_999_999)
        assert (found.mtime_sec, found.mtime_nsec) == (seconds, 1)

    @pytest.mark.parametrize("nanoseconds", [10**9, (1 << 30) - 1, (1 << 30) - 2, (1 << 64) - 1])
    def test_nanoseconds_that_are_none(self, client: RawClient, nanoseconds: int) -> None:
        # utimensat(2)'s UTIME_NOW and UTIME_OMIT do not travel in 9P.
        with refused(Errno.EINVAL):
            setattr_(client, ATIME | ATIME_SET, atime_sec=0, atime_nsec=nanoseconds)

    def test_set_without_the_time_means_nothing(self, client: RawClient) -> None:
        before = attributes(client)
        setattr_(client, ATIME_SET | MTIME_SET)
        assert attributes(client) == before

    def test_times_of_a_truncation_win(self, client: RawClient) -> None:
        setattr_(client, SIZE | MTIME | MTIME_SET, size=0, mtime_sec=5, mtime_nsec=6)
        found = attributes(client)
        assert (found.size, found.mtime_sec, found.mtime_nsec) == (0, 5, 6)

    def test_a_mode_wins_over_the_chown_it_came_with(self, client: RawClient) -> None:
        client.attach(5, n_uname=1000)
        client.walk(5, 6, b"f")
        setattr_(client, UID | MODE, fid=6, uid=1000, mode=0o6755)
        assert attributes(client).mode == 0o106755
        setattr_(client, UID, fid=6, uid=1001)
        assert attributes(client).mode == 0o100755

    def test_ctime_alone_moves_it(self, client: RawClient) -> None:
        before = attributes(client)
        setattr_(client, CTIME)
        after = attributes(client)
        assert after.ctime_sec > before.ctime_sec
        assert (after.atime_sec, after.mtime_sec) == (before.atime_sec, before.mtime_sec)

    def test_size_through_a_file_open_for_writing(self, served: Served, client: RawClient) -> None:
        # ftruncate(2): whatever the mode became meanwhile, and on a file that has no name any more.
        client.open(1, linux.O_RDWR)
        client.rpc(m.Tunlinkat(0, b"f", 0))
        setattr_(client, SIZE | MTIME | CTIME, size=2)
        assert served.faults.calls["file.truncate"] == 1
        assert client.read(1) == b"he"

    def test_of_what_has_no_size(self, client: RawClient) -> None:
        client.mkdir(0, b"d")
        client.walk(0, 2, b"d")
        with refused(Errno.EISDIR):
            setattr_(client, SIZE, fid=2, size=0)
        client.open(2)
        with refused(Errno.EISDIR):
            setattr_(client, SIZE, fid=2, size=0)

    def test_unknown_fid(self, client: RawClient) -> None:
        with refused(Errno.EBADF):
            setattr_(client, MODE, fid=99, mode=0)

    def test_a_fid_that_is_an_attribute(self, client: RawClient) -> None:
        client.rpc(m.Txattrwalk(1, 2, b""))
        with refused(Errno.EINVAL):
            setattr_(client, MODE, fid=2, mode=0)


class TestStatfs:
    @pytest.mark.parametrize("msize", [4096, 8192, 8192 + 24, 65536 + 24, 1 << 20], ids=str)
    def test_blocks_that_one_read_carries(self, msize: int) -> None:
        with Served(driver=MemoryDriver(capacity=1 << 30, inodes=1000)) as served:
            found = served.client(msize=msize).rpc(m.Tstatfs(0)).statfs
            factor = max(1, (msize - 24) // 4096)
            assert found.bsize == 4096 * factor
            assert found.blocks == (1 << 18) // factor
            assert found.bfree <= found.blocks
            assert (found.files, found.ffree, found.namelen) == (1000, 999, 255)

    def test_unknown_fid(self, client: RawClient) -> None:
        with refused(Errno.EBADF):
            client.rpc(m.Tstatfs(99))


class TestReadlink:
    def test_of_what_is_no_link(self, client: RawClient) -> None:
        for fid in (0, 1):
            with refused(Errno.EINVAL):
                client.rpc(m.Treadlink(fid))
        with refused(Errno.EBADF):
            client.rpc(m.Treadlink(99))
