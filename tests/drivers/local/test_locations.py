"""Others move things in the folder too: a host process, another export of it, another worker. What
the table of nodes says of a place is only believed where the host says so as well.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.drivers.local.conftest import ME, content, make, refusal, refused
from tests.drivers.local.test_threads import forget_handles

from ninep import host
from ninep.drivers.local import LocalDriver, LocalNode, new_handle_cache
from ninep.errors import linux_errno
from ninep.linux import GETATTR_BASIC, Errno
from ninep.node import User
from ninep.security.filesystems import Filesystems

Rename = Callable[[str, str], None]


@pytest.fixture(params=["host", "export"])
def elsewhere(request: pytest.FixtureRequest, folder: Path, model: str, root: LocalNode) -> Iterator[Rename]:
    """``elsewhere("a/b", "c")``: a rename that this table does not see, by a host process or
    another export (a worker is the same).
    """
    if request.param == "host":

        def rename(old: str, new: str) -> None:
            os.rename(folder / old, folder / new)
            records = [(folder / path).parent / ".virtfs_metadata" / (folder / path).name for path in (old, new)]
            if records[0].exists():
                records[1].parent.mkdir(exist_ok=True)
                os.rename(*records)

        yield rename
        return
    driver = LocalDriver(str(folder), model, handles=new_handle_cache(100))
    other = driver.attach(User())

    def rename_there(old: str, new: str) -> None:
        (olddir, oldname), (newdir, newname) = (
            (walk(other, path.rpartition("/")[0]), path.rpartition("/")[2].encode()) for path in (old, new)
        )
        olddir.rename(oldname, newdir, newname)
        for node in (olddir, newdir):
            node.release()

    yield rename_there
    other.release()
    driver.close()


def walk(root: LocalNode, path: str) -> LocalNode:
    """Like a client: each step is a reference, and the last one stays."""
    node = root.clone()
    for name in filter(None, path.split("/")):
        node, before = node.walk(name.encode()), node
        before.release()
    return node


def directories(root: LocalNode, *paths: str) -> None:
    for path in paths:
        above, _, name = path.rpartition("/")
        node = walk(root, above)
        node.mkdir(name.encode(), 0o755, *ME)
        node.release()


def ancestors(node: LocalNode) -> list[LocalNode]:
    """What the table has above a node; it must have an end."""
    found = [node]
    while found[-1].parent_node is not found[-1]:
        found.append(found[-1].parent_node)
        assert len(found) < 1000, "a node is its own ancestor"
    return found


def test_a_directory_moved_below_what_was_below_it(root: LocalNode, elsewhere: Rename) -> None:
    directories(root, "A", "A/B", "A/B/C")
    a, b, c = walk(root, "A"), walk(root, "A/B"), walk(root, "A/B/C")
    elsewhere("A/B", "B")
    root.rename(b"A", b, b"A")
    assert [ancestors(node)[1:] for node in (a, b, c)] == [[b, root], [root], [b, root]]
    assert b.parent() is root
    assert a.parent() is b
    forget_handles(root)
    for node in (a, b, c):
        node.getattr(GETATTR_BASIC)
    assert walk(root, "B/A") is a
    assert refused(Errno.EINVAL, root.rename, b"B", a, b"B")


def test_the_link_in_between_that_is_wrong_is_the_one_that_goes(root: LocalNode, elsewhere: Rename) -> None:
    directories(root, "A", "A/B", "A/B/C")
    a, b, c = walk(root, "A"), walk(root, "A/B"), walk(root, "A/B/C")
    elsewhere("A/B/C", "C")
    root.rename(b"A", c, b"moved")
    assert [ancestors(node)[1:] for node in (a, b, c)] == [[c, root], [a, c, root], [root]]
    forget_handles(root)
    assert refused(Errno.ENOTEMPTY, c.unlink, b"moved", True)
    assert walk(root, "C/moved/B") is b


def test_what_was_removed_in_between_counts(root: LocalNode, elsewhere: Rename) -> None:
    directories(root, "A", "A/B", "A/B/C")
    a, b, c = walk(root, "A"), walk(root, "A/B"), walk(root, "A/B/C")
    elsewhere("A/B/C", "C")
    a.unlink(b"B", True)
    root.rename(b"A", c, b"A")
    assert [ancestors(node)[1:] for node in (a, b, c)] == [[c, b, root], [root], [b, root]]
    assert a.parent() is c
    assert walk(root, "C/A").getattr(GETATTR_BASIC) == a.getattr(GETATTR_BASIC)
    for node in (a, b, c):
        node.release()


def test_what_is_not_found_again_has_no_name(root: LocalNode, elsewhere: Rename) -> None:
    """Under another name it cannot be looked for; whoever holds it goes on with what it is."""
    directories(root, "A", "A/B")
    a, b = walk(root, "A"), walk(root, "A/B")
    inside = make(b, b"file", b"data")
    elsewhere("A/B", "other")
    a.move(b, b"A")
    referenced = [a.parent(), b.parent()]
    assert referenced == [b, root]
    forget_handles(root)
    b.getattr(GETATTR_BASIC)
    referenced.append(walk(b, "file"))
    assert content(referenced[-1]) == b"data"
    assert refused(Errno.ENOENT, b.remove)
    assert refused(Errno.ENOENT, b.move, root, b"new")
    for node in (*referenced, inside, a, b):
        node.release()
    assert root.table.handles.unreclaimable == 0


@pytest.mark.parametrize("late", [False, True])
def test_a_table_that_is_late_never_becomes_a_cycle(
    root: LocalNode, monkeypatch: pytest.MonkeyPatch, elsewhere: Rename, late: bool
) -> None:
    """Between the look at the way and the rename: the host lets both happen, one after
    the other.
    """
    directories(root, "A", "A/B")
    a, b = walk(root, "A"), walk(root, "A/B")
    honest = type(root.table.model).rename
    due = [True]

    def rename(self: object, *arguments: object) -> None:
        if self is root.table.model and due.pop():
            elsewhere("A/B", "B")
            due.append(False)
        honest(self, *arguments)  # type: ignore[arg-type]

    if late:
        monkeypatch.setattr("ninep.drivers.local.moves._untangle", lambda *_: None)
        elsewhere("A/B", "B")
    else:
        monkeypatch.setattr(type(root.table.model), "rename", rename)
    root.rename(b"A", b, b"A")
    for node in (a, b):
        ancestors(node)
    forget_handles(root)
    assert a.getattr(GETATTR_BASIC).nlink
    assert refusal_or_none(b.getattr, GETATTR_BASIC) in {None, Errno.ENOENT, Errno.ESTALE}
    for node in (a, b):
        node.release()
    root.table.drop_idle()
    assert root.table.total_refs == 1


def refusal_or_none(verb: Callable[..., object], *arguments: object) -> Errno | None:
    try:
        verb(*arguments)
    except OSError:
        return refusal(verb, *arguments)
    return None


def test_into_a_directory_that_was_removed(root: LocalNode) -> None:
    """By the table it is below what is to be moved, and it has no name that could be asked for."""
    directories(root, "A", "A/B")
    a, b = walk(root, "A"), walk(root, "A/B")
    b.remove()
    assert refused(Errno.ENOENT, root.rename, b"A", b, b"A")
    for node in (a, b):
        ancestors(node)
        node.getattr(GETATTR_BASIC)


class TestUp:
    """``..`` is what the host says it is, if clients may see that."""

    def test_after_a_rename_within_the_directory(self, root: LocalNode, elsewhere: Rename) -> None:
        directories(root, "A", "A/B")
        a, b = walk(root, "A"), walk(root, "A/B")
        elsewhere("A/B", "A/C")
        assert b.parent() is a

    def test_after_a_move_up(self, root: LocalNode, elsewhere: Rename) -> None:
        directories(root, "A", "A/B", "A/B/C")
        c = walk(root, "A/B/C")
        elsewhere("A/B/C", "A/C")
        assert c.parent() is walk(root, "A")
        assert walk(root, "A/C") is c

    def test_after_a_move_to_where_the_table_cannot_see(self, root: LocalNode, elsewhere: Rename) -> None:
        directories(root, "A", "A/B", "D")
        b = walk(root, "A/B")
        elsewhere("A/B", "D/B")
        assert refused(Errno.ESTALE, b.parent)

    def test_never_out_of_the_export(self, root: LocalNode, folder: Path, tmp_path: Path) -> None:
        directories(root, "A", "A/B")
        a, b = walk(root, "A"), walk(root, "A/B")
        (tmp_path / "outside").mkdir()
        os.rename(folder / "A", tmp_path / "outside" / "A")
        assert b.parent() is a
        assert refused(Errno.ESTALE, a.parent)
        assert root.parent() is root

    def test_of_a_removed_directory(self, root: LocalNode) -> None:
        directories(root, "A", "A/B")
        a, b = walk(root, "A"), walk(root, "A/B")
        b.remove()
        assert b.parent() is a

    def test_of_a_file(self, root: LocalNode, folder: Path) -> None:
        node = make(root, b"file")
        assert node.parent() is root
        os.rename(folder / "file", folder / "renamed")
        assert refused(Errno.ESTALE, node.parent)


def test_a_walk_is_the_look_at_the_name(root: LocalNode, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file's ctime tells of a rename, no other one follows."""
    (folder / "file").touch()
    monkeypatch.setattr(Filesystems, "settled", lambda *_: True)
    looked: list[bytes] = []
    plain = host.stat_same_mount

    def looking(dir: host.Handle, name: bytes) -> host.Stat:
        looked.append(name)
        return plain(dir, name)

    monkeypatch.setattr(host, "stat_same_mount", looking)
    node = root.walk(b"file")
    node.getattr(GETATTR_BASIC)
    assert looked == []


