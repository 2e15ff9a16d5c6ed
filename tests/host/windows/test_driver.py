"""The public acceptance suite on the local driver over a fake NTFS volume: each security model, and
the kinds of volumes that differ.
"""

import gc
from collections.abc import Iterator

import pytest
from tests.host.windows.box import FAKES
from tests.support.drivers import end

from ninep import host
from ninep.drivers.local import ExportError, LocalDriver, LocalNode, new_handle_cache
from ninep.host import Handle
from ninep.host.windows.host import NtHost
from ninep.linux import Errno
from ninep.node import Node, User
from ninep.testing.fake_nt import FakeNt
from ninep.testing.suite import Capabilities, DriverSuite
from ninep.testing.suite.moves import RenameTests
from ninep.testing.suite.tree import ScratchTree, refuses
from ninep.testing.suite.xattrs import XattrTests

LACKING = dict.fromkeys(("allocation", "holes", "copies", "exchange", "unnamed"), False)
MAPPED = Capabilities(**LACKING, case_sensitive=False, time_step=100)


FAKED: list[tuple[FakeNt, NtHost]] = []


@pytest.fixture(scope="module", autouse=True)
def close_path_handles_where_they_belong() -> Iterator[None]:
    """A pin closes itself when it is collected, which a traceback may put off until the
    next test.
    """
    with pytest.MonkeyPatch.context() as patch:
        close = host.close

        def close_anywhere(handle: Handle, /) -> None:
            for fake, windows in FAKED:
                if handle in fake.handles:
                    return windows.close(handle)
            return close(handle)

        patch.setattr(host, "close", close_anywhere)
        yield
        gc.collect()


def attached(
    monkeypatch: pytest.MonkeyPatch, kind: str, model: str, fake: FakeNt | None = None, path: str = "C:\\share"
) -> Iterator[Node]:
    if fake is None:
        fake = FakeNt({"C:": FAKES[kind]()})
        fake.volume.add("share")
    windows = NtHost(fake)
    FAKED.append((fake, windows))
    for name in set(host._system.__all__) - {"close"}:
        monkeypatch.setattr(host, name, getattr(windows, name))
    driver = LocalDriver(path, model, handles=new_handle_cache(64))
    root = driver.attach(User())
    yield root
    end(driver, root)
    del root, driver
    if fake.handles:
        gc.collect()
    assert not fake.handles, "a handle was left open"


class NtfsRenames(RenameTests):
    """What NTFS refuses: to rename a directory below which a file is open."""

    def test_a_directory_with_all_below(self, tree: ScratchTree) -> None:
        inner = tree.folder(b"inner", within=tree.folder(b"d"))
        node = tree.file(b"f", b"content", within=inner)
        file = tree.opened(node)
        with refuses(Errno.EBUSY):
            tree.root.rename(b"d", tree.folder(b"e"), b"moved")
        tree.release(file)
        tree.root.rename(b"d", tree.walk(b"e"), b"moved")
        assert tree.read(tree.walk(b"e", b"moved", b"inner", b"f")) == b"content"
        # What was reached before goes on: a fid is no handle.
        assert (tree.read(node), tree.names(inner)) == (b"content", [b"f"])
        tree.file(b"new", within=inner)
        tree.change(node, mode=0o600)
        assert tree.names(tree.walk(b"e", b"moved", b"inner")) == [b"f", b"new"]


class NtfsXattrs(XattrTests):
    """Attributes are streams, and of a file without a name NTFS opens none."""

    def test_they_go_on_without_a_name(self, tree: ScratchTree) -> None:
        node = tree.file(b"f")
        tree.opened(node)
        node.setxattr(b"user.x", b"value", 0)
        tree.root.unlink(b"f", directory=False)
        with refuses(Errno.ENOENT, Errno.EOPNOTSUPP):
            node.getxattr(b"user.x")


class WindowsSuite(DriverSuite):
    """The suite, with the two things that NTFS does otherwise."""

    TestRename = NtfsRenames
    TestXattr = NtfsXattrs


class TestPassthrough(WindowsSuite):
    capabilities = Capabilities(
        **LACKING,
        owners="ignored",
        modes=False,
        devices=False,
        root_keeps_setid=False,
        case_sensitive=False,
        time_step=100,
    )

    @pytest.fixture
    def root(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
        yield from attached(monkeypatch, "ntfs", "passthrough")


class TestMappedXattr(WindowsSuite):
    capabilities = MAPPED

    @pytest.fixture
    def root(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
        yield from attached(monkeypatch, "ntfs", "mapped-xattr")


class TestMappedFile(WindowsSuite):
    capabilities = MAPPED

    @pytest.fixture
    def root(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
        yield from attached(monkeypatch, "refs", "mapped-file")


class TestOnAShare(WindowsSuite):
    """Without POSIX semantics, opening by id, or streams that can be opened through a file's
    handle.
    """

    capabilities = MAPPED

    @pytest.fixture
    def root(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
        yield from attached(monkeypatch, "share", "mapped-xattr")


def test_what_a_volume_is_served_with_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """No permission bits, and links are a privilege: what mapped-owner makes real is not there."""
    roots = attached(monkeypatch, "ntfs", "auto")
    root = next(roots)
    assert isinstance(root, LocalNode)
    assert root.table.model.name == "mapped-xattr"
    with pytest.raises(ExportError, match=r"permission bits, which its filesystem .* mapped-xattr keeps them"):
        LocalDriver("C:\\share", "mapped-owner", handles=new_handle_cache(64))
    del root
    next(roots, None)
