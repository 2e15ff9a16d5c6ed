"""Ids of the client and ids of the driver."""

from collections.abc import Iterator
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ninep import linux
from ninep.drivers.memory import MemoryDriver, MemoryNode
from ninep.errors import Refused
from ninep.layers.base import Layer, Wrapper
from ninep.layers.id_map import OVERFLOW_ID, IdMap, Range, Ranges, Squash, peer_ids
from ninep.linux import NO_ID, Errno
from ninep.node import Changes, Identity, Node, User
from ninep.testing.faults import Faults
from ninep.testing.suite import Capabilities, DriverSuite
from ninep.testing.suite.tree import in_buffers
from ninep.wire import posix_acl

UIDS = Ranges([Range(0, 100_000, 1000), Range(1000, 1000)])
GIDS = Ranges([Range(0, 200_000, 1000)])
SHIFT = IdMap(UIDS, GIDS)
ACL = "02000000 01000600ffffffff 02000400{uid} 04000400ffffffff 08000400{gid} 10000600ffffffff 20000000ffffffff"


def acl(uid: int, gid: int) -> bytes:
    return bytes.fromhex(
        ACL.format(uid=uid.to_bytes(4, "little").hex(), gid=gid.to_bytes(4, "little").hex()).replace(" ", "")
    )


NAMED = [posix_acl.AclEntry(posix_acl.USER, 6, uid) for uid in (5, 6, 100_003)]


class TestRanges:
    @pytest.mark.parametrize(
        ("client", "host"),
        [(0, 100_000), (999, 100_999), (1000, 1000), (1001, OVERFLOW_ID), (NO_ID - 1, OVERFLOW_ID), (NO_ID, NO_ID)],
    )
    def test_in(self, client: int, host: int) -> None:
        assert UIDS.to_host(client) == host

    @pytest.mark.parametrize(
        ("host", "client"),
        [(100_000, 0), (100_999, 999), (1000, 1000), (0, OVERFLOW_ID), (101_000, OVERFLOW_ID), (NO_ID, NO_ID)],
    )
    def test_out(self, host: int, client: int) -> None:
        assert UIDS.to_client(host) == client

    @given(st.integers(0, NO_ID))
    def test_there_and_back(self, number: int) -> None:
        host = UIDS.to_host(number)
        assert host == OVERFLOW_ID or UIDS.to_client(host) == number

    def test_text(self) -> None:
        ranges = Ranges.parse("0:100000:1000, 1000:1000")
        assert [ranges.to_host(number) for number in (0, 999, 1000, 1001)] == [100_000, 100_999, 1000, OVERFLOW_ID]

    @pytest.mark.parametrize("text", ["", "0", "0:1:2:3", "a:b:c", "0:-1:5", "0:1,", "0:1:²"])
    def test_text_that_is_none(self, text: str) -> None:
        with pytest.raises(ValueError, match="not a range of ids"):
            Ranges.parse(text)

    @pytest.mark.parametrize(
        "ranges", [[(0, 0, 10), (9, 100)], [(0, 100, 10), (50, 109)], [(0, 0, 0)], [(0, NO_ID)], [(-1, 5)]]
    )
    def test_ranges_that_cannot_be(self, ranges: list[tuple[int, ...]]) -> None:
        with pytest.raises(ValueError, match=r"two ranges|not a range"):
            Ranges(Range(*r) for r in ranges)

    def test_all_ids(self) -> None:
        ranges = Ranges([Range(0, 0, NO_ID)])
        assert ranges.to_host(NO_ID - 1) == NO_ID - 1


@pytest.fixture
def inside() -> MemoryNode:
    return MemoryDriver().attach(User())


def owner(node: Node) -> tuple[int, int]:
    a = node.getattr(linux.GETATTR_BASIC)
    return a.uid, a.gid


