"""What puts, and what renames, at the same time."""

from __future__ import annotations

import pytest
from tests.drivers.objects.store_in_memory import StoreInMemory

from ninep.drivers.objects.base_node import BaseNode
from ninep.drivers.objects.bucket import Settings
from ninep.drivers.objects.driver import ObjectDriver
from ninep.drivers.objects.moving import Moving
from ninep.errors import Refused
from ninep.linux import S_IFREG, Errno


@pytest.fixture
def node() -> BaseNode:
    driver = ObjectDriver(StoreInMemory(), Settings())
    return driver.bucket.root.new("d/inner/file", driver.bucket.defaults(S_IFREG))


def busy() -> pytest.RaisesExc[Refused]:
    return pytest.raises(Refused, check=lambda refusal: refusal.code is Errno.EBUSY)


@pytest.mark.parametrize(("old", "new"), [("d", "e"), ("d/inner", "e"), ("e", "d/inner"), ("e", "d")])
def test_a_name_in_a_folder_that_is_renamed(node: BaseNode, old: str, new: str) -> None:
    moving = Moving()
    node.set_key(old)
    with moving.tree(node, old, new):
        node.set_key("d/inner/file")
        with busy(), moving.file(node, "d/inner/file", "elsewhere"):
            pass
        with busy(), moving.tree(node, "d/inner/file", "elsewhere"):
            pass
    with moving.file(node, "d/inner/file", "elsewhere"):
        pass


def test_a_name_that_was_changed_meanwhile(node: BaseNode) -> None:
    with busy(), Moving().file(node, "d/former", "elsewhere"):
        pass
    with busy(), Moving().tree(node, "d/former", "elsewhere"):
        pass


def test_names_that_only_begin_alike(node: BaseNode) -> None:
    moving = Moving()
    node.set_key("d/in")
    with moving.tree(node, "d/in", "e"):
        node.set_key("d/inner/file")
        with moving.put(node), moving.file(node, "d/inner/file", "elsewhere"):
            pass
