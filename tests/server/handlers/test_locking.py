"""Tlock and Tgetlock through the wire: several clients of one export."""

import pytest
from tests.support.client import RawClient, refused
from tests.support.served import Served

from ninep import linux
from ninep.drivers.memory import MemoryDriver
from ninep.layers.base import FileWrapper, Wrapper
from ninep.linux import LOCK_BLOCKED as BLOCKED
from ninep.linux import LOCK_ERROR as ERROR
from ninep.linux import LOCK_RDLCK as READ
from ninep.linux import LOCK_SUCCESS as SUCCESS
from ninep.linux import LOCK_UNLCK as UNLOCK
from ninep.linux import LOCK_WRLCK as WRITE
from ninep.linux import Errno
from ninep.node import Node, OpenFile, User
from ninep.server.limits import Limits
from ninep.wire import messages as m

FILE = 1


def with_file(served: Served, flags: int = linux.O_RDWR) -> RawClient:
    """A client with ``/f`` open as fid 1."""
    client = served.client()
    client.walk(0, FILE)
    client.rpc(m.Tlcreate(FILE, b"f", flags, 0o644, 0))
    return client


def lock(
    client: RawClient,
    kind: int,
    start: int = 0,
    length: int = 0,
    proc: int = 1,
    name: bytes = b"host",
    fid: int = FILE,
    flags: int = 0,
) -> int:
    status: int = client.rpc(m.Tlock(fid, kind, flags, start, length, proc, name)).status
    return status


def held(
    client: RawClient, start: int = 0, length: int = 0, proc: int = 99, kind: int = UNLOCK
) -> tuple[int, int, int, int] | None:
    """Who is in the way? Asked as Linux does, with type unlock."""
    found = client.rpc(m.Tgetlock(FILE, kind, start, length, proc, b"host"))
    return None if found.type == UNLOCK else (found.type, found.start, found.length, found.proc_id)


@pytest.fixture
def one(served: Served) -> RawClient:
    return with_file(served)


@pytest.fixture
def two(served: Served, one: RawClient) -> RawClient:
    return with_file(served)


class TestBetweenClients:
    @pytest.mark.parametrize(
        ("first", "second", "expected"),
        [(READ, READ, SUCCESS), (READ, WRITE, BLOCKED), (WRITE, READ, BLOCKED), (WRITE, WRITE, BLOCKED)],
    )
    def test_who_excludes_whom(self, one: RawClient, two: RawClient, first: int, second: int, expected: int) -> None:
        assert lock(one, first) == SUCCESS
        assert lock(two, second) == expected

    @pytest.mark.parametrize("flags", [0, linux.LOCK_FLAG_BLOCK, linux.LOCK_FLAG_RECLAIM])
    def test_no_lock_waits(self, one: RawClient, two: RawClient, flags: int) -> None:
        # Linux polls, also for F_SETLKW.
        assert lock(one, WRITE, flags=flags) == SUCCESS
        assert lock(two, WRITE, flags=flags) == BLOCKED
        assert lock(one, UNLOCK, flags=flags) == SUCCESS
        assert lock(two, WRITE, flags=flags) == SUCCESS

    def test_ranges_that_do_not_touch(self, one: RawClient, two: RawClient) -> None:
        assert lock(one, WRITE, 10, 10) == SUCCESS
        assert lock(two, WRITE, 0, 10) == SUCCESS
        assert lock(two, WRITE, 20, 0) == SUCCESS
        assert lock(two, WRITE, 19, 1) == BLOCKED
        assert lock(two, WRITE, 0, 0) == BLOCKED

    def test_the_same_owner_is_never_in_its_own_way(self, one: RawClient) -> None:
        one.walk(0, 2, b"f")
        one.open(2, linux.O_RDWR)
        for kind, fid in ((WRITE, FILE), (READ, FILE), (WRITE, 2), (READ, FILE), (WRITE, 2)):
            assert lock(one, kind, fid=fid) == SUCCESS
        assert held(one, proc=1) is None

    @pytest.mark.parametrize("other", [{"proc": 2}, {"name": b"guest"}], ids=["process", "client id"])
    def test_owners_on_one_connection(self, one: RawClient, other: dict[str, int]) -> None:
        assert lock(one, WRITE, 0, 10) == SUCCESS
        assert lock(one, WRITE, 5, 10, **other) == BLOCKED  # type: ignore[arg-type]
        assert lock(one, WRITE, 10, 10, **other) == SUCCESS  # type: ignore[arg-type]

    def test_the_same_name_and_number_on_another_connection_is_another_owner(
        self, one: RawClient, two: RawClient
    ) -> None:
        assert lock(one, WRITE, proc=7, name=b"a") == SUCCESS
        assert lock(two, WRITE, proc=7, name=b"a") == BLOCKED
        assert lock(two, UNLOCK, proc=7, name=b"a") == SUCCESS  # its own, which it has not
        assert lock(two, WRITE, proc=7, name=b"a") == BLOCKED

    def test_other_files_are_no_matter(self, one: RawClient, two: RawClient) -> None:
        assert lock(one, WRITE) == SUCCESS
        two.create(0, 2, b"g")
        assert lock(two, WRITE, fid=2) == SUCCESS

    def test_other_names_of_the_file_are(self, one: RawClient, two: RawClient) -> None:
        one.rpc(m.Tlink(0, FILE, b"g"))
        two.walk(0, 2, b"g")
        two.open(2, linux.O_RDWR)
        assert lock(one, WRITE) == SUCCESS
        assert lock(two, WRITE, fid=2) == BLOCKED

    def test_flock_needs_no_file_open_for_writing(self, served: Served, one: RawClient) -> None:
        reader = with_file(served, linux.O_RDONLY)
        assert lock(reader, WRITE) == SUCCESS
        assert lock(one, READ) == BLOCKED

    def test_directories(self, served: Served) -> None:
        clients = [served.client(), served.client()]
        for client in clients:
            client.walk(0, FILE)
            client.open(FILE)
        assert [lock(client, WRITE) for client in clients] == [SUCCESS, BLOCKED]


