"""A server that dies between any two calls to the host, in the middle of any change: what the next
one finds.

``Death`` ends the process's power over the host at the n-th call that changes something, as SIGKILL
does, and nothing is undone after that. Each verb is tried with n = 0, 1, 2 ... until it gets
through. What is then on disk, seen by a new server, must be as before or as after. ``test_kill.py``
does the same to a real process, at moments that nobody chooses.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.security.conftest import CHANGING

from ninep import host
from ninep.drivers.local import LocalDriver, LocalNode, new_handle_cache
from ninep.linux import GETATTR_BASIC, O_CREAT, O_EXCL, O_RDWR, Errno
from ninep.node import Changes, User
from ninep.security import records

NEW = O_CREAT | O_EXCL | O_RDWR
MODELS = ("passthrough", "mapped-owner", "mapped-xattr", "mapped-file")  # none is passthrough with other errors
State = dict[bytes, tuple[object, ...]]
Verb = Callable[[LocalNode], object]


class Killed(BaseException):
    """No code of the server's may catch it."""


class Death:
    """Lets the n-th changing call of the host, and all after it, not happen."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = -1
        self.dead = False
        for name in {*CHANGING, "remove_file"} - {"open_path"}:
            monkeypatch.setattr(host, name, self._wrap(name, getattr(host, name)))

    def _wrap(self, name: str, primitive: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object) -> object:
            if self.dead or self.left == 0:
                self.dead = True
                raise Killed(name)
            self.left -= self.left > 0
            return primitive(*arguments)

        return call

    def at(self, number: int, verb: Callable[[], object]) -> bool:
        """True: the verb did not get through."""
        self.left, self.dead = number, False
        try:
            verb()
        except Killed:
            return True
        finally:
            self.left, self.dead = -1, False
        return False


@pytest.fixture
def death(monkeypatch: pytest.MonkeyPatch) -> Death:
    return Death(monkeypatch)


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def serve(tmp_path: Path, model: str) -> Iterator[Callable[[Path], LocalNode]]:
    """`serve(folder)`: the root as a server started anew sees it."""
    opened: list[tuple[LocalDriver, LocalNode]] = []

    def serve(folder: Path) -> LocalNode:
        driver = LocalDriver(str(folder), model, handles=new_handle_cache(1000))
        opened.append((driver, driver.attach(User())))
        return opened[-1][1]

    yield serve
    for driver, root in opened:
        root.release()
        driver.close()


def make(root: LocalNode, name: bytes, mode: int, uid: int, gid: int) -> None:
    node, file = root.create(name, NEW, mode, uid, gid)
    file.write(0, b"of " + name, by=0)
    file.close()
    node.release()


def prepare(root: LocalNode) -> None:
    me = os.geteuid(), os.getegid()
    owner = (1000, 100) if me[0] == 0 else me
    make(root, b"source", 0o4755, *owner)
    make(root, b"target", 0o600, *me)
    root.mkdir(b"dir", 0o750, *owner)
    root.symlink(b"link", b"source", *owner)
    make(root, b"one", 0o640, *owner)
    root.link(root.walk(b"one"), b"two")


def state(root: LocalNode) -> State:
    """What a client can tell of each name."""
    found: State = {}
    listing = root.opendir()
    names = [entry.name if hasattr(entry, "name") else entry[5] for entry in listing.read(0, 1 << 16)]
    listing.close()
    for name in sorted(set(names) - {b".", b".."}):
        node = root.walk(name)
        attributes = node.getattr(GETATTR_BASIC)
        kind = stat.S_IFMT(attributes.mode)
        if kind == stat.S_IFLNK:
            content: object = node.readlink()
        elif kind == stat.S_IFREG:
            file = node.open(0)
            content = bytes(file.read(0, 100))
            file.close()
        else:
            content = None
        found[name] = (oct(attributes.mode), attributes.uid, attributes.gid, attributes.rdev, content)
        node.release()
    return found


def walked(verb: Callable[[LocalNode], object], name: bytes) -> Verb:
    return lambda root: verb(root.walk(name))


def written(root: LocalNode) -> None:
    file = root.walk(b"source").open(O_RDWR, by=1000)
    file.write(0, b"OF", by=1000)


VERBS: dict[str, Verb] = {
    "create": lambda root: make(root, b"new", 0o4750, *ids()),
    "mkdir": lambda root: root.mkdir(b"new", 0o750, *ids()),
    "symlink": lambda root: root.symlink(b"new", b"anywhere", *ids()),
    "mknod": lambda root: root.mknod(b"new", stat.S_IFIFO | 0o640, 0, *ids()),
    "link": lambda root: root.link(root.walk(b"source"), b"new"),
    "unlink": lambda root: root.unlink(b"source", directory=False),
    "unlink one of two": lambda root: root.unlink(b"one", directory=False),
    "rmdir": lambda root: root.unlink(b"dir", directory=True),
    "rename": lambda root: root.rename(b"source", root, b"new"),
    "rename a link": lambda root: root.rename(b"link", root, b"new"),
    "rename away": lambda root: root.rename(b"source", root.walk(b"dir"), b"new"),
    "rename over": lambda root: root.rename(b"source", root, b"target"),
    "rename one of two over": lambda root: root.rename(b"one", root, b"target"),
    "chmod": walked(lambda node: node.setattr(changes(mode=0o600)), b"source"),
    "chmod of two": walked(lambda node: node.setattr(changes(mode=0o600)), b"two"),
    "chmod of a directory": walked(lambda node: node.setattr(changes(mode=0o700)), b"dir"),
    "chown": walked(lambda node: node.setattr(changes(uid=ids(1)[0])), b"source"),
    "chgrp": walked(lambda node: node.setattr(changes(gid=ids(1)[1])), b"target"),
    "write to a set-user file": written,
}


def ids(more: int = 0) -> tuple[int, int]:
    return (1000 + more, 100 + more) if os.geteuid() == 0 else (os.geteuid(), os.getegid())


def changes(**what: int) -> Changes:
    return Changes(**what, by=1000)


def partly(verb: str, model: str, before: State, after: State) -> list[State]:
    """What else may be found, and why."""
    half: list[State] = []
    if verb.startswith("rename") and verb.endswith("over") and model == "mapped-file":
        # A record and its entry are renamed one after the other: see mapped_file.
        source = before[b"one" if "one" in verb else b"source"]
        half.append({**before, b"target": (*source[:4], before[b"target"][4])})
    if verb in {"create", "write to a set-user file"}:  # two requests
        if verb == "create":
            made = after[b"new"]
            half.append({**before, b"new": (*made[:4], b"")})
        else:
            dropped = after[b"source"]
            half.append({**before, b"source": (*dropped[:4], before[b"source"][4])})
    nameless = model == "mapped-file" or (model in {"mapped-owner", "mapped-xattr"} and verb != "mkdir")
    if verb in {"create", "mkdir", "symlink", "mknod"} and not nameless:
        half.append({**before, b"new": ()})  # any owner and mode: it has a name before it has those
    if verb == "chown" and model != "mapped-file":
        source, done = before[b"source"], after[b"source"]
        half.append({**before, b"source": (done[0], *source[1:])})  # the set-user bit goes before the owner changes
    return half


def same(found: State, legal: State) -> bool:
    return found.keys() == legal.keys() and all(not legal[name] or found[name] == legal[name] for name in legal)


@pytest.mark.parametrize("verb", VERBS)
def test_as_before_or_as_after(
    tmp_path: Path, serve: Callable[[Path], LocalNode], model: str, death: Death, verb: str
) -> None:
    if verb == "mknod" and model in {"passthrough", "none"} and os.geteuid() != 0:
        pytest.skip("only root makes FIFOs for others")
    begin = tmp_path / "begin"
    begin.mkdir()
    prepare(serve(begin))
    before = state(serve(begin))
    done = copy(begin, tmp_path / "done")
    VERBS[verb](serve(done))
    after = state(serve(done))
    if before == after and os.geteuid() != 0:
        pytest.skip("only root gives files away")
    assert before != after
    for number in range(100):
        folder = copy(begin, tmp_path / str(number))
        root = serve(folder)
        died = death.at(number, lambda: VERBS[verb](root))  # noqa: B023 - called here
        again = serve(folder)
        found = state(again)
        legal = [before, after, *partly(verb, model, before, after)] if died else [after]
        assert any(same(found, one) for one in legal), f"after {number} calls: {difference(found, before, after)}"
        for mode, uid, *_ in found.values():
            assert not int(str(mode), 8) & stat.S_ISUID or uid == ids()[0], "set-user for somebody else"
        goes_on(again, model)
        if not died:
            assert number > 0, "nothing was changed by any call that is watched"
            return
    raise AssertionError("never gets through")


def copy(folder: Path, to: Path) -> Path:
    """With owners, times, attributes and hard links."""
    os.system(f"cp -a '{folder}' '{to}'")
    return to


def difference(found: State, before: State, after: State) -> dict[bytes, object]:
    return {
        name: (found.get(name), before.get(name), after.get(name))
        for name in found.keys() | before.keys() | after.keys()
        if not found.get(name) == before.get(name) == after.get(name)
    }


def goes_on(root: LocalNode, model: str) -> None:
    """Whatever was left is in the way of nothing: everything can be changed, renamed
    and removed.
    """
    for name in state(root):
        node = root.walk(name)
        mode = node.getattr(GETATTR_BASIC).mode
        if not (stat.S_ISLNK(mode) and model in {"passthrough", "none", "mapped-owner"}):
            node.setattr(Changes(mode=0o700))
        directory = stat.S_ISDIR(mode)
        root.rename(name, root, b"renamed")
        if directory:
            for below in state(node):
                node.unlink(below, directory=False)
        root.unlink(b"renamed", directory=directory)
        node.release()
    assert state(root) == {}
    make(root, b"new", 0o640, *ids())
    assert state(root).keys() == {b"new"}


# -- what a killed server leaves of its temporary files ----------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "export"
    made.mkdir()
    return made


METADATA = records.DIRECTORY.decode()


def plant(folder: Path, *, age: float, name: str = "4711.0") -> Path:
    """A temporary file as a killed server leaves it."""
    left = folder / (records.TEMPORARY.decode() + name)
    left.write_bytes(b"virtfs.ui")
    now = left.stat().st_mtime
    os.utime(left, (now - age, now - age))
    return left


@pytest.mark.parametrize("model", ["mapped-file"])
class TestTemporaryFiles:
    def test_are_hidden(self, serve: Callable[[Path], LocalNode], folder: Path) -> None:
        plant(folder, age=0)
        root = serve(folder)
        assert state(root) == {}
        with pytest.raises(OSError, match="EINVAL"):
            root.walk(records.TEMPORARY + b"4711.0")

    def test_do_not_keep_a_directory(self, serve: Callable[[Path], LocalNode], folder: Path) -> None:
        root = serve(folder)
        root.mkdir(b"d", 0o755, *ids())
        make(root.walk(b"d"), b"f", 0o644, *ids())
        plant(folder / "d" / METADATA, age=0)
        root.walk(b"d").unlink(b"f", directory=False)
        root.unlink(b"d", directory=True)
        assert not (folder / "d").exists()

    def test_are_removed_by_the_next_change_there(self, serve: Callable[[Path], LocalNode], folder: Path) -> None:
        root = serve(folder)
        make(root, b"f", 0o644, *ids())
        left = [plant(folder / METADATA, age=100, name=name) for name in ("1.1", "aside.1.2")]
        young = plant(folder / METADATA, age=5, name="2.1")
        root.walk(b"f").setattr(Changes(mode=0o600))
        assert [path.exists() for path in (*left, young)] == [False, False, True]
        os.utime(young, (1, 1))  # it was somebody's then; now it is nobody's
        root.walk(b"f").setattr(Changes(mode=0o644))
        assert sorted(os.listdir(folder / METADATA)) == ["f"]

    def test_of_the_root_too(self, serve: Callable[[Path], LocalNode], folder: Path) -> None:
        root = serve(folder)
        root.setattr(Changes(mode=0o750))
        left = plant(folder, age=100)
        root.setattr(Changes(mode=0o755))
        assert not left.exists()
        assert (folder / records.ROOT.decode()).exists()

    def test_a_folder_is_looked_through_once(
        self, serve: Callable[[Path], LocalNode], folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looked: list[object] = []
        honest = records._entries
        monkeypatch.setattr(records, "_entries", lambda where: looked.append(where) or honest(where))
        root = serve(folder)
        make(root, b"f", 0o644, *ids())
        for mode in (0o600, 0o640, 0o644):
            root.walk(b"f").setattr(Changes(mode=mode))
        assert len(looked) == 1

    def test_that_cannot_be_looked_for_are_left(
        self, serve: Callable[[Path], LocalNode], folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(_: object) -> list[bytes]:
            raise OSError(int(Errno.EIO), "by order")

        monkeypatch.setattr(records, "_entries", fails)
        root = serve(folder)
        make(root, b"f", 0o644, *ids())
        root.walk(b"f").setattr(Changes(mode=0o600))
        assert root.walk(b"f").getattr(GETATTR_BASIC).mode & 0o777 == 0o600
