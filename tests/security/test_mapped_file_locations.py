"""mapped-file: a record is found by parent and name. When others move files about, a fid neither
shows nor changes another file's record.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.drivers.local.conftest import refusal
from tests.security.conftest import NEW, image

from ninep import host
from ninep.drivers.local import LocalNode, moves
from ninep.errors import Refused
from ninep.host import Handle
from ninep.linux import GETATTR_BASIC, Errno
from ninep.node import Changes
from ninep.security import filesystems

METADATA = ".virtfs_metadata"
SHADOW = b"virtfs.uid=77\nvirtfs.gid=77\nvirtfs.mode=33152\n"


@pytest.fixture
def root(attach: Callable[..., LocalNode]) -> LocalNode:
    return attach("mapped-file")


def owned(node: LocalNode) -> tuple[int, int, int]:
    attributes = node.getattr(GETATTR_BASIC)
    return attributes.mode, attributes.uid, attributes.gid


def make(root: LocalNode, name: bytes, mode: int, uid: int) -> LocalNode:
    node, file = root.create(name, NEW, mode, uid, uid)
    file.close()
    node.get_path_handle()
    return node


@pytest.fixture(params=["young", "settled"])
def mine(request: pytest.FixtureRequest, root: LocalNode, folder: Path, monkeypatch: pytest.MonkeyPatch) -> LocalNode:
    """A file that was made just now; or so long ago that its ctime tells of every rename, and at a
    location that was confirmed.
    """
    make(root, b"shadow", 0o600, 77)
    mine = make(root, b"mine", 0o666, 1000)
    if request.param == "settled":
        monkeypatch.setattr(filesystems, "long_ago", lambda *_: True)
        assert owned(mine) == (stat.S_IFREG | 0o666, 1000, 1000)
        if not host.BY_NAME:
            assert looks(mine, monkeypatch) == 0
        wait_for_a_later_ctime(folder)
    return mine


def looks(node: LocalNode, monkeypatch: pytest.MonkeyPatch) -> int:
    """How often the host is asked for a location in a getattr."""
    asked: list[object] = []
    with monkeypatch.context() as patch:
        plain = moves.location
        patch.setattr(moves, "location", lambda node: (asked.append(node), plain(node))[1])
        node.getattr(GETATTR_BASIC)
    return len(asked)


def wait_for_a_later_ctime(folder: Path) -> None:
    """What is changed from now on has another ctime than what was changed before."""
    probe = folder / "probe"
    probe.touch()
    first = probe.stat().st_ctime_ns
    while probe.stat().st_ctime_ns == first:
        probe.touch()
    probe.unlink()


Swap = Callable[[], None]


@pytest.fixture(params=["host", "export"])
def swap(request: pytest.FixtureRequest, mine: LocalNode, folder: Path, attach: Callable[..., LocalNode]) -> Swap:
    """Somebody else gives the name of ``mine`` to ``shadow``, whose record goes along."""
    del mine

    def by_host() -> None:
        os.rename(folder / "mine", folder / "kept")
        os.rename(folder / METADATA / "mine", folder / METADATA / "kept")
        os.rename(folder / "shadow", folder / "mine")
        os.rename(folder / METADATA / "shadow", folder / METADATA / "mine")

    other = attach("mapped-file")

    def by_export() -> None:
        other.rename(b"mine", other, b"kept")
        other.rename(b"shadow", other, b"mine")

    return by_host if request.param == "host" else by_export


CHANGES: dict[str, Changes] = {
    "chmod": Changes(mode=0o777),
    "chown": Changes(uid=1000, gid=1000, by=0),
    "chown and drop": Changes(uid=1000, by=1000),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_through_a_fid_of_another_file(mine: LocalNode, swap: Swap, folder: Path, change: str) -> None:
    swap()
    before = image(folder)
    assert refusal(mine.setattr, CHANGES[change]) is Errno.ESTALE
    assert image(folder) == before
    assert (folder / METADATA / "mine").read_bytes() == SHADOW


def test_a_file_whose_name_leads_elsewhere_has_no_record(mine: LocalNode, swap: Swap, root: LocalNode) -> None:
    swap()
    assert owned(mine) == (stat.S_IFREG | 0o600, os.geteuid(), os.getegid())
    assert owned(root.walk(b"mine")) == (stat.S_IFREG | 0o600, 77, 77)
    assert owned(root.walk(b"kept")) == (stat.S_IFREG | 0o666, 1000, 1000)
    root.rename(b"mine", root, b"shadow")
    root.rename(b"kept", root, b"mine")
    assert owned(mine) == (stat.S_IFREG | 0o666, 1000, 1000)


def test_no_second_name_by_the_name_of_another(mine: LocalNode, swap: Swap, root: LocalNode, folder: Path) -> None:
    swap()
    before = image(folder)
    assert refusal(root.link, mine, b"new") is Errno.ENOENT
    assert image(folder) == before


def test_a_directory(root: LocalNode, folder: Path) -> None:
    for name, uid in ((b"private", 0), (b"home", 1000)):
        root.mkdir(name, 0o700, uid, uid)
    home = root.walk(b"home")
    os.rename(folder / "home", folder / "kept")
    os.rename(folder / "private", folder / "home")
    assert owned(home)[1] == os.geteuid()
    assert refusal(home.setattr, Changes(mode=0o777)) is Errno.ESTALE


def test_a_missing_name(mine: LocalNode, folder: Path) -> None:
    os.rename(folder / "mine", folder / "kept")
    before = image(folder)
    assert refusal(mine.setattr, Changes(mode=0o777)) is Errno.ESTALE
    assert image(folder) == before


def test_a_swap_between_look_and_change(
    mine: LocalNode, swap: Swap, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record that was opened is the file's own; it is written wherever it is now, or not at
    all.
    """
    plain, due = host.open_at, [swap]

    def opening(dir: Handle, name: bytes, *arguments: int) -> Handle:
        handle = plain(dir, name, *arguments)
        if name == b"mine" and due:
            due.pop()()
        return handle

    monkeypatch.setattr(host, "open_at", opening)
    assert refusal(mine.setattr, Changes(mode=0o777)) is Errno.ESTALE
    assert not due
    assert (folder / METADATA / "mine").read_bytes() == SHADOW


