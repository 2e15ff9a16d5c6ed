"""The audit detects violations of the rules of references."""

import pytest

from ninep import linux
from ninep.drivers.memory import MemoryDriver
from ninep.drivers.synthetic import SyntheticDriver
from ninep.node import Node, User
from ninep.testing.audit import Audit


@pytest.fixture
def audit() -> Audit:
    return Audit()


@pytest.fixture
def root(audit: Audit) -> Node:
    return audit(MemoryDriver().attach(User()), User())


def test_good_manners(audit: Audit, root: Node) -> None:
    node, file = root.create(b"f", linux.O_RDWR, 0o644, 0, 0)
    node.release()
    file.write(0, b"x")
    file.close()
    listing = root.opendir()
    twin = root.clone()
    root.release()
    listing.read(0, 100)
    listing.close()
    twin.release()
    audit.check()


def test_an_unreleased_node(audit: Audit, root: Node) -> None:
    root.mkdir(b"d", 0o755, 0, 0)
    root.walk(b"d")
    root.release()
    with pytest.raises(AssertionError, match=r"never released.*'d'"):
        audit.check()


def test_an_unclosed_file(audit: Audit, root: Node) -> None:
    node, _ = root.create(b"f", linux.O_RDWR, 0o644, 0, 0)
    node.release()
    root.release()
    with pytest.raises(AssertionError, match=r"never released or closed: .*AuditedFile"):
        audit.check()


def test_released_twice(root: Node) -> None:
    root.release()
    with pytest.raises(AssertionError, match="release of <node b'/'"):
        root.release()


def test_used_after_its_end(root: Node) -> None:
    root.mkdir(b"d", 0o755, 0, 0)
    folder = root.walk(b"d")
    folder.release()
    with pytest.raises(AssertionError, match="getattr"):
        folder.getattr(0)
    with pytest.raises(AssertionError, match="use"):
        root.rename(b"d", folder, b"e")
    listing = root.opendir()
    listing.close()
    with pytest.raises(AssertionError, match=r"dir\.read"):
        listing.read(0, 100)


def test_clones_of_a_driver_without_state_are_distinct_references(audit: Audit) -> None:
    root = audit(SyntheticDriver({}).attach(User()), User())
    twin = root.clone()
    root.release()
    twin.getattr(0)
    twin.release()
    with pytest.raises(AssertionError):
        twin.release()