def make(root: Node, uid: int, gid: int) -> None:
    _, file = root.create(b"f", linux.O_RDWR, 0o6755, uid, gid)
    file.write(0, b"content", 0)
    file.close()
    root.mkdir(b"d", 0o755, uid, gid)
    root.symlink(b"l", b"to", uid, gid)
    root.mknod(b"n", linux.S_IFIFO, 0, uid, gid)


class TestIdMap:
    def test_what_the_client_makes(self, inside: MemoryNode) -> None:
        root = SHIFT(inside, User())
        make(root, 0, 7)
        for name in (b"f", b"d", b"l", b"n"):
            assert owner(inside.walk(name)) == (100_000, 200_007)
            assert owner(root.walk(name)) == (0, 7)

    def test_what_belongs_to_others(self, inside: MemoryNode) -> None:
        inside.mkdir(b"d", 0o755, 0, 0)
        assert owner(SHIFT(inside, User()).walk(b"d")) == (OVERFLOW_ID, OVERFLOW_ID)

    def test_chown(self, inside: MemoryNode) -> None:
        root = SHIFT(inside, User())
        make(root, 0, 0)
        root.walk(b"f").setattr(Changes(uid=1000, by=0))
        assert owner(inside.walk(b"f")) == (1000, 200_000)
        root.walk(b"f").setattr(Changes(uid=5, gid=6, by=0))
        assert owner(inside.walk(b"f")) == (100_005, 200_006)
        root.walk(b"f").setattr(Changes(uid=50_000, by=0))
        assert owner(inside.walk(b"f")) == (OVERFLOW_ID, 200_006)

    def test_the_overflow_id_sent_back_changes_nothing(self, inside: MemoryNode) -> None:
        """FreeBSD sends owner and group together: a chgrp must not give the file to the overflow
        user.
        """
        inside.mknod(b"f", linux.S_IFREG, 0, 12, 34)
        root = SHIFT(inside, User())
        root.walk(b"f").setattr(Changes(uid=OVERFLOW_ID, gid=3, by=0))
        assert owner(inside.walk(b"f")) == (12, 200_003)

    def test_the_clients_own_overflow_id_is_an_id_like_any(self, inside: MemoryNode) -> None:
        same = Ranges([Range(0, 0, 70_000)])
        inside.mknod(b"f", linux.S_IFREG, 0, 12, 34)
        IdMap(same, same)(inside, User()).walk(b"f").setattr(Changes(uid=OVERFLOW_ID, by=0))
        assert owner(inside.walk(b"f")) == (OVERFLOW_ID, 34)

    def test_acls(self, inside: MemoryNode) -> None:
        inside.mkdir(b"d", 0o755, 0, 0)
        folder = SHIFT(inside, User()).walk(b"d")
        folder.setxattr(b"system.posix_acl_default", acl(3, 4), 0)
        assert inside.walk(b"d").getxattr(b"system.posix_acl_default") == acl(100_003, 200_004)
        assert folder.getxattr(b"system.posix_acl_default") == acl(3, 4)
        with pytest.raises(Refused) as refusal:
            folder.setxattr(b"system.posix_acl_access", b"not an ACL", 0)
        assert refusal.value.code is Errno.EINVAL

    @pytest.mark.parametrize("layer", [SHIFT, Squash(), Squash(root_only=True)])
    def test_an_entry_that_is_sent_back_stays_whose_it_is(self, inside: MemoryNode, layer: Layer) -> None:
        name = b"system.posix_acl_default"
        for uid, gid in ((0, 0), (5, 6), (100_003, 200_004)):
            inside.setxattr(name, acl(uid, gid), 0)
            root = layer(inside, User())
            root.setxattr(name, root.getxattr(name), 0)
            assert inside.getxattr(name) == acl(uid, gid)

    def test_entries_that_are_shown_as_one_stay_apart(self, inside: MemoryNode) -> None:
        name, root = b"system.posix_acl_default", SHIFT(inside, User())
        inside.setxattr(name, posix_acl.pack(NAMED), 0)
        less = [entry._replace(perm=1) for entry in posix_acl.unpack(root.getxattr(name))]
        assert [entry.id for entry in less] == [OVERFLOW_ID, OVERFLOW_ID, 3]
        new = posix_acl.AclEntry(posix_acl.USER, 4, 4)
        root.setxattr(name, posix_acl.pack([new, *less]), 0)
        given = [(entry.perm, entry.id) for entry in posix_acl.unpack(inside.getxattr(name))]
        assert given == [(4, 100_004), (1, 5), (1, 6), (1, 100_003)]

    @pytest.mark.parametrize("layer", [SHIFT, Squash(), Squash(root_only=True)])
    def test_what_a_new_file_inherits_stays_whose_it_is(self, inside: MemoryNode, layer: Layer) -> None:
        """A client's kernel makes its ACL, of that of the directory as it sees it."""
        access, default = b"system.posix_acl_access", b"system.posix_acl_default"
        inside.setxattr(default, acl(0, 34), 0)
        root = layer(inside, User())
        shown = root.getxattr(default)
        root.mkdir(b"d", 0o755, 5, 5)
        made = root.walk(b"d")
        made.setxattr(default, shown, 0)
        made.setxattr(access, shown, 0)
        unnamed, _ = root.tmpfile(linux.O_RDWR, 0o600, 5, 5)
        unnamed.setxattr(access, shown, 0)
        below = inside.walk(b"d")
        assert below.getxattr(default) == below.getxattr(access) == acl(0, 34)
        assert isinstance(unnamed, Wrapper)
        assert unnamed.inner.getxattr(access) == acl(0, 34)

    def test_what_differs_from_the_directory_is_not_inherited(self, inside: MemoryNode) -> None:
        inside.setxattr(b"system.posix_acl_default", acl(12, 34), 0)
        root = SHIFT(inside, User())
        make(root, 5, 5)
        for other in (acl(OVERFLOW_ID, 3), acl(OVERFLOW_ID, OVERFLOW_ID).replace(b"\2\0\4", b"\2\0\6")):
            root.walk(b"f").setxattr(b"system.posix_acl_access", other, 0)
            given = posix_acl.unpack(inside.walk(b"f").getxattr(b"system.posix_acl_access"))
            assert given[1].id == OVERFLOW_ID
            inside.walk(b"f").removexattr(b"system.posix_acl_access")

    def test_a_removed_file_inherits_nothing(self, inside: MemoryNode) -> None:
        faults = Faults()
        root = SHIFT(faults(inside, User()), User())
        make(root, 5, 5)
        node = root.walk(b"f")
        faults.fail("parent", Errno.ENOENT)
        node.setxattr(b"system.posix_acl_access", acl(3, 4), 0)
        assert inside.walk(b"f").getxattr(b"system.posix_acl_access") == acl(100_003, 200_004)
        node.removexattr(b"system.posix_acl_access")
        faults.fail("parent", Errno.EAGAIN)
        with pytest.raises(Refused):
            node.setxattr(b"system.posix_acl_access", acl(3, 4), 0)

    def test_a_stored_value_that_is_no_acl_is_replaced(self, inside: MemoryNode) -> None:
        inside.setxattr(b"system.posix_acl_default", b"garbage", 0)
        SHIFT(inside, User()).setxattr(b"system.posix_acl_default", acl(3, 4), 0)
        assert inside.getxattr(b"system.posix_acl_default") == acl(100_003, 200_004)

    def test_a_stored_value_that_is_no_acl_is_none(self, inside: MemoryNode) -> None:
        inside.setxattr(b"system.posix_acl_default", b"garbage", 0)
        with pytest.raises(Refused) as refusal:
            SHIFT(inside, User()).getxattr(b"system.posix_acl_default")
        assert refusal.value.code is Errno.ENODATA

    def test_other_attributes_are_left_alone(self, inside: MemoryNode) -> None:
        root = SHIFT(inside, User())
        root.setxattr(b"user.x", acl(3, 4), 0)
        assert inside.getxattr(b"user.x") == root.getxattr(b"user.x") == acl(3, 4)

    def test_root_of_the_map_is_root(self, inside: MemoryNode) -> None:
        root = SHIFT(inside, User())
        make(root, 0, 0)
        node = root.walk(b"f")
        node.open(linux.O_RDWR, 0).write(0, b"x", 0)
        node.open(linux.O_RDWR, 0).write_from(0, in_buffers(b"xy", (1, 1))[1], 0)
        node.setattr(Changes(size=3, by=0))
        assert node.getattr(0).mode & 0o7777 == 0o6755

    def test_root_outside_the_map_is_not(self, inside: MemoryNode) -> None:
        ids = Ranges([Range(1000, 1000)])
        root = IdMap(ids, ids)(inside, User())
        for attempt in range(5):
            make(inside, 0, 0)
            node = root.walk(b"f")
            if attempt == 0:
                node.open(linux.O_RDWR, 0).write(0, b"x", 0)
            elif attempt == 1:
                node.open(linux.O_RDWR, 0).truncate(1, 0)
            elif attempt == 2:
                node.open(linux.O_RDWR, 0).write_from(0, in_buffers(b"xy", (1, 1))[1], 0)
            elif attempt == 3:
                node.setattr(Changes(size=3, by=0))
            else:
                node.open(linux.O_WRONLY | linux.O_TRUNC, 0)
            assert node.getattr(0).mode & 0o7777 == 0o755
            for name in (b"f", b"l", b"n"):
                inside.unlink(name, directory=False)
            inside.unlink(b"d", directory=True)


