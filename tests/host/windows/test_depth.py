"""How many NT calls a walk makes: one open for each name, and the same number at any depth."""

import pytest
from tests.host.windows.box import FAKES
from tests.host.windows.outside import junction_data
from tests.host.windows.test_driver import FAKED, attached, close_path_handles_where_they_belong

from ninep.drivers.local import LocalNode
from ninep.host.windows.api import Attribute, Tag
from ninep.linux import GETATTR_BASIC, O_RDONLY, Errno
from ninep.node import Node
from ninep.server.handlers.walk import _along
from ninep.testing.fake_nt import FakeNt
from ninep.testing.suite.tree import refuses

__all__ = ["close_path_handles_where_they_belong"]

DEPTH = 24
NAMES = [b"dir%d" % number for number in range(DEPTH)]
BY_ID = [kind for kind in FAKES if kind != "share"]


def filled() -> FakeNt:
    fake = FAKED[-1][0]
    path = "share"
    for name in NAMES:
        path += f"\\{name.decode()}"
        fake.volume.add(path)
    fake.volume.add(f"{path}\\file", b"contents")
    return fake


def walked(root: Node, names: list[bytes]) -> Node:
    node, qids = _along(root, names)
    assert node is not None
    assert len(qids) == len(names)
    return node


@pytest.mark.parametrize("kind", FAKES)
def test_a_walk_of_many_names_opens_each_once(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    for root in attached(monkeypatch, kind, "none"):
        fake = filled()
        handles = len(fake.handles)
        for _ in range(2):  # what is known already costs no more
            before = fake.counts["create"]
            node = walked(root, [*NAMES, b"file"])
            assert fake.counts["create"] - before == DEPTH + 1
            assert len(fake.handles) == handles  # none is kept: a directory above could not be renamed
            node.release()


@pytest.mark.parametrize("model", ["none", "mapped-xattr", "mapped-file"])
@pytest.mark.parametrize("kind", BY_ID)
def test_a_walk_one_name_at_a_time_costs_the_same_at_any_depth(
    monkeypatch: pytest.MonkeyPatch, kind: str, model: str
) -> None:
    """As the kernel's client walks."""
    for root in attached(monkeypatch, kind, model):
        fake = filled()
        costs, nodes = [], [root.clone()]
        for name in NAMES:
            before = sum(fake.counts.values())
            nodes.append(nodes[-1].walk(name))
            nodes[-1].getattr(GETATTR_BASIC)
            costs.append(sum(fake.counts.values()) - before)
        assert max(costs[2:]) == costs[2]
        file = nodes[-1].walk(b"file")
        before = fake.counts["create"]
        file.getattr(GETATTR_BASIC)
        assert fake.counts["create"] - before <= (2 if model == "none" else 6)
        file.release()
        for node in reversed(nodes):
            node.release()


def test_without_ids_a_walk_is_still_one_open_for_each_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for root in attached(monkeypatch, "share", "none"):
        fake = filled()
        node = walked(root, NAMES)
        before = fake.counts["create"]
        node.getattr(GETATTR_BASIC)
        assert fake.counts["create"] - before == DEPTH
        node.release()


@pytest.mark.parametrize("kind", BY_ID)
def test_a_removed_directory_is_not_found_by_its_id(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    for root in attached(monkeypatch, kind, "none"):
        fake = FAKED[-1][0]
        fake.volume.add("share\\gone")
        node = root.walk(b"gone")
        fake.volume.remove("share\\gone")
        with refuses(Errno.ENOENT):
            node.getattr(GETATTR_BASIC)
        fake.volume.add("share\\gone")
        with refuses(Errno.ESTALE):
            node.getattr(GETATTR_BASIC)
        node.release()


def test_a_directory_that_became_a_junction_is_not_gone_through(monkeypatch: pytest.MonkeyPatch) -> None:
    for root in attached(monkeypatch, "ntfs", "none"):
        fake = FAKED[-1][0]
        fake.volume.add("secret")
        fake.volume.add("secret\\file", b"canary")
        directory = fake.volume.add("share\\dir")
        node = root.walk(b"dir")
        directory.reparse = (Tag.MOUNT_POINT, junction_data("\\??\\C:\\secret"))
        directory.attributes |= Attribute.REPARSE_POINT
        with refuses(Errno.ELOOP):
            node.walk(b"file")
        with refuses(Errno.ENOTDIR):
            node.opendir()
        with refuses(Errno.ELOOP):
            node.mkdir(b"new", 0o755, 0, 0)
        node.release()


@pytest.mark.parametrize("kind", BY_ID)
def test_a_walk_that_fails_keeps_nothing_open(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    for root in attached(monkeypatch, kind, "mapped-xattr"):
        fake = filled()
        handles = len(fake.handles)
        node, qids = _along(root, [*NAMES[:4], b"nothing", b"more"])
        assert (node, len(qids)) == (None, 4)
        assert len(fake.handles) == handles
        deep = walked(root, NAMES[:4])
        assert isinstance(deep, LocalNode)
        found = walked(root, [*NAMES, b"file"])
        file = found.open(O_RDONLY)
        assert bytes(file.read(0, 100)) == b"contents"
        file.close()
        found.release()
        root.rename(NAMES[0], root, b"renamed")  # refused if anything below were open
        deep.release()
