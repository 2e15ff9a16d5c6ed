"""Treaddir, and the making, moving and removing of entries, through the wire."""

from collections.abc import Sequence
from contextlib import suppress

import pytest
from tests.support.client import Failed, RawClient, refused
from tests.support.served import Served

from ninep import linux
from ninep.layers.base import DirWrapper, Wrapper
from ninep.linux import NO_ID, Errno
from ninep.node import Dirent, OpenDir
from ninep.wire import messages as m


class Literal(Wrapper):
    """A layer of directories that return what fits and nothing else."""

    __slots__ = ()

    def wrap_dir(self, listing: OpenDir) -> OpenDir:
        return _LiteralDir(listing, self)


class _LiteralDir(DirWrapper):
    __slots__ = ()

    def read(self, cookie: int, room: int) -> Sequence[Dirent]:
        found = []
        for entry in super().read(cookie, room):
            room -= 24 + len(entry[5])
            if room < 0:
                break
            found.append(entry)
        return found


@pytest.fixture
def listing(served: Served) -> RawClient:
    """``/d`` with files ``00`` to ``39``, open as fid 1; fid 2 is the same directory, not open."""
    client = served.client()
    client.mkdir(0, b"d")
    client.walk(0, 1, b"d")
    client.walk(0, 2, b"d")
    for i in range(40):
        client.rpc(m.Tmknod(2, b"%02d" % i, 0o100644, 0, 0, NO_ID))
    client.open(1)
    return client


class TestReaddir:
    def test_all_of_it_in_pieces(self, listing: RawClient) -> None:
        for count in (26, 27, 60, 200, 4096, 1 << 31):
            assert listing.names(1, count) == [b"%02d" % i for i in range(40)]

    def test_dots_are_part_of_it(self, listing: RawClient) -> None:
        entries = {entry[3]: entry for entry in listing.entries(1, 0)}
        assert entries[b"."][0][2] == listing.walk(0, 5, b"d")[0].path
        assert entries[b".."][0][2] == listing.walk(0, 6, b".")[0].path

    def test_qids_and_types(self, client: RawClient) -> None:
        client.mkdir(0, b"dir")
        client.rpc(m.Tsymlink(0, b"lnk", b"x", NO_ID))
        client.rpc(m.Tmknod(0, b"reg", 0o100644, 0, 0, NO_ID))
        client.walk(0, 1)
        client.open(1)
        found = {entry[3]: entry for entry in client.entries(1, 0)}
        for name, kind in ((b"dir", linux.DT_DIR), (b"lnk", linux.DT_LNK), (b"reg", linux.DT_REG)):
            qid = client.rpc(m.Twalk(0, 9, [name])).qids[0]
            assert (found[name][0][0], found[name][0][2]) == (qid.type, qid.path)
            assert found[name][2] == kind
            client.clunk(9)

    @pytest.mark.parametrize("count", [0, 1, 24, 25])
    def test_no_room_for_one_entry_is_not_the_end(self, listing: RawClient, count: int) -> None:
        last_dot = next(entry[1] for entry in listing.entries(1, 0) if entry[3] == b"..")
        with refused(Errno.EINVAL):
            listing.entries(1, last_dot, count)
        assert listing.names(1)[0] == b"00"

    @pytest.mark.parametrize("count", [26, 27, 100, 4096])
    def test_a_driver_that_takes_the_room_literally(self, count: int) -> None:
        # It should return one entry at least; to take nothing for the end would lose the rest of
        # the directory.
        with Served(layers=[lambda root, user: Literal(root, Literal)]) as served:
            client = served.client()
            for i in range(20):
                client.rpc(m.Tmknod(0, b"%02d" % i, 0o100644, 0, 0, NO_ID))
            client.walk(0, 1)
            client.open(1)
            assert client.names(1, count) == [b"%02d" % i for i in range(20)]
            with refused(Errno.EINVAL):
                client.entries(1, 0, 24)
            base = served.client(b"9P2000")
            base.walk(0, 1)
            base.open(1)
            assert len(base.read(1, 0, 70)) > 0

    def test_nothing_at_the_end(self, listing: RawClient) -> None:
        last = listing.entries(1, 0)[-1][1]
        for count in (0, 24, 4096):
            assert listing.entries(1, last, count) == []

    def test_from_any_cookie(self, listing: RawClient) -> None:
        entries = listing.entries(1, 0)
        for i, entry in enumerate(entries):
            assert listing.entries(1, entry[1]) == entries[i + 1 :]

    def test_entries_that_stay_come_once_whatever_else_happens(self, listing: RawClient) -> None:
        seen: list[bytes] = []
        offset = step = 0
        while entries := listing.entries(1, offset, 80):
            seen += [entry[3] for entry in entries]
            offset = entries[-1][1]
            # Behind us and before us: delete the odd ones, make new ones, rename new ones.
            for name in (b"%02d" % (2 * step + 1), b"%02d" % (39 - 2 * step)):
                with suppress(Failed):  # deleted before
                    listing.rpc(m.Tunlinkat(2, name, 0))
            if step < 20:
                listing.rpc(m.Tmknod(2, b"new%02d" % step, 0o100644, 0, 0, NO_ID))
            step += 1
        even = [b"%02d" % i for i in range(0, 40, 2)]
        assert [name for name in seen if name in even] == even
        assert len(set(seen)) == len(seen)

    def test_rewinding_sees_what_is_new(self, listing: RawClient) -> None:
        listing.names(1)
        listing.rpc(m.Tunlinkat(2, b"07", 0))
        listing.rpc(m.Tmknod(2, b"new", 0o100644, 0, 0, NO_ID))
        names = listing.names(1)
        assert b"07" not in names
        assert b"new" in names

    def test_fids_that_are_no_open_directory(self, listing: RawClient) -> None:
        listing.walk(2, 3, b"00")
        listing.open(3)
        for fid, code in ((2, Errno.EBADF), (3, Errno.ENOTDIR), (99, Errno.EBADF)):
            with refused(code):
                listing.entries(fid, 0)

    @pytest.mark.parametrize("offset", [1 << 63, (1 << 64) - 1])
    def test_cookies_that_are_none(self, listing: RawClient, offset: int) -> None:
        with refused(Errno.EINVAL):
            listing.entries(1, offset)
        assert listing.entries(1, (1 << 63) - 1) == []

    def test_many_entries_with_a_large_msize(self, served: Served) -> None:
        client = served.client(msize=1 << 20)
        names = [b"%06d" % i for i in range(12_000)]
        client.walk(0, 1)
        for name in names:
            client.rpc(m.Tmknod(1, name, 0o100644, 0, 0, NO_ID))
        client.open(1)
        assert 1000 < len(client.entries(1, 0, 1 << 20)) < 1200  # others want to be served, too
        assert client.names(1, 1 << 20) == names

    def test_is_not_for_the_base_dialects(self, base_client: RawClient) -> None:
        base_client.walk(0, 1)
        base_client.open(1)
        with refused(Errno.EOPNOTSUPP):
            base_client.rpc(m.Treaddir(1, 0, 4096))


