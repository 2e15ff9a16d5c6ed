"""The memory driver beyond the interface: its limits, and the release of memory."""

from collections.abc import Iterator
from itertools import count

import pytest

from ninep import linux
from ninep.drivers.memory import MemoryDriver, MemoryNode
from ninep.errors import Refused
from ninep.linux import Errno
from ninep.node import Changes, Node, User
from ninep.testing.suite import DriverSuite

CAPACITY = 10_000


@pytest.fixture
def driver() -> MemoryDriver:
    ticks = count(1_000_000_000)
    return MemoryDriver(capacity=CAPACITY, inodes=10, uid=7, gid=8, clock=lambda: next(ticks))


@pytest.fixture
def root(driver: MemoryDriver) -> Iterator[MemoryNode]:
    node = driver.attach(User())
    yield node
    node.release()


def used(driver: MemoryDriver) -> tuple[int, int]:
    return driver.space.bytes, driver.space.files


def fill(root: MemoryNode, name: bytes, size: int) -> None:
    node, file = root.create(name, linux.O_RDWR, 0o644, 0, 0)
    try:
        assert file.write(0, bytes(size)) == size
    finally:
        file.close()
        node.release()


def refused(code: Errno) -> "pytest.RaisesExc[Refused]":
    return pytest.raises(Refused, check=lambda refusal: refusal.code is code)


class TestSuite(DriverSuite):
    """All tests of the acceptance suite."""

    @pytest.fixture
    def root(self) -> Iterator[Node]:
        driver = MemoryDriver()
        node = driver.attach(User())
        yield node
        node.release()
        assert node.inode.refs == 0


class TestLimits:
    def test_bytes(self, driver: MemoryDriver, root: MemoryNode) -> None:
        fill(root, b"most", CAPACITY - 100)
        with refused(Errno.ENOSPC):
            fill(root, b"more", 100)
        assert root.walk(b"more").getattr(0).size == 0
        assert driver.space.bytes <= CAPACITY
        root.unlink(b"most", directory=False)
        fill(root, b"again", CAPACITY - 100)

    def test_inodes(self, root: MemoryNode) -> None:
        for i in range(9):
            root.mkdir(b"%d" % i, 0o755, 0, 0)
        for make in (
            lambda: root.mkdir(b"x", 0o755, 0, 0),
            lambda: root.symlink(b"x", b"to", 0, 0),
            lambda: root.mknod(b"x", linux.S_IFIFO, 0, 0, 0),
            lambda: root.create(b"x", linux.O_RDWR, 0o644, 0, 0),
        ):
            with refused(Errno.ENOSPC):
                make()
        root.unlink(b"3", directory=True)
        root.mkdir(b"x", 0o755, 0, 0)

    def test_extended_attributes_and_link_targets_count(self, root: MemoryNode) -> None:
        root.mkdir(b"d", 0o755, 0, 0)
        node = root.walk(b"d")
        node.setxattr(b"user.a", bytes(CAPACITY - 100), 0)
        with refused(Errno.ENOSPC):
            node.setxattr(b"user.b", bytes(100), 0)
        with refused(Errno.ENOSPC):
            root.symlink(b"link", b"t" * 100, 0, 0)
        assert node.listxattr() == [b"user.a"]
        node.setxattr(b"user.a", b"", 0)
        root.symlink(b"link", b"t" * 100, 0, 0)

    def test_a_rename_to_a_longer_name(self, root: MemoryNode) -> None:
        fill(root, b"a", CAPACITY - 1)
        with refused(Errno.ENOSPC):
            root.rename(b"a", root, b"longer")
        root.rename(b"a", root, b"b")
        assert root.walk(b"b").name == b"b"

    def test_statfs_shows_them(self, root: MemoryNode) -> None:
        fill(root, b"f", 5000)
        figures = root.statfs()
        assert (figures.bsize, figures.blocks, figures.bfree) == (4096, 2, 1)
        assert (figures.files, figures.ffree) == (10, 8)