def test_a_rename_of_what_took_the_name_moves_no_node(root: LocalNode, folder: Path) -> None:
    """The node under the old name is another object than the one that the host moves."""
    directories(root, "A", "D")
    held, target = walk(root, "A"), walk(root, "D")
    os.rename(folder / "A", folder / "kept")
    (folder / "A").mkdir()
    root.rename(b"A", target, b"new")
    assert held.parent_node is root
    assert target.walk(b"new") is not held
    os.rename(folder / "kept", folder / "A")
    forget_handles(root)
    held.getattr(GETATTR_BASIC)


def test_a_node_deeper_than_a_path_is_refused_and_not_looked_for(
    root: LocalNode, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ninep.drivers.local.reopening.DEPTH", 20)
    (folder / "/".join("d" * 30)).mkdir(parents=True)
    nodes = [root]
    for _ in range(30):
        nodes.append(nodes[-1].walk(b"d"))
    forget_handles(root)
    assert refused(Errno.ELOOP, nodes[-1].getattr, GETATTR_BASIC)
    for node in nodes[1:]:
        node.getattr(GETATTR_BASIC)


def test_a_long_way_back_takes_few_handles(root: LocalNode, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    depth = 500
    (folder / "/".join("d" * depth)).mkdir(parents=True)
    node = root
    for _ in range(depth):
        node = node.walk(b"d")
    forget_handles(root)
    most, plain = [0], host.open_path

    def open_path(dir: host.Handle, name: bytes) -> host.Handle:
        most[0] = max(most[0], len(os.listdir("/proc/self/fd")))
        return plain(dir, name)

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(host, "open_path", open_path)
    node.getattr(GETATTR_BASIC)
    assert most[0] - before < 40


def test_two_clients_move_two_directories_into_each_other(root: LocalNode) -> None:
    """Each of the renames is right when the host does it; the table hears of them in any order."""
    directories(root, "A", "B")
    a, b = walk(root, "A"), walk(root, "B")
    wrong: list[object] = []

    def swing(name: bytes, other: LocalNode) -> None:
        try:
            for _ in range(40):
                for olddir, newdir in ((root, other), (other, root)):
                    refusal_or_none_of(MOVES, olddir.rename, name, newdir, name)
                refusal_or_none_of(MOVES, other.getattr, GETATTR_BASIC)
        except BaseException as error:  # noqa: BLE001 - a thread's failure must reach the test
            wrong.append(error)

    threads = [
        threading.Thread(target=swing, args=pair, daemon=True) for pair in ((b"A", b), (b"B", a)) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        forget_handles(root)
        for thread in threads:
            thread.join(0.01)
    assert wrong == []
    for node in (a, b):
        ancestors(node)
        node.release()
    root.table.drop_idle()
    assert root.table.total_refs == 1


MOVES = {Errno.ENOENT, Errno.ESTALE, Errno.EINVAL, Errno.ENOTEMPTY}


def refusal_or_none_of(allowed: set[Errno], verb: Callable[..., object], *arguments: object) -> None:
    """Call a verb that may be refused for one of these reasons."""
    try:
        verb(*arguments)
    except OSError as error:
        if linux_errno(error) not in allowed:
            raise