class TestMake:
    def test_mkdir(self, client: RawClient) -> None:
        made = client.rpc(m.Tmkdir(0, b"d", 0o2750, 77)).qid
        assert client.walk(0, 1, b"d") == [made]
        found = client.rpc(m.Tgetattr(1, 0x7FF)).attributes
        assert (found.mode, found.uid, found.gid) == (0o042750, 0, 77)
        with refused(Errno.EEXIST):
            client.rpc(m.Tmkdir(0, b"d", 0o755, NO_ID))

    def test_symlink(self, client: RawClient) -> None:
        made = client.rpc(m.Tsymlink(0, b"l", b"../anything \xff", 77)).qid
        assert made.type == 2
        assert client.walk(0, 1, b"l") == [made]
        assert client.rpc(m.Treadlink(1)).target == b"../anything \xff"

    @pytest.mark.parametrize(
        ("target", "code"),
        [(b"", Errno.ENOENT), (b"a\0b", Errno.ENOENT), (b"t" * 4096, Errno.ENAMETOOLONG)],
        ids=["empty", "nul", "long"],
    )
    def test_targets_that_are_none(self, client: RawClient, target: bytes, code: Errno) -> None:
        with refused(code):
            client.rpc(m.Tsymlink(0, b"l", target, NO_ID))

    def test_the_longest_target(self, client: RawClient) -> None:
        client.rpc(m.Tsymlink(0, b"l", b"t" * 4095, NO_ID))
        client.walk(0, 1, b"l")
        assert client.rpc(m.Treadlink(1)).target == b"t" * 4095

    def test_a_target_that_does_not_fit_in_the_clients_msize(self, served: Served, client: RawClient) -> None:
        client.rpc(m.Tsymlink(0, b"l", b"t" * 4095, NO_ID))
        small = served.client(msize=4096)
        small.walk(0, 1, b"l")
        with refused(Errno.EMSGSIZE):
            small.rpc(m.Treadlink(1))

    @pytest.mark.parametrize(
        ("mode", "major", "minor", "rdev"),
        [
            (0o010644, 9, 9, 0),
            (0o140600, 9, 9, 0),
            (0o100640, 9, 9, 0),
            (0o020666, 1, 3, 0x103),
            (0o060660, 259, 1000, 0x3103E8),
        ],
        ids=["fifo", "socket", "file", "char", "block"],
    )
    def test_mknod(self, client: RawClient, mode: int, major: int, minor: int, rdev: int) -> None:
        client.rpc(m.Tmknod(0, b"n", mode, major, minor, 77))
        client.walk(0, 1, b"n")
        found = client.rpc(m.Tgetattr(1, 0x7FF)).attributes
        assert (found.mode, found.gid) == (mode, 77)
        assert found.rdev == rdev

    def test_link(self, client: RawClient) -> None:
        qid = client.create(0, 1, b"f", b"x")
        client.mkdir(0, b"d")
        client.walk(0, 2, b"d")
        client.rpc(m.Tlink(2, 1, b"g"))
        assert client.walk(2, 3, b"g")[0].path == qid.path
        assert client.rpc(m.Tgetattr(3, 0x7FF)).attributes.nlink == 2
        with refused(Errno.EEXIST):
            client.rpc(m.Tlink(2, 1, b"g"))
        with refused(Errno.EPERM):
            client.rpc(m.Tlink(0, 2, b"dirs have one name"))

    def test_unknown_fids(self, client: RawClient) -> None:
        for message in (
            m.Tmkdir(9, b"x", 0, 0),
            m.Tsymlink(9, b"x", b"y", 0),
            m.Tmknod(9, b"x", 0o100644, 0, 0, 0),
            m.Tlink(9, 0, b"x"),
            m.Tlink(0, 9, b"x"),
            m.Tunlinkat(9, b"x", 0),
            m.Trenameat(9, b"x", 0, b"y"),
            m.Trenameat(0, b"x", 9, b"y"),
            m.Trename(9, 0, b"x"),
            m.Trename(0, 9, b"x"),
            m.Tremove(9),
        ):
            with refused(Errno.EBADF):
                client.rpc(message)


