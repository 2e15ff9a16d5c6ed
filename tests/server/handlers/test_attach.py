"""Tattach, Tauth and Tclunk through the wire."""

import pytest
from tests.support.client import Failed, RawClient, refused
from tests.support.served import Served

from ninep.drivers.memory import MemoryDriver
from ninep.linux import NO_ID, Errno
from ninep.node import Node, User
from ninep.server.access import Access, parse_rule
from ninep.server.exports import Export
from ninep.server.handlers.attach import NOT_REQUIRED
from ninep.server.limits import Limits
from ninep.wire import messages as m


class Users:
    """A layer that notes who attaches."""

    def __init__(self) -> None:
        self.seen: list[User] = []

    def __call__(self, root: Node, user: User) -> Node:
        self.seen.append(user)
        return root


def folder(name: bytes) -> MemoryDriver:
    """A folder with one file in it."""
    driver = MemoryDriver()
    root = driver.attach(User())
    node, file = root.create(name, 0, 0o644, 0, 0)
    for held in (file.close, node.release, root.release):
        held()
    return driver


class TestAttach:
    def test_gives_the_qid_of_the_root(self, any_client: RawClient) -> None:
        assert any_client.attach(1) == any_client.walk(0, 2, b".")[0]

    def test_several_times_on_one_connection(self, client: RawClient) -> None:
        # Linux attaches once for each uid.
        for fid in range(1, 20):
            client.attach(fid, uname=b"", n_uname=1000 + fid)
        client.clunk(*range(20))

    def test_a_fid_in_use(self, any_client: RawClient) -> None:
        with refused(Errno.EINVAL):
            any_client.attach(0)
        with refused(Errno.EINVAL):
            any_client.attach(m.NOFID)

    def test_a_user_name_that_does_not_exist(self, any_client: RawClient) -> None:
        # Each fid would keep it: a million of them, 64 KiB each.
        any_client.attach(1, uname=b"u" * 255)
        with refused(Errno.EINVAL):
            any_client.attach(2, uname=b"u" * 256)

    def test_with_an_afid_that_was_never_begun(self, any_client: RawClient) -> None:
        for afid in (0, 5):
            with refused(Errno.EACCES):
                any_client.rpc(m.Tattach(1, afid, b"root", b"", 0))

    def test_tauth_says_that_none_is_needed(self, any_client: RawClient) -> None:
        with pytest.raises(Failed) as caught:
            any_client.rpc(m.Tauth(1, b"root", b"", 0))
        # diod's programs go on without after ENOENT only; others after any error.
        words = b"" if any_client.dialect == b"9P2000.L" else NOT_REQUIRED
        assert (caught.value.code, caught.value.words.encode()) == (
            NOT_REQUIRED.decode() if any_client.dialect == b"9P2000" else Errno.ENOENT,
            words,
        )
        with refused(Errno.EBADF):
            any_client.clunk(1)

    def test_a_driver_that_refuses(self) -> None:
        with Served() as served:
            client = served.connect()
            client.version()

            def refuse(root: Node, user: User) -> Node:
                raise PermissionError(13, "not you")

            served.export.layers = [*served.export.layers, refuse]
            with refused(Errno.EACCES):
                client.attach()


class TestUsers:
    @pytest.mark.parametrize(
        ("dialect", "uid"), [(b"9P2000.L", 1000), (b"9P2000.u", 1000), (b"9P2000", NO_ID)], ids=["L", "u", "plain"]
    )
    def test_who_it_is(self, dialect: bytes, uid: int) -> None:
        users = Users()
        with Served(layers=[users]) as served:
            client = served.connect()
            client.version(dialect)
            client.attach(uname=b"glenda", n_uname=1000)
            assert (users.seen[0].uname, users.seen[0].uid) == (b"glenda", uid)

    def test_belongs_to_the_fid_and_not_to_the_connection(self) -> None:
        with Served() as served:
            client = served.client()
            client.attach(1, n_uname=1001)
            client.attach(2, n_uname=1002)
            for fid in (1, 2):
                client.walk(fid, 9)
                client.rpc(m.Tlcreate(9, b"by %d" % fid, 2, 0o644, NO_ID))
                assert client.rpc(m.Tgetattr(9, 0x7FF)).attributes.uid == 1000 + fid
                client.clunk(9)