class TestUnlock:
    def test_a_hole_in_the_middle(self, one: RawClient, two: RawClient) -> None:
        assert lock(one, WRITE, 0, 30) == SUCCESS
        assert lock(one, UNLOCK, 10, 10) == SUCCESS
        assert held(two) == (WRITE, 0, 10, 1)
        assert held(two, 10) == (WRITE, 20, 10, 1)
        assert lock(two, WRITE, 10, 10) == SUCCESS
        assert lock(two, WRITE, 9, 1) == lock(two, WRITE, 20, 1) == BLOCKED

    def test_what_was_not_held(self, one: RawClient, two: RawClient) -> None:
        assert lock(one, UNLOCK, 5, 5) == SUCCESS
        assert lock(two, WRITE, 5, 5) == SUCCESS

    def test_to_the_end(self, one: RawClient, two: RawClient) -> None:
        assert lock(one, WRITE) == SUCCESS
        assert lock(one, UNLOCK, 100) == SUCCESS
        assert held(two) == (WRITE, 0, 100, 1)
        assert held(two, 100) is None

    def test_a_part_becomes_a_read_lock(self, one: RawClient, two: RawClient) -> None:
        assert lock(one, WRITE, 0, 30) == SUCCESS
        assert lock(one, READ, 10, 10) == SUCCESS
        assert lock(two, READ, 10, 10) == SUCCESS
        assert lock(two, READ, 9, 1) == lock(two, READ, 20, 1) == BLOCKED


class TestEnd:
    def test_with_the_fid(self, one: RawClient, two: RawClient) -> None:
        assert lock(one, WRITE) == SUCCESS
        one.clunk(FILE)
        assert lock(two, WRITE) == SUCCESS

    def test_not_with_another_fid(self, one: RawClient, two: RawClient) -> None:
        one.walk(0, 2, b"f")
        one.open(2, linux.O_RDWR)
        assert lock(one, WRITE, 0, 10) == SUCCESS
        assert lock(one, WRITE, 10, 10, fid=2) == SUCCESS
        one.clunk(2)
        assert lock(two, WRITE, 0, 1) == BLOCKED
        assert lock(two, WRITE, 10, 10) == SUCCESS

    def test_with_tremove(self, one: RawClient, two: RawClient) -> None:
        assert lock(one, WRITE) == SUCCESS
        one.rpc(m.Tremove(FILE))
        assert lock(two, WRITE) == SUCCESS

    def test_with_the_session(self, one: RawClient, two: RawClient) -> None:
        assert lock(one, WRITE) == SUCCESS
        one.version()
        assert lock(two, WRITE) == SUCCESS

    def test_with_the_connection(self, served: Served, one: RawClient, two: RawClient) -> None:
        assert lock(one, WRITE) == SUCCESS
        one.close()
        served.until(lambda: served.server.connections == 1)
        assert lock(two, WRITE) == SUCCESS


