"""Twalk through the wire (walk(5))."""

import pytest
from tests.support.client import RawClient, refused
from tests.support.served import Served

from ninep.linux import Errno
from ninep.wire import messages as m


@pytest.fixture
def tree(any_client: RawClient) -> RawClient:
    """``/a/b/c``, and a file ``/a/f``."""
    client = any_client
    for fid, name in ((0, b"a"), (1, b"b"), (2, b"c")):
        client.mkdir(fid, name)
        client.walk(fid, fid + 1, name)
    client.create(1, 9, b"f")
    client.clunk(1, 2, 3, 9)
    return client


class TestAllTheWay:
    def test_each_name_gives_a_qid(self, tree: RawClient) -> None:
        qids = tree.walk(0, 1, b"a", b"b", b"c")
        assert len(set(qids)) == 3
        assert tree.walk(0, 2, b"a") + tree.walk(2, 3, b"b") + tree.walk(3, 4, b"c") == qids

    def test_the_last_name_may_be_a_file(self, tree: RawClient) -> None:
        assert tree.walk(0, 1, b"a", b"f")[-1].type == 0

    def test_no_names_make_a_clone(self, tree: RawClient) -> None:
        tree.walk(0, 1, b"a", b"f")
        assert tree.walk(1, 2) == []
        tree.open(2)
        tree.clunk(1)
        assert tree.read(2) == b""

    def test_newfid_may_be_fid(self, tree: RawClient) -> None:
        tree.walk(0, 1, b"a")
        tree.walk(1, 1, b"b")
        tree.walk(1, 1, b"c")
        tree.walk(1, 1)
        with refused(Errno.ENOENT):
            tree.walk(1, 1, b"b")

    def test_sixteen_names(self, tree: RawClient) -> None:
        assert len(tree.walk(0, 1, *[b"a", b".."] * 8)) == 16

    def test_seventeen_names_are_malformed(self, tree: RawClient) -> None:
        names = b"\1\0." * 17
        data = (0).to_bytes(4, "little") + (1).to_bytes(4, "little") + (17).to_bytes(2, "little") + names
        tree.send_bytes((7 + len(data)).to_bytes(4, "little") + b"\x6e\x05\0" + data, number=110, tag=5)
        with refused(Errno.EPROTO):
            tree.reply(5)


class TestDots:
    def test_dot_stays(self, tree: RawClient) -> None:
        assert tree.walk(0, 1, b"a", b".", b".")[0] == tree.walk(0, 2, b"a", b"b", b"..")[2]

    def test_dot_dot_of_the_root_is_the_root(self, tree: RawClient) -> None:
        root = tree.walk(0, 1, b".")[0]
        assert tree.walk(0, 2, b"..", b"..", b"a", b"..", b"..")[-1] == root
        assert tree.walk(0, 3, b"a", b"b")  # from two levels down
        assert tree.walk(3, 4, *[b".."] * 16)[-1] == root

    def test_a_file_has_no_dots(self, tree: RawClient) -> None:
        tree.walk(0, 1, b"a", b"f")
        for name in (b".", b".."):
            with refused(Errno.ENOTDIR):
                tree.walk(1, 2, name)


class TestPart:
    """An error only if the first name fails; newfid is made only by a whole walk."""

    @pytest.mark.parametrize("bad", [b"nothing", b"", b"x/y", b"/", b"b\0"], ids=repr)
    def test_a_later_failure_tells_how_far_it_went(self, tree: RawClient, bad: bytes) -> None:
        qids = tree.walk(0, 1, b"a", b"b")
        assert tree.rpc(m.Twalk(0, 2, [b"a", b"b", bad, b"c"])).qids == qids
        with refused(Errno.EBADF):
            tree.clunk(2)

    @pytest.mark.parametrize("bad", [b"nothing", b"", b"x/y", b"/", b"a\0"], ids=repr)
    def test_the_first_failure_is_an_error(self, tree: RawClient, bad: bytes) -> None:
        with refused(Errno.ENOENT):
            tree.rpc(m.Twalk(0, 2, [bad, b"b"]))
        with refused(Errno.EBADF):
            tree.clunk(2)

    def test_a_fid_that_is_walked_in_place_stays_where_it_was(self, tree: RawClient) -> None:
        tree.walk(0, 1, b"a")
        assert len(tree.rpc(m.Twalk(1, 1, [b"b", b"nothing"])).qids) == 1
        tree.walk(1, 2, b"f")  # still below a

    def test_names_behind_a_file(self, tree: RawClient) -> None:
        assert len(tree.rpc(m.Twalk(0, 1, [b"a", b"f", b"b"])).qids) == 2
        tree.walk(0, 2, b"a", b"f")
        with refused(Errno.ENOTDIR):
            tree.walk(2, 3, b"b")

    def test_a_name_of_65535_bytes(self, tree: RawClient) -> None:
        tree.version(tree.dialect, 1 << 20)
        tree.attach()
        with refused(Errno.ENAMETOOLONG):
            tree.walk(0, 1, b"n" * 0xFFFF)


class TestFids:
    def test_unknown_fid(self, tree: RawClient) -> None:
        with refused(Errno.EBADF):
            tree.walk(77, 78)

    def test_newfid_in_use(self, tree: RawClient) -> None:
        tree.walk(0, 1)
        with refused(Errno.EINVAL):
            tree.walk(0, 1, b"a")

    def test_newfid_must_not_be_nofid(self, tree: RawClient) -> None:
        with refused(Errno.EINVAL):
            tree.walk(0, m.NOFID)

    def test_an_open_fid_can_be_cloned_but_not_moved(self, tree: RawClient) -> None:
        tree.walk(0, 1, b"a")
        tree.open(1)
        tree.walk(1, 2, b"b")
        with refused(Errno.EINVAL):
            tree.walk(1, 1, b"b")
        with refused(Errno.EINVAL):
            tree.walk(1, 1)


def test_a_name_in_a_large_frame_is_a_name(served: Served) -> None:
    # Frames above 64 KiB come as views of the receive buffer; b"/" in memoryview is never true.
    client = served.client(msize=1 << 20)
    client.mkdir(0, b"a")
    client.mkdir(0, b"b")
    long = b"n" * 0xFFFF
    with refused(Errno.ENOENT):
        client.rpc(m.Twalk(0, 1, [b"a/../b", long]))
    assert len(client.rpc(m.Twalk(0, 1, [b"a", long])).qids) == 1
    with refused(Errno.ENOENT):
        client.rpc(m.Tsymlink(0, b"x/y", long, 0))
    with refused(Errno.ENAMETOOLONG):
        client.rpc(m.Tsymlink(0, b"x", long, 0))