def test_a_swap_just_before_the_write(
    mine: LocalNode, swap: Swap, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, due = host.write, [swap]

    def writing(*arguments: object) -> int:
        if due:
            due.pop()()
        return plain(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(host, "write", writing)
    mine.setattr(Changes(mode=0o777))
    assert (folder / METADATA / "mine").read_bytes() == SHADOW
    assert b"virtfs.mode=33279\n" in (folder / METADATA / "kept").read_bytes()


@pytest.mark.parametrize("unnamed", [True, False])
def test_a_first_record_that_comes_too_late_is_taken_back(
    root: LocalNode, folder: Path, monkeypatch: pytest.MonkeyPatch, unnamed: bool
) -> None:
    for name in ("mine", "native"):
        (folder / name).touch()
    mine = root.walk(b"mine")
    verb = "make_link" if unnamed else "rename"
    plain, due = getattr(host, verb), [True]

    def publishing(*arguments: object) -> None:
        if due:
            due.pop()
            os.rename(folder / "mine", folder / "kept")
            os.rename(folder / "native", folder / "mine")
        plain(*arguments)

    if not unnamed:
        monkeypatch.setattr(host, "open_unnamed", cannot)
    monkeypatch.setattr(host, verb, publishing)
    assert refusal(mine.setattr, Changes(mode=0o777)) is Errno.ESTALE
    assert not due
    assert os.listdir(folder / METADATA) == []


def test_a_client_that_renames_meanwhile_loses_nothing(
    mine: LocalNode, root: LocalNode, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, due = host.open_at, [True]

    def opening(dir: Handle, name: bytes, *arguments: int) -> Handle:
        handle = plain(dir, name, *arguments)
        if name == b"mine" and due:
            due.pop()
            root.rename(b"mine", root, b"renamed")
        return handle

    monkeypatch.setattr(host, "open_at", opening)
    mine.setattr(Changes(mode=0o604))
    assert owned(root.walk(b"renamed")) == (stat.S_IFREG | 0o604, 1000, 1000)
    assert sorted(os.listdir(folder / METADATA)) == ["renamed", "shadow"]


def test_a_removal_leaves_the_record_of_what_took_the_name(
    mine: LocalNode, root: LocalNode, attach: Callable[..., LocalNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    del mine
    other, plain = attach("mapped-file"), host.remove_file
    due = [True]

    def removing(dir: Handle, name: bytes) -> None:
        plain(dir, name)
        if due:
            due.pop()
            make(other, b"mine", 0o640, 7)

    monkeypatch.setattr(host, "remove_file", removing)
    root.unlink(b"mine", directory=False)
    assert owned(root.walk(b"mine")) == (stat.S_IFREG | 0o640, 7, 7)


def test_a_record_that_cannot_be_cut_means_the_same(mine: LocalNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "truncate", cannot)
    mine.setattr(Changes(uid=5, gid=5))
    assert owned(mine) == (stat.S_IFREG | 0o666, 5, 5)


def cannot(*_: object) -> None:
    raise Refused(Errno.EOPNOTSUPP)