class TestRemove:
    def test_always_clunks(self, any_client: RawClient) -> None:
        any_client.mkdir(0, b"d")
        any_client.walk(0, 1, b"d")
        any_client.create(1, 2, b"f")
        any_client.clunk(2)
        with refused(Errno.ENOTEMPTY):
            any_client.rpc(m.Tremove(1))
        with refused(Errno.EBADF):
            any_client.clunk(1)
        any_client.walk(0, 1, b"d", b"f")
        any_client.rpc(m.Tremove(1))
        with refused(Errno.EBADF):
            any_client.clunk(1)
        any_client.walk(0, 1, b"d")
        any_client.rpc(m.Tremove(1))
        with refused(Errno.ENOENT):
            any_client.walk(0, 1, b"d")

    def test_the_root(self, any_client: RawClient) -> None:
        any_client.walk(0, 1)
        with refused(Errno.EBUSY):
            any_client.rpc(m.Tremove(1))

    def test_an_open_file(self, any_client: RawClient) -> None:
        any_client.create(0, 1, b"f", b"x")
        any_client.walk(0, 2, b"f")
        any_client.open(2)
        any_client.rpc(m.Tremove(1))
        assert any_client.read(2) == b"x"
        with refused(Errno.ENOENT):
            any_client.rpc(m.Tremove(2))
        with refused(Errno.EBADF):
            any_client.clunk(2)

    def test_a_file_whose_closing_fails(self, served: Served, client: RawClient) -> None:
        client.create(0, 1, b"f")
        served.faults.fail("file.close", Errno.EIO, after=True)
        with refused(Errno.EIO):
            client.rpc(m.Tremove(1))
        with refused(Errno.EBADF):
            client.clunk(1)
        with refused(Errno.ENOENT):
            client.walk(0, 1, b"f")

    def test_of_a_fid_that_is_an_attribute(self, client: RawClient) -> None:
        client.create(0, 1, b"f")
        client.clunk(1)
        client.walk(0, 1, b"f")
        client.rpc(m.Txattrcreate(1, b"user.a", 1, 0))
        client.rpc(m.Twrite(1, 0, b"v"))
        with refused(Errno.EINVAL):
            client.rpc(m.Tremove(1))
        with refused(Errno.EBADF):
            client.clunk(1)
        client.walk(0, 1, b"f")
        with refused(Errno.ENODATA):  # nor was it set
            client.rpc(m.Txattrwalk(1, 2, b"user.a"))