class TestExports:
    @pytest.fixture
    def several(self) -> Served:
        exports = [Export("", folder(b"default")), Export("src", folder(b"source")), Export("/a/b/", folder(b"deep"))]
        return Served(exports=exports)

    @pytest.mark.parametrize(
        ("aname", "name"),
        [
            (b"", b"default"),
            (b"/", b"default"),
            (b"src", b"source"),
            (b"/src", b"source"),
            (b"a/b", b"deep"),
            (b"/a/b", b"deep"),
        ],
        ids=repr,
    )
    def test_chosen_by_aname(self, several: Served, aname: bytes, name: bytes) -> None:
        with several as served:
            client = served.connect()
            client.version()
            client.attach(0, aname)
            client.open(0)
            assert client.names(0) == [name]

    @pytest.mark.parametrize(
        "aname",
        [b"..", b"../src", b"src/..", b"/etc", b"sr", b"src\0", b"SRC", b"src/x", b"a", b"\xff", b"x" * 0x1000],
        ids=lambda a: repr(a[:9]),
    )
    def test_a_name_that_is_in_no_table_is_not_there(self, several: Served, aname: bytes) -> None:
        with several as served:
            client = served.connect()
            client.version()
            with refused(Errno.ENOENT):
                client.attach(0, aname)

    def test_the_only_one_is_meant_by_no_name(self) -> None:
        with Served(exports=[Export("only", folder(b"f"))]) as served:
            client = served.client()
            client.walk(0, 1, b"f")

    def test_two_without_the_empty_name(self) -> None:
        with Served(exports=[Export("one", folder(b"f")), Export("two", folder(b"f"))]) as served:
            client = served.connect()
            client.version()
            with refused(Errno.ENOENT):
                client.attach()

    @pytest.mark.parametrize(
        ("names", "aname", "words"),
        [
            (["one", "two"], b"", "there are 'one', 'two'"),
            (["src"], b"scr", "there is 'src'"),
            ([""], b"src", "the export has no name; leave the aname out"),
            (["", "src"], b"x", "there are one without a name, 'src'"),
            (["a\x1b\xe4"], b"x", r"there is 'a\x1b\xe4'"),
            ([f"export{number}" for number in range(100)], b"x", " ..."),
        ],
    )
    @pytest.mark.parametrize("dialect", [b"9P2000.u", b"9P2000"])
    def test_the_words_say_which_there_are(
        self, names: list[str], aname: bytes, words: str, dialect: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        with Served(exports=[Export(name, folder(b"f")) for name in names]) as served:
            client = served.connect()
            client.version(dialect, 256)
            with pytest.raises(Failed) as caught:
                client.attach(0, aname)
            with refused(Errno.ENOENT):
                client.attach(0, aname)
            assert caught.value.words.startswith("file does not exist: ")
            assert words in caught.value.words
            assert words in caplog.text  # for the dialect that has only numbers

    def test_those_that_are_not_for_a_peer_are_not_told(self) -> None:
        closed = Access((parse_rule("uid:4242"),), closed=True)
        with Served(exports=[Export("secret", folder(b"f"), access=closed), Export("src", folder(b"f"))]) as served:
            client = served.connect()
            client.version(b"9P2000.u")
            with pytest.raises(Failed) as caught:
                client.attach(0, b"x")
            assert caught.value.words == "file does not exist: there is 'src'"

    def test_nothing_goes_from_one_to_another(self, several: Served) -> None:
        with several as served:
            client = served.client()
            client.attach(1, b"src")
            client.walk(1, 2, b"source")
            with refused(Errno.EXDEV):
                client.rpc(m.Tlink(0, 2, b"stolen"))
            with refused(Errno.EXDEV):
                client.rpc(m.Trename(2, 0, b"stolen"))
            with refused(Errno.EXDEV):
                client.rpc(m.Trenameat(1, b"source", 0, b"stolen"))


class TestClunk:
    def test_an_unknown_fid(self, any_client: RawClient) -> None:
        with refused(Errno.EBADF):
            any_client.clunk(1)

    def test_the_fid_is_gone_although_closing_failed(self, served: Served) -> None:
        client = served.client()
        client.create(0, 1, b"f")
        served.faults.fail("file.close", Errno.ENOSPC, after=True)
        with refused(Errno.ENOSPC):
            client.clunk(1)
        with refused(Errno.EBADF):
            client.clunk(1)

    def test_a_driver_that_breaks_its_word_keeps_no_fid(self, served: Served) -> None:
        client = served.client()
        client.create(0, 1, b"f")
        client.walk(0, 2, b"f")
        served.faults.crash("file.close", RuntimeError("a bug"))
        with refused(Errno.EIO):
            client.clunk(1)
        with refused(Errno.EBADF):
            client.clunk(1)
        client.clunk(2)
        served.audit.open.clear()  # what was not closed by the bug


class TestLimits:
    def test_fids(self) -> None:
        with Served(limits=Limits(fids=3)) as served:
            client = served.client()
            other = served.client()
            client.walk(0, 1)
            client.walk(0, 2)
            with refused(Errno.ENFILE):
                client.walk(0, 3)
            with refused(Errno.ENFILE):
                client.attach(3)
            client.walk(0, 0)  # takes none
            other.walk(0, 3)
            client.clunk(1)
            client.walk(0, 3)