class TestGetlock:
    @pytest.mark.parametrize("kind", [UNLOCK, WRITE])
    def test_any_lock_is_in_the_way(self, one: RawClient, two: RawClient, kind: int) -> None:
        assert lock(one, READ, 5, 10, proc=42) == SUCCESS
        assert held(two, kind=kind) == (READ, 5, 10, 42)

    def test_of_a_reader_only_writers(self, one: RawClient, two: RawClient) -> None:
        assert lock(one, READ, 0, 10) == SUCCESS
        assert lock(one, WRITE, 10, 10) == SUCCESS
        assert held(two, kind=READ) == (WRITE, 10, 10, 1)

    def test_getlock_without_a_conflict(self, one: RawClient) -> None:
        reply = one.rpc(m.Tgetlock(FILE, WRITE, 3, 4, 5, b"me"))
        assert reply == m.Rgetlock(UNLOCK, 3, 4, 5, b"me")

    def test_whose_it_is(self, one: RawClient, two: RawClient) -> None:
        assert lock(one, WRITE, 1, 0, proc=42, name=b"guest") == SUCCESS
        assert two.rpc(m.Tgetlock(FILE, UNLOCK, 0, 0, 5, b"me")) == m.Rgetlock(WRITE, 1, 0, 42, b"guest")


class TestRefused:
    @pytest.mark.parametrize(
        ("kind", "start", "length"),
        [
            (3, 0, 0),
            (255, 0, 0),
            (WRITE, 1 << 63, 0),
            (WRITE, (1 << 64) - 1, 1),
            (WRITE, 1, 1 << 63),
            (WRITE, (1 << 63) - 1, 2),
            (UNLOCK, 0, (1 << 64) - 1),
        ],
    )
    def test_ranges_and_types_that_are_none(self, one: RawClient, kind: int, start: int, length: int) -> None:
        with refused(Errno.EINVAL):
            lock(one, kind, start, length)
        with refused(Errno.EINVAL):
            one.rpc(m.Tgetlock(FILE, kind, start, length, 1, b""))

    def test_the_largest_ranges(self, one: RawClient, two: RawClient) -> None:
        assert lock(one, WRITE, (1 << 63) - 1, 1) == SUCCESS
        assert lock(two, WRITE, (1 << 63) - 1, 0) == BLOCKED
        assert lock(two, WRITE, 0, (1 << 63) - 1) == SUCCESS

    @pytest.mark.parametrize("flags", [4, 1 << 31, 0xFFFFFFFF], ids=hex)
    def test_other_flags(self, one: RawClient, flags: int) -> None:
        with refused(Errno.EINVAL):
            lock(one, WRITE, flags=flags)

    def test_fids_that_are_not_open(self, one: RawClient) -> None:
        one.walk(0, 2, b"f")
        for fid in (2, 99):
            with refused(Errno.EBADF):
                lock(one, WRITE, fid=fid)
            with refused(Errno.EBADF):
                one.rpc(m.Tgetlock(fid, WRITE, 0, 0, 1, b""))

    def test_a_client_id_that_others_could_not_be_told(self, served: Served) -> None:
        client = served.client(msize=1 << 20)
        client.create(0, FILE, b"f")
        with refused(Errno.EINVAL):
            lock(client, WRITE, name=b"x" * 5000)


class TestLimit:
    def test_ranges_of_one_connection(self) -> None:
        with Served(limits=Limits(locks=3)) as served:
            one, two = with_file(served), with_file(served)
            assert [lock(one, WRITE, 2 * i, 1) for i in range(4)] == [SUCCESS, SUCCESS, SUCCESS, ERROR]
            assert lock(two, WRITE, 100, 1) == SUCCESS
            assert lock(one, WRITE, 1, 1) == SUCCESS  # makes one of the first two, so that ...
            assert lock(one, WRITE, 50, 1) == SUCCESS

    def test_ranges_split_by_unlocking(self) -> None:
        with Served(limits=Limits(locks=2)) as served:
            one, two = with_file(served), with_file(served)
            assert lock(one, WRITE, 0, 100) == SUCCESS
            assert lock(one, UNLOCK, 50, 1) == SUCCESS
            assert lock(one, UNLOCK, 25, 1) == ERROR
            assert lock(two, WRITE, 25, 1) == BLOCKED
            assert lock(one, UNLOCK) == SUCCESS
            assert lock(two, WRITE) == SUCCESS


class Host(dict[int, list[tuple[int, int, int]]]):
    """A layer of files that are locked on a host as Linux does: by open file, knowing nothing of
    9P's owners.
    """

    def __call__(self, root: Node, user: User) -> Node:
        return _HostNode(root, self)


class _HostNode(Wrapper):
    __slots__ = ()

    def wrap_file(self, file: OpenFile) -> OpenFile:
        return _HostFile(file, self)


