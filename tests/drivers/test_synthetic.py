"""Values served as files."""

from collections import UserDict

import pytest

from ninep import linux
from ninep.drivers.synthetic import ComputedFile, SyntheticDriver, SyntheticNode
from ninep.errors import Refused
from ninep.linux import Errno
from ninep.node import Changes, Node, User
from ninep.testing.suite import ReadOnlySuite


def attach(tree: dict) -> SyntheticNode:
    return SyntheticDriver(tree).attach(User())


def read(node: SyntheticNode) -> bytes:
    file = node.open(linux.O_RDONLY)
    try:
        return bytes(file.read(0, 1000))
    finally:
        file.close()


def names(node: SyntheticNode) -> list[bytes]:
    listing = node.opendir()
    found, cookie = [], 0
    while entries := listing.read(cookie, 60)[:2]:
        found += [entry.name for entry in entries]
        cookie = entries[-1].cookie
    listing.close()
    return found


def refused(code: Errno) -> "pytest.RaisesExc[Refused]":
    return pytest.raises(Refused, check=lambda refusal: refusal.code is code)


class TestSuite(ReadOnlySuite):
    """The acceptance suite for read-only drivers."""

    @pytest.fixture
    def root(self) -> Node:
        return attach({"f": b"content", "d": {"g": "inner"}})


class TestValues:
    def test_bytes_and_text_are_constant_files(self) -> None:
        root = attach({"a": b"\xff", "b": "grün"})
        assert read(root.walk(b"a")) == b"\xff"
        assert read(root.walk(b"b")) == "grün".encode()
        a = root.walk(b"b").getattr(linux.GETATTR_BASIC)
        assert (a.mode, a.size, a.nlink) == (0o100444, 5, 1)

    def test_a_function_is_computed_at_each_open(self) -> None:
        values = iter(["one", "two", "three"])
        node = attach({"n": lambda: next(values)}).walk(b"n")
        file = node.open(linux.O_RDONLY)
        assert (file.read(0, 2), file.read(2, 9)) == (b"on", b"e")
        assert read(node) == b"two"

    def test_a_computed_file_has_a_new_version_at_each_access(self) -> None:
        root = attach({"n": lambda: "x", "c": b"x"})
        seen = [root.walk(b"n").qid, root.walk(b"n").qid, (node := root.walk(b"n")).qid]
        node.getattr(0)
        seen.append(node.qid)
        assert len({qid.version for qid in seen}) == 4
        assert len({qid.path for qid in seen}) == 1
        assert root.walk(b"c").qid == root.walk(b"c").qid

    def test_dicts_are_folders_and_live(self) -> None:
        inner: dict = {"one": b""}
        root = attach({"folder": inner})
        folder = root.walk(b"folder")
        assert folder.getattr(0).mode == 0o40555
        assert names(folder) == [b".", b"..", b"one"]
        inner["two"] = b"new"
        del inner["one"]
        assert names(folder) == [b".", b"..", b"two"]
        with refused(Errno.ENOENT):
            folder.walk(b"one")

    def test_any_mapping_is_a_folder(self) -> None:
        class Squares(UserDict):
            def __getitem__(self, key: str) -> str:
                return str(int(key) ** 2)

            def __iter__(self):
                return iter(["1", "2"])

        root = SyntheticDriver({"squares": Squares()}).attach(User())
        assert read(root.walk(b"squares").walk(b"12")) == b"144"
        assert names(root.walk(b"squares")) == [b".", b"..", b"1", b"2"]

    def test_parents(self) -> None:
        root = attach({"a": {"b": b""}})
        assert root.parent() is root
        node = root.walk(b"a").walk(b"b")
        assert node.name == b"b"
        assert node.parent().qid == root.walk(b"a").qid
        assert len({root.qid.path, node.qid.path, node.parent().qid.path}) == 3

    def test_files_are_no_folders(self) -> None:
        root = attach({"f": b""})
        with refused(Errno.ENOTDIR):
            root.walk(b"f").walk(b"x")
        with refused(Errno.ENOTDIR):
            root.walk(b"f").opendir()
        with refused(Errno.EISDIR):
            root.open(linux.O_RDONLY)


class TestWriting:
    def test_each_write_goes_to_the_writer(self) -> None:
        got: list[bytes] = []
        node = attach({"ctl": ComputedFile(write=got.append)}).walk(b"ctl")
        assert node.getattr(0).mode == 0o100222
        node.setattr(Changes(size=0))  # what a shell does first
        file = node.open(linux.O_WRONLY)
        buffer = bytearray(b"on\n")
        assert file.write(0, memoryview(buffer)) == 3
        buffer[:] = b"???"
        file.write(3, b"off\n")
        file.close()
        assert got == [b"on\n", b"off\n"]

    def test_the_writer_may_refuse(self) -> None:
        def refuse(data: bytes) -> None:
            raise Refused(Errno.EINVAL, f"no such command: {data!r}")

        file = attach({"ctl": ComputedFile(write=refuse)}).walk(b"ctl").open(linux.O_WRONLY)
        with refused(Errno.EINVAL):
            file.write(0, b"explode")

    def test_read_and_write(self) -> None:
        state = [b"0"]

        def store(data: bytes) -> None:
            state[0] = data

        node = attach({"v": ComputedFile(read=lambda: state[0], write=store, mode=0o600)}).walk(b"v")
        assert node.getattr(0).mode == 0o100600
        file = node.open(linux.O_RDWR | linux.O_TRUNC)
        file.truncate(0)
        file.write(0, b"42")
        assert read(node) == b"42"

    @pytest.mark.parametrize("flags", [linux.O_WRONLY, linux.O_RDWR, linux.O_TRUNC])
    def test_without_a_writer_there_is_no_writing(self, flags: int) -> None:
        with refused(Errno.EROFS):
            attach({"f": b"x"}).walk(b"f").open(flags)
        with refused(Errno.EROFS):
            attach({"f": b"x"}).walk(b"f").setattr(Changes(size=0))

    def test_without_a_reader_there_is_no_reading(self) -> None:
        node = attach({"f": ComputedFile(write=print)}).walk(b"f")
        with refused(Errno.EACCES):
            node.open(linux.O_RDONLY)
        with refused(Errno.EBADF):
            node.open(linux.O_WRONLY).read(0, 1)

    def test_owners_stay(self) -> None:
        with refused(Errno.EPERM):
            attach({"f": ComputedFile(write=print)}).walk(b"f").setattr(Changes(uid=1))

    def test_clients_make_nothing(self) -> None:
        root = attach({"f": b""})
        with refused(Errno.EROFS):
            root.create(b"new", linux.O_WRONLY, 0o644, 0, 0)
        with refused(Errno.EROFS):
            root.unlink(b"f", directory=False)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"n": 5}, "/n: int is neither"),
        ({"a": {"b": None}}, "/a/b: NoneType is neither"),
        ({"a/b": b""}, "'a/b' cannot be a name"),
        ({"..": b""}, "'..' cannot be a name"),
        ({b"x": b""}, "cannot be a name"),
    ],
)
def test_a_tree_that_cannot_be_served_is_refused_at_once(tree: dict, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        SyntheticDriver(tree)
