"""A file that was made: its type is known, and what was opened for it does not stay if that fails."""

from __future__ import annotations

import os

import pytest
from tests.drivers.local.conftest import NEW, refusal
from tests.support.descriptors import open_descriptors

from ninep.drivers.local.node import LocalNode
from ninep.drivers.local.node_table import NodeTable
from ninep.errors import Refused
from ninep.linux import O_RDWR, Errno
from ninep.wire.types import QT_FILE


def test_a_made_file_is_a_regular_file_and_the_model_is_not_asked(
    root: LocalNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    attributes_of = root.table.attributes_of

    def asking(node: LocalNode, found: os.stat_result) -> object:
        asked.append(node)
        return attributes_of(node, found)

    monkeypatch.setattr(root.table, "attributes_of", asking)
    node, file = root.create(b"new", NEW, 0o640, 1000, 1000)
    assert asked == []
    assert node.qid.type == QT_FILE
    assert node.getattr(0).mode == 0o100640
    assert asked == [node]
    file.close()
    node.release()


def test_its_qid_is_that_of_a_walk(root: LocalNode) -> None:
    node, file = root.create(b"new", NEW, 0o640, 1000, 1000)
    again = root.walk(b"new")
    assert again.qid == node.qid
    again.release()
    file.close()
    node.release()


@pytest.mark.parametrize("unnamed", [False, True], ids=["create", "tmpfile"])
def test_nothing_stays_open_where_no_node_can_be_made(
    root: LocalNode, monkeypatch: pytest.MonkeyPatch, unnamed: bool
) -> None:
    def failing(*_: object) -> None:
        raise Refused(Errno.ENFILE)

    for name in ("add", "add_unnamed"):
        monkeypatch.setattr(NodeTable, name, failing)
    before = open_descriptors()
    if unnamed:
        assert refusal(root.tmpfile, O_RDWR, 0o600, 0, 0) in {Errno.ENFILE, Errno.EOPNOTSUPP}
    else:
        assert refusal(root.create, b"new", NEW, 0o600, 0, 0) is Errno.ENFILE
    assert open_descriptors() == before