class TestRoomComesBack:
    def test_with_the_last_name(self, driver: MemoryDriver, root: MemoryNode) -> None:
        before = used(driver)
        fill(root, b"f", 100)
        node = root.walk(b"f")
        node.setxattr(b"user.a", b"value", 0)
        root.link(node, b"second")
        node.release()
        root.unlink(b"f", directory=False)
        assert driver.space.bytes == 100 + len(b"user.avalue" + b"second")
        root.unlink(b"second", directory=False)
        assert used(driver) == before

    def test_with_the_last_claim_on_a_deleted_file(self, driver: MemoryDriver, root: MemoryNode) -> None:
        before = used(driver)
        node, file = root.create(b"f", linux.O_RDWR, 0o644, 0, 0)
        root.unlink(b"f", directory=False)
        file.write(0, bytes(50))
        assert used(driver) == (50, 2)
        node.release()
        assert file.read(0, 100) == bytes(50)
        file.close()
        assert used(driver) == before

    def test_with_what_a_rename_replaces(self, driver: MemoryDriver, root: MemoryNode) -> None:
        fill(root, b"old", 100)
        fill(root, b"new", 50)
        root.rename(b"old", root, b"new")
        assert used(driver) == (100 + 3, 2)

    def test_with_a_truncation(self, driver: MemoryDriver, root: MemoryNode) -> None:
        fill(root, b"f", 100)
        node = root.walk(b"f")
        node.setattr(Changes(size=10))
        assert driver.space.bytes == 10 + 1
        node.setattr(Changes(size=1 << 60))
        assert driver.space.bytes == 10 + 1
        node.release()


class TestTimes:
    def test_come_from_the_clock(self, root: MemoryNode) -> None:
        node, file = root.create(b"f", linux.O_RDWR, 0o644, 0, 0)
        made = node.getattr(0)
        assert (made.btime_sec, made.btime_nsec) == (made.mtime_sec, made.mtime_nsec)
        file.write(0, b"x")
        written = node.getattr(0)
        assert written.mtime_nsec > made.mtime_nsec
        assert written.btime_nsec == made.btime_nsec

    def test_atime_moves_once_after_each_change(self, root: MemoryNode) -> None:
        node, file = root.create(b"f", linux.O_RDWR, 0o644, 0, 0)
        file.write(0, b"x")
        file.read(0, 1)
        first = node.getattr(0).atime_nsec
        assert first > node.getattr(0).mtime_nsec
        file.read(0, 1)
        assert node.getattr(0).atime_nsec == first

    def test_noatime(self, root: MemoryNode) -> None:
        fill(root, b"f", 3)
        node = root.walk(b"f")
        before = node.getattr(0).atime_nsec
        file = node.open(linux.O_RDONLY | linux.O_NOATIME)
        file.read(0, 1)
        assert node.getattr(0).atime_nsec == before


def test_files_without_a_uid_get_the_drivers(root: MemoryNode) -> None:
    root.mkdir(b"d", 0o755, linux.NO_ID, linux.NO_ID)
    a = root.walk(b"d").getattr(0)
    assert (a.uid, a.gid) == (7, 8)


def test_without_a_group_a_setgid_directory_gives_its_own(root: MemoryNode) -> None:
    root.mkdir(b"d", 0o2755, 0, 33)
    folder = root.walk(b"d")
    folder.mkdir(b"e", 0o755, 0, linux.NO_ID)
    assert folder.walk(b"e").getattr(0).gid == 33


def test_two_drivers_keep_apart(root: MemoryNode) -> None:
    other = MemoryDriver().attach(User())
    fill(root, b"f", 1)
    with refused(Errno.EXDEV):
        other.link(root.walk(b"f"), b"g")
    with refused(Errno.EXDEV):
        root.rename(b"f", other, b"g")
    with refused(Errno.EXDEV):
        root.walk(b"f").move(other, b"g")


def test_hard_links_end(root: MemoryNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ninep.drivers.memory.node.MAX_LINKS", 2)
    fill(root, b"f", 1)
    node = root.walk(b"f")
    root.link(node, b"g")
    with refused(Errno.EMLINK):
        root.link(node, b"h")


def test_deleted_cookies_are_swept() -> None:
    root = MemoryDriver().attach(User())
    for i in range(1000):
        root.mkdir(b"%d" % i, 0o755, 0, 0)
        if i >= 10:
            root.unlink(b"%d" % (i - 10), directory=True)
    assert len(root.inode.entries.order) < 100
    assert [entry.name for entry in root.opendir().read(0, 10_000)] == [
        b".",
        b"..",
        *[b"%d" % i for i in range(990, 1000)],
    ]