class TestLeftOut:
    """What a client leaves out is what the policy says: below it, no id would mean the server
    process.
    """

    POLICIES: ClassVar[dict[str, tuple[Layer, tuple[int, int]]]] = {
        "map": (SHIFT, (OVERFLOW_ID, OVERFLOW_ID)),
        "squash all": (Squash(5, 6), (5, 6)),
        "squash root": (Squash(5, 6, root_only=True), (5, 6)),
        "peer": (peer_ids, (7, 8)),
        "peer without a group": (lambda root, user: peer_ids(root, user._replace(gid=NO_ID)), (7, OVERFLOW_ID)),
    }

    @pytest.mark.parametrize("how", POLICIES)
    def test_in_what_is_made(self, inside: MemoryNode, how: str) -> None:
        layer, expected = self.POLICIES[how]
        make(layer(inside, User(uid=7, gid=8)), NO_ID, NO_ID)
        for name in (b"f", b"d", b"l", b"n"):
            assert owner(inside.walk(name)) == expected

    @pytest.mark.parametrize("how", ["map", "squash all", "squash root"])
    def test_in_a_chown_it_stays_what_it_was(self, inside: MemoryNode, how: str) -> None:
        inside.mknod(b"f", linux.S_IFREG, 0, 12, 34)
        node = self.POLICIES[how][0](inside, User(uid=7, gid=8)).walk(b"f")
        node.setattr(Changes(uid=NO_ID, gid=NO_ID, by=NO_ID))
        assert owner(inside.walk(b"f")) == (12, 34)

    @pytest.mark.parametrize("how", POLICIES)
    def test_in_an_acl_it_is_no_id(self, inside: MemoryNode, how: str) -> None:
        root = self.POLICIES[how][0](inside, User(uid=7, gid=8))
        for value in (acl(NO_ID, 4), acl(3, NO_ID)):
            with pytest.raises(Refused) as refusal:
                root.setxattr(b"system.posix_acl_access", value, 0)
            assert refusal.value.code is Errno.EINVAL

    @pytest.mark.parametrize("group", [60, 0])
    def test_a_directory_with_sgid_gives_its_group(self, inside: MemoryNode, group: int) -> None:
        inside.mkdir(b"d", 0o2777, 0, group)
        Squash(5, 6, root_only=True)(inside, User()).walk(b"d").mkdir(b"new", 0o755, NO_ID, NO_ID)
        assert owner(inside.walk(b"d").walk(b"new")) == (5, group or 6)

    def test_two_attaches_of_a_peer_are_of_one_tree(self, inside: MemoryNode) -> None:
        one, two = (peer_ids(inside.clone(), User(uid=7, gid=8)) for _ in range(2))
        one.mkdir(b"d", 0o755, NO_ID, NO_ID)
        one.rename(b"d", two, b"e")
        assert owner(inside.walk(b"e")) == (7, 8)


