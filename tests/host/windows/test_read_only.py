"""Files with Windows' read-only attribute, where a mapped model keeps the modes: the client's mode
decides, the attribute stays as it is.
"""

from collections.abc import Iterator

import pytest
from tests.host.windows.test_driver import FAKED, attached, close_path_handles_where_they_belong

from ninep.errors import linux_errno
from ninep.host.windows.api import Attribute, Info
from ninep.host.windows.status import NtError, Status
from ninep.linux import GETATTR_BASIC, O_RDWR, O_TRUNC, O_WRONLY, XATTR_CREATE, Errno
from ninep.node import Changes, Node
from ninep.testing.fake_nt_volume import File
from ninep.testing.suite.tree import refuses

__all__ = ["close_path_handles_where_they_belong"]

MAPPED = ("mapped-xattr", "mapped-file")
KINDS = ("ntfs", "refs", "by-name", "share")
NOTHING = Changes(None, None, None, None, None, None, False, 0)


@pytest.fixture(params=[(kind, model) for kind in KINDS for model in MAPPED], ids="-".join)
def root(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    yield from attached(monkeypatch, *request.param)


@pytest.fixture
def file(root: Node) -> File:
    """A read-only file of the host."""
    found = FAKED[-1][0].volume.add("share\\file", b"contents")
    found.attributes |= Attribute.READONLY
    return found


def is_read_only(file: File) -> bool:
    return bool(file.attributes & Attribute.READONLY)


@pytest.fixture
def node(root: Node, file: File) -> Iterator[Node]:
    found = root.walk(b"file")
    yield found
    found.release()


def mode_of(node: Node) -> int:
    return node.getattr(GETATTR_BASIC).mode


def test_it_is_opened_for_writing_cut_and_filled(node: Node, file: File) -> None:
    opened = node.open(O_RDWR)
    assert is_read_only(file)
    assert opened.write(0, b"C") == 1
    opened.truncate(4)
    opened.close()
    node.setattr(NOTHING._replace(size=2))
    node.open(O_WRONLY | O_TRUNC).close()
    assert bytes(file.streams[""].data) == b""
    assert is_read_only(file)


def test_owners_and_attributes_are_set(node: Node, file: File) -> None:
    node.setattr(NOTHING._replace(uid=5, gid=6))
    node.setxattr(b"user.a", b"1", XATTR_CREATE)
    found = node.getattr(GETATTR_BASIC)
    assert (found.uid, found.gid, node.getxattr(b"user.a")) == (5, 6, b"1")
    node.removexattr(b"user.a")
    assert is_read_only(file)


@pytest.mark.parametrize(("mode", "stays"), [(0o444, True), (0o4555, True), (0, True), (0o644, False), (0o020, False)])
def test_a_mode_with_a_write_bit_takes_the_attribute_off(node: Node, file: File, mode: int, stays: bool) -> None:
    assert mode_of(node) & 0o777 == 0o555
    node.setattr(NOTHING._replace(mode=mode))
    assert mode_of(node) & 0o7777 == mode
    assert is_read_only(file) == stays
    node.setattr(NOTHING._replace(mode=0o444))
    assert is_read_only(file) == stays


def test_it_is_renamed_linked_replaced_and_removed(root: Node, node: Node, file: File) -> None:
    root.link(node, b"link")
    root.rename(b"link", root, b"other")
    assert is_read_only(file)
    root.unlink(b"other", False)
    assert is_read_only(file)
    root.mknod(b"new", 0o100644, 0, 0, 0)
    root.rename(b"new", root, b"file")
    assert not is_read_only(FAKED[-1][0].volume.at("share\\file"))


def test_a_failure_in_between_puts_it_back(node: Node, file: File) -> None:
    """Every call that is made while the attribute is lifted may fail."""
    fake = FAKED[-1][0]
    codes: set[Errno | int] = set()
    for count in range(1, 40):
        lifted = 0

        def fail(call: str, at: int = count) -> None:
            nonlocal lifted
            lifted += not is_read_only(file) and call not in {"close", "change"}
            if lifted == at and call not in {"close", "change"}:
                raise NtError(Status.INSUFFICIENT_RESOURCES, call)

        fake.before = fail
        try:
            node.open(O_RDWR).close()
            node.setattr(NOTHING._replace(uid=count))
        except OSError as error:
            codes.add(linux_errno(error))
        fake.before = None
        assert is_read_only(file), count
    assert codes == {Errno.ENOMEM}


def test_what_cannot_be_put_back_is_an_error(node: Node, file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FAKED[-1][0]
    change = fake.change

    def fail(handle: int, kind: int, data: bytes) -> None:
        if kind == Info.BASIC and not is_read_only(file):
            raise NtError(Status.IO_DEVICE_ERROR, "change")
        change(handle, kind, data)

    monkeypatch.setattr(fake, "change", fail)
    before = len(fake.handles)
    with pytest.raises(OSError, match="IO_DEVICE_ERROR"):
        node.open(O_RDWR)
    monkeypatch.undo()
    assert len(fake.handles) == before


def test_chmod_that_fails_leaves_the_attribute(node: Node, file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FAKED[-1][0]
    write = fake.write

    def fail(handle: int, data: bytes, offset: int) -> int:
        raise NtError(Status.DISK_FULL, "write")

    monkeypatch.setattr(fake, "write", fail)
    with pytest.raises(OSError, match="DISK_FULL"):
        node.setattr(NOTHING._replace(mode=0o600))
    monkeypatch.setattr(fake, "write", write)
    assert is_read_only(file)
    assert mode_of(node) & 0o777 == 0o555


@pytest.mark.parametrize("model", ["none", "passthrough"])
def test_where_modes_are_the_hosts_the_attribute_decides(monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    for root in attached(monkeypatch, "ntfs", model):
        file = FAKED[-1][0].volume.add("share\\file", b"contents")
        file.attributes |= Attribute.READONLY
        node = root.walk(b"file")
        with refuses(Errno.EACCES):
            node.open(O_RDWR)
        node.setattr(NOTHING._replace(mode=0o644))
        assert not is_read_only(file)
        node.open(O_RDWR).close()
        node.setattr(NOTHING._replace(mode=0o444))
        assert is_read_only(file)
        node.release()
