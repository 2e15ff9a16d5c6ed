"""What another thread does in the middle of a verb: each meeting is arranged, so that it happens
every time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.drivers.local.conftest import NEW, refusal
from tests.support.client import TIMEOUT

from ninep import host
from ninep.drivers.local import LocalNode
from ninep.errors import Refused
from ninep.linux import Errno


def make(root: LocalNode, name: bytes) -> None:
    node, file = root.create(name, NEW, 0o644, 0, 0)
    file.close()
    node.release()


def forget_handles(root: LocalNode) -> None:
    handles = root.table.handles
    with handles.lock:
        handles.reclaim(0)
        handles.reclaim(0)


@pytest.fixture
def meet(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``meet(thing, verb, then)``: after the next call of the verb, ``then`` happens before anybody
    hears of its result.
    """

    def arrange(thing: Any, verb: str, then: Callable[[], object], *, before: bool = False) -> None:
        plain = getattr(thing, verb)
        due = [then]

        def met(*args: object) -> object:
            act = due.pop() if due else None
            if act and before:
                act()
            result = plain(*args)
            if act and not before:
                act()
            return result

        monkeypatch.setattr(thing, verb, met)

    return arrange


def test_a_walk_that_ends_in_an_error_references_nothing(root: LocalNode, monkeypatch: pytest.MonkeyPatch) -> None:
    make(root, b"file")
    held = root.walk(b"file")
    root.table.drop_idle()
    before = root.table.total_refs, root.refs, held.refs

    def unreadable(*_: object) -> None:
        raise Refused(Errno.EIO)

    monkeypatch.setattr(root.table, "attributes_of", unreadable)
    assert refusal(root.walk, b"file") is Errno.EIO
    forget_handles(root)
    assert refusal(root.walk, b"file") is Errno.EIO
    assert (root.table.total_refs, root.refs, held.refs) == before
    held.release()
    assert refusal(root.walk, b"file") is Errno.EIO
    assert root.table.total_refs == before[0] - 1


def test_two_walks_to_one_name_find_one_node(root: LocalNode, meet: Callable[..., None]) -> None:
    make(root, b"file")
    found: list[LocalNode] = []
    meet(host, "open_path", lambda: found.append(root.walk(b"file")))
    found.append(root.walk(b"file"))
    assert found[0] is found[1]
    root.rename(b"file", root, b"renamed")
    assert {node.name for node in found} == {b"renamed"}
    for node in found:
        node.release()


def test_a_walk_while_the_name_is_renamed_follows(root: LocalNode, meet: Callable[..., None]) -> None:
    make(root, b"file")
    found: list[LocalNode] = []
    meet(root.table.model, "rename", lambda: found.append(root.walk(b"file")), before=True)
    root.rename(b"file", root, b"renamed")
    assert found[0].name == b"renamed"
    found[0].remove()
    found[0].release()


def test_another_file_of_the_old_name_stays_where_it_is(root: LocalNode, meet: Callable[..., None]) -> None:
    make(root, b"file")
    found: list[LocalNode] = []

    def another() -> None:
        make(root, b"file")
        found.append(root.walk(b"file"))

    meet(root.table.model, "rename", another)
    root.rename(b"file", root, b"renamed")
    assert found[0].name == b"file"
    found[0].remove()
    assert refusal(root.walk, b"file") is Errno.ENOENT
    found[0].release()


def test_a_node_that_is_released_while_it_moves_leaves_once(root: LocalNode, meet: Callable[..., None]) -> None:
    make(root, b"file")
    before = root.refs, root.table.total_refs
    node = root.walk(b"file")
    meet(root.table.model, "rename", node.release)
    root.rename(b"file", root, b"renamed")
    assert (root.refs, root.table.total_refs) == before
    assert not root.children


def test_a_way_by_name_waits_for_a_rename_on_it(root: LocalNode, meet: Callable[..., None]) -> None:
    root.mkdir(b"folder", 0o755, 0, 0)
    folder = root.walk(b"folder")
    make(folder, b"file")
    file = folder.walk(b"file")
    forget_handles(root)
    seen: list[object] = []

    def look() -> None:
        try:
            seen.append(file.getattr(0).qid_path)
        except OSError as error:
            seen.append(error)

    thread = threading.Thread(target=look)
    meet(root.table.model, "rename", thread.start)
    root.rename(b"folder", root, b"renamed")
    thread.join(TIMEOUT)
    assert seen == [file.path]
    for node in (file, folder):
        node.release()


def test_a_name_that_leads_nowhere_is_not_waited_for(root: LocalNode) -> None:
    make(root, b"file")
    file = root.walk(b"file")
    forget_handles(root)
    host.remove_file(root.get_path_handle(), b"file")
    assert refusal(file.getattr, 0) is Errno.ENOENT
    file.release()