class TestSquash:
    def test_a_user_of_the_host(self) -> None:
        squash = Squash(5, 6, root_only=True)
        assert squash.squashed(Identity(0, 0, (0, 4))) == (5, 6, ())
        assert squash.squashed(Identity(1000, 100, (4, 100))) == (1000, 100, (4, 100))
        assert squash.squashed(Identity(1000, 0, (0, 4))) == (1000, 6, (4, 6))
        assert Squash(5, 6).squashed(Identity(1000, 100, (4,))) == (5, 6, ())

    def test_all_users_become_one(self, inside: MemoryNode) -> None:
        root = Squash(5, 6)(inside, User())
        make(root, 0, 1000)
        for name in (b"f", b"d", b"l", b"n"):
            assert owner(inside.walk(name)) == owner(root.walk(name)) == (5, 6)

    def test_no_user_gives_files_away_or_takes_them(self, inside: MemoryNode) -> None:
        inside.mknod(b"f", linux.S_IFREG, 0, 12, 34)
        Squash(5, 6)(inside, User()).walk(b"f").setattr(Changes(uid=1000, gid=1000, mode=0o600, by=0))
        assert owner(inside.walk(b"f")) == (12, 34)
        assert inside.walk(b"f").getattr(0).mode & 0o777 == 0o600

    def test_root_only(self, inside: MemoryNode) -> None:
        root = Squash(root_only=True)(inside, User())
        root.mkdir(b"r", 0o755, 0, 0)
        root.mkdir(b"u", 0o755, 1000, 1000)
        assert owner(inside.walk(b"r")) == (OVERFLOW_ID, OVERFLOW_ID)
        assert owner(inside.walk(b"u")) == (1000, 1000)
        root.walk(b"u").setattr(Changes(uid=0, gid=7, by=0))
        assert owner(inside.walk(b"u")) == (OVERFLOW_ID, 7)
        root.walk(b"u").setattr(Changes(mode=0o700, by=0))
        assert owner(inside.walk(b"u")) == (OVERFLOW_ID, 7)

    @pytest.mark.parametrize("squash", [Squash(), Squash(root_only=True)])
    def test_root_drops_privileges_like_any_user(self, inside: MemoryNode, squash: Squash) -> None:
        make(inside, 0, 0)
        node = squash(inside, User()).walk(b"f")
        file = node.open(linux.O_RDWR, 0)
        file.write(0, b"x", 0)
        assert node.getattr(0).mode & 0o7777 == 0o755
        inside.walk(b"f").setattr(Changes(mode=0o6755))
        file.truncate(0, 0)
        assert node.getattr(0).mode & 0o7777 == 0o755


class TestSuite(DriverSuite):
    """A map of all ids to others is invisible."""

    capabilities = Capabilities()

    @pytest.fixture
    def root(self) -> Iterator[Node]:
        half = 1 << 31
        ids = Ranges([Range(0, half - 1, half), Range(half, 0, half - 1)])
        node = MemoryDriver(uid=half - 1, gid=half - 1).attach(User())
        yield IdMap(ids, ids)(node, User())
        node.release()