class _HostFile(FileWrapper):
    __slots__ = ()

    def lock(self, kind: int, start: int, length: int) -> None:
        host: Host = self.node.layer  # type: ignore[assignment]
        bytes_ = set(range(start, start + length))
        for other, locks in host.items():
            for theirs, begin, end in locks:
                if other != id(self) and kind != UNLOCK and WRITE in {kind, theirs} and bytes_ & set(range(begin, end)):
                    raise BlockingIOError(11, "locked")
        mine = {at: what for what, begin, end in host.get(id(self), []) for at in range(begin, end)}
        mine = {at: what for at, what in mine.items() if at not in bytes_}
        if kind != UNLOCK:
            mine |= dict.fromkeys(bytes_, kind)
        host[id(self)] = [(what, at, at + 1) for at, what in sorted(mine.items())]

    def test_lock(self, kind: int, start: int, length: int) -> tuple[int, int, int, int] | None:
        host: Host = self.node.layer  # type: ignore[assignment]
        for other, locks in host.items():
            for what, begin, end in locks:
                if other != id(self) and begin < start + length and start < end and WRITE in {kind, what}:
                    return what, begin, end - begin, 4711
        return None

    def close(self) -> None:
        host: Host = self.node.layer  # type: ignore[assignment]
        host.pop(id(self), None)
        super().close()


class TestHost:
    """Locks are taken on the host as well, where an open file is an owner (open-file-description
    locks).
    """

    @pytest.fixture
    def host(self) -> Host:
        return Host()

    @pytest.fixture
    def served(self, host: Host) -> Served:
        with Served(driver=MemoryDriver(), layers=[host]) as server:
            yield server

    def locked(self, host: Host) -> dict[int, int]:
        """What is locked on the host: position and kind."""
        return {begin: what for key, locks in host.items() if key for what, begin, _ in locks}

    def test_what_clients_lock(self, host: Host, one: RawClient) -> None:
        assert lock(one, WRITE, 2, 3) == SUCCESS
        assert self.locked(host) == dict.fromkeys([2, 3, 4], WRITE)
        assert lock(one, UNLOCK, 3, 1) == SUCCESS
        assert self.locked(host) == dict.fromkeys([2, 4], WRITE)

    def test_a_process_in_the_way(self, host: Host, one: RawClient) -> None:
        host[0] = [(WRITE, 5, 6)]
        assert lock(one, READ, 0, 5) == SUCCESS
        assert lock(one, READ, 0, 6) == BLOCKED
        assert held(one, 0, 10, proc=1) == (WRITE, 5, 1, 4711)
        reply = one.rpc(m.Tgetlock(FILE, UNLOCK, 0, 10, 1, b""))
        assert reply.client_id == b"host"

    def test_one_owner_with_two_fids(self, host: Host, one: RawClient) -> None:
        # fcntl(2) of a process that opened a file twice: for the host two owners, who would exclude
        # each other.
        one.walk(0, 2, b"f")
        one.open(2, linux.O_RDWR)
        assert lock(one, WRITE, 0, 4) == SUCCESS
        assert lock(one, WRITE, 2, 4, fid=2) == SUCCESS
        assert self.locked(host) == dict.fromkeys(range(6), WRITE)
        assert held(one, 0, 10, proc=1) is None
        assert lock(one, UNLOCK, 0, 10) == SUCCESS  # through either fid
        assert self.locked(host) == {}

    def test_one_owner_with_two_fids_and_a_process_in_the_way(self, host: Host, one: RawClient) -> None:
        one.walk(0, 2, b"f")
        one.open(2, linux.O_RDWR)
        assert lock(one, READ, 0, 4) == SUCCESS
        host[0] = [(READ, 3, 4)]
        assert lock(one, WRITE, 0, 4, fid=2) == BLOCKED
        del host[0]
        assert self.locked(host) == dict.fromkeys(range(4), READ)  # it kept what it had

    def test_two_owners_with_one_fid(self, host: Host, one: RawClient) -> None:
        assert lock(one, READ, 0, 4, proc=1) == SUCCESS
        assert lock(one, READ, 2, 4, proc=2) == SUCCESS
        assert lock(one, UNLOCK, 0, 6, proc=1) == SUCCESS
        assert self.locked(host) == dict.fromkeys([2, 3, 4, 5], READ)

    @pytest.mark.parametrize("code", [Errno.EBADF, Errno.EACCES, Errno.EROFS, Errno.EOPNOTSUPP])
    def test_what_the_host_cannot_lock_is_locked_among_clients(
        self, served: Served, one: RawClient, two: RawClient, code: Errno
    ) -> None:
        served.faults.fail("file.lock", code, times=9)
        assert lock(one, WRITE, 0, 4) == SUCCESS
        assert lock(two, WRITE, 0, 4) == BLOCKED
        assert lock(one, UNLOCK, 0, 4) == SUCCESS
        assert lock(two, WRITE, 0, 4) == SUCCESS

    def test_other_errors_are_told(self, served: Served, one: RawClient, two: RawClient) -> None:
        served.faults.fail("file.lock", Errno.EIO)
        with refused(Errno.EIO):
            lock(one, WRITE, 0, 4)
        served.faults.fail("file.lock", Errno.ENOLCK)
        assert lock(one, WRITE, 0, 4) == ERROR
        assert lock(two, WRITE, 0, 4) == SUCCESS