class TestUnlinkat:
    def test_files_and_directories_are_asked_for_by_flag(self, client: RawClient) -> None:
        client.mkdir(0, b"d")
        client.create(0, 1, b"f")
        with refused(Errno.EISDIR):
            client.rpc(m.Tunlinkat(0, b"d", 0))
        with refused(Errno.ENOTDIR):
            client.rpc(m.Tunlinkat(0, b"f", 0x200))
        client.rpc(m.Tunlinkat(0, b"d", 0x200))
        client.rpc(m.Tunlinkat(0, b"f", 0))
        with refused(Errno.ENOENT):
            client.rpc(m.Tunlinkat(0, b"f", 0))

    @pytest.mark.parametrize(
        "flags", [1 << bit for bit in range(32) if 1 << bit != 0x200] + [0x201, 0xFFFFFFFF], ids=hex
    )
    def test_other_flags(self, client: RawClient, flags: int) -> None:
        client.mkdir(0, b"d")
        with refused(Errno.EINVAL):
            client.rpc(m.Tunlinkat(0, b"d", flags))
        client.walk(0, 1, b"d")

    def test_through_an_open_directory(self, client: RawClient) -> None:
        # rm -rf
        client.mkdir(0, b"d")
        client.walk(0, 1, b"d")
        client.create(1, 2, b"f")
        client.open(1)
        assert client.names(1) == [b"f"]
        client.rpc(m.Tunlinkat(1, b"f", 0))
        client.rpc(m.Tunlinkat(0, b"d", 0x200))
        with refused(Errno.ENOENT):
            client.rpc(m.Tmkdir(1, b"x", 0o755, NO_ID))

    def test_a_directory_that_is_not_empty(self, client: RawClient) -> None:
        client.mkdir(0, b"d")
        client.walk(0, 1, b"d")
        client.mkdir(1, b"e")
        with refused(Errno.ENOTEMPTY):
            client.rpc(m.Tunlinkat(0, b"d", 0x200))


class TestRename:
    @pytest.fixture
    def client(self, served: Served) -> RawClient:
        """``/a/f``, ``/b``; fids 1 and 2 are ``a`` and ``b``, 3 is ``f``."""
        client = served.client()
        for fid, name in ((1, b"a"), (2, b"b")):
            client.mkdir(0, name)
            client.walk(0, fid, name)
        client.create(1, 3, b"f", b"content")
        client.clunk(3)
        client.walk(1, 3, b"f")
        return client

    def test_at(self, client: RawClient) -> None:
        client.rpc(m.Trenameat(1, b"f", 2, b"g"))
        client.walk(0, 5, b"b", b"g")
        with refused(Errno.ENOENT):
            client.walk(1, 6, b"f")

    def test_of_a_fid(self, client: RawClient) -> None:
        client.rpc(m.Trename(3, 2, b"g"))
        client.walk(0, 5, b"b", b"g")
        assert client.walk(3, 6) == []
        client.open(3)
        assert client.read(3) == b"content"

    def test_nofid_is_the_same_directory(self, client: RawClient) -> None:
        client.rpc(m.Trename(3, m.NOFID, b"g"))
        client.walk(1, 5, b"g")
        client.rpc(m.Trenameat(1, b"g", m.NOFID, b"h"))
        client.walk(1, 6, b"h")

    def test_an_open_fid(self, client: RawClient) -> None:
        client.open(3)
        with refused(Errno.EINVAL):
            client.rpc(m.Trename(3, 2, b"g"))
        client.rpc(m.Trenameat(1, b"f", 2, b"g"))  # Linux uses this one
        assert client.read(3) == b"content"

    def test_replaces_a_file_that_stays_open(self, client: RawClient) -> None:
        client.create(2, 4, b"g", b"old")
        client.rpc(m.Trenameat(1, b"f", 2, b"g"))
        assert client.read(4) == b"old"
        client.walk(2, 5, b"g")
        client.open(5)
        assert client.read(5) == b"content"

    def test_fids_below_a_renamed_directory_go_on(self, client: RawClient) -> None:
        client.rpc(m.Trename(1, 2, b"moved"))
        client.open(3)
        assert client.read(3) == b"content"
        client.walk(0, 5, b"b", b"moved", b"f")
        assert client.walk(1, 6, b"..") == client.walk(0, 7, b"b")

    def test_a_directory_into_itself(self, client: RawClient) -> None:
        with refused(Errno.EINVAL):
            client.rpc(m.Trenameat(0, b"a", 1, b"x"))
        with refused(Errno.EINVAL):
            client.rpc(m.Trename(1, 1, b"x"))

    def test_the_root(self, client: RawClient) -> None:
        with refused(Errno.EBUSY):
            client.rpc(m.Trename(0, 1, b"x"))

    def test_what_does_not_go_together(self, client: RawClient) -> None:
        client.mkdir(2, b"d")
        client.create(2, 4, b"f")
        with refused(Errno.EISDIR):
            client.rpc(m.Trenameat(1, b"f", 2, b"d"))
        with refused(Errno.ENOTDIR):
            client.rpc(m.Trenameat(2, b"d", 2, b"f"))
        with refused(Errno.ENOTEMPTY):
            client.rpc(m.Trenameat(2, b"d", 0, b"a"))
        with refused(Errno.ENOENT):
            client.rpc(m.Trenameat(1, b"nothing", 2, b"x"))
        with refused(Errno.ENOTDIR):
            client.rpc(m.Trenameat(1, b"f", 3, b"x"))
