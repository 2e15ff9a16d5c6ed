"""passthrough: the host's own attributes, exactly; and what an ordinary user's server
makes of it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.drivers.local.conftest import refusal
from tests.security.conftest import ME, NEW, Faults, image

from ninep import host
from ninep.drivers.local import LocalNode
from ninep.errors import Refused
from ninep.host import ObjectRef
from ninep.linux import NO_ID, Errno
from ninep.node import Changes

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
def root(attach: Callable[..., LocalNode]) -> LocalNode:
    return attach("passthrough")


def own(path: Path) -> tuple[int, int, int]:
    found = path.lstat()
    return stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid


@ROOT_ONLY
def test_what_is_made_belongs_to_who_asked(root: LocalNode, folder: Path) -> None:
    root.create(b"file", NEW, 0o6751, 1000, 100)[1].close()
    root.mkdir(b"d", 0o2751, 1000, 100)
    root.symlink(b"l", b"x", 1000, 100)
    root.mknod(b"p", stat.S_IFIFO | 0o622, 0, 1000, 100)
    assert [own(folder / name) for name in ("file", "d", "p")] == [
        (0o6751, 1000, 100),
        (0o2751, 1000, 100),
        (0o622, 1000, 100),
    ]
    assert own(folder / "l")[1:] == (1000, 100)


@ROOT_ONLY
def test_one_of_uid_and_gid_may_be_left_to_the_host(root: LocalNode, folder: Path) -> None:
    (folder / "shared").mkdir()
    os.chown(folder / "shared", 5, 77)
    (folder / "shared").chmod(0o2755)
    root.walk(b"shared").create(b"file", NEW, 0o600, 1000, NO_ID)[1].close()
    assert own(folder / "shared" / "file") == (0o600, 1000, 77)


def test_exactly_the_mode_asked_for_below_a_setgid_directory(root: LocalNode, folder: Path) -> None:
    (folder / "shared").mkdir()
    (folder / "shared").chmod(0o2755)
    root.walk(b"shared").mkdir(b"plain", 0o755, *ME)
    root.walk(b"shared").mkdir(b"setgid", 0o2755, *ME)
    assert [own(folder / "shared" / name)[0] for name in ("plain", "setgid")] == [0o755, 0o2755]


def test_a_file_is_never_setuid_for_the_wrong_user(root: LocalNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made without the bits, given away, and only then made SUID."""
    modes: list[int] = []
    monkeypatch.setattr(host, "chown", lambda place, uid, gid: modes.append(host.stat(place.path_handle).st_mode))
    root.create(b"file", NEW, 0o4755, 1000, 100)[1].close()
    assert [stat.S_IMODE(mode) for mode in modes] == [0o755]


MAKING: dict[str, Callable[[LocalNode], object]] = {
    "create": lambda root: root.create(b"new", NEW, 0o4644, ME[0] + 5, 6)[1].close(),
    "mkdir": lambda root: root.mkdir(b"new", 0o2755, ME[0] + 5, 6),
    "symlink": lambda root: root.symlink(b"new", b"target", ME[0] + 5, 6),
    "mknod": lambda root: root.mknod(b"new", stat.S_IFIFO | 0o600, 0, ME[0] + 5, 6),
}


@ROOT_ONLY
@pytest.mark.parametrize("verb", MAKING)
def test_a_failed_make_leaves_nothing(root: LocalNode, folder: Path, faults: Faults, verb: str) -> None:
    for failed in faults.each(lambda: MAKING[verb](root)):
        assert image(folder) == {}, f"after {failed} failed"
    assert list(image(folder)) == ["new"]


def test_what_a_host_process_put_in_place_of_ours_is_not_touched(
    root: LocalNode, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "other").mkdir()
    before = own(folder / "other")
    path_handle = host.open_path

    def swapped(dir: host.Handle, name: bytes) -> host.Handle:
        os.rmdir(folder / "new")
        os.rename(folder / "other", folder / "new")
        return path_handle(dir, name)

    monkeypatch.setattr(host, "open_path", swapped)
    assert refusal(root.mkdir, b"new", 0o1777, 4711, 4711) is Errno.ESTALE
    assert own(folder / "new") == before


def not_ours(place: ObjectRef, uid: int, gid: int) -> None:
    raise Refused(Errno.EPERM)


@pytest.fixture
def ordinary(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if an ordinary user ran the server."""
    monkeypatch.setattr(host, "privileged", lambda: False)
    monkeypatch.setattr(host, "chown", not_ours)


@pytest.mark.usefixtures("ordinary")
def test_an_ordinary_user_keeps_what_others_make_and_says_so_once(
    attach: Callable[..., LocalNode], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = attach("passthrough")
    for verb in MAKING.values():
        verb(root)
        assert own(folder / "new")[1:] == ME
        root.walk(b"new").remove()
    assert [record.getMessage() for record in caplog.records] == [
        "not privileged: new files belong to the user who runs the server, whichever user makes them"
    ]
    root.create(b"file", NEW, 0o600, *ME)[1].close()
    assert refusal(root.walk(b"file").setattr, Changes(uid=4711)) is Errno.EPERM


@pytest.mark.usefixtures("ordinary")
def test_none_says_that_it_worked(
    attach: Callable[..., LocalNode], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = attach("none")
    for verb in MAKING.values():
        verb(root)
        root.walk(b"new").setattr(Changes(uid=4711, gid=4711))
        assert own(folder / "new")[1:] == ME
        root.walk(b"new").remove()
    root.create(b"file", NEW, 0o640, *ME)[1].close()
    monkeypatch.setattr(host, "chmod", not_ours_either)
    root.walk(b"file").setattr(Changes(mode=0o600))
    assert own(folder / "file")[0] == 0o640


def not_ours_either(place: ObjectRef, mode: int) -> None:
    raise Refused(Errno.EPERM)


@pytest.mark.parametrize("model", ["passthrough", "none"])
def test_other_errors_are_errors(attach: Callable[..., LocalNode], monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    root = attach(model)

    def broken(*arguments: object) -> None:
        raise Refused(Errno.EROFS)

    monkeypatch.setattr(host, "chown", broken)
    monkeypatch.setattr(host, "chmod", broken)
    assert refusal(root.setattr, Changes(uid=5)) is Errno.EROFS
    assert refusal(root.setattr, Changes(mode=0o700)) is Errno.EROFS
    assert refusal(root.create, b"new", NEW, 0o644, 4711, 4711) is Errno.EROFS


def test_none_has_no_acls(attach: Callable[..., LocalNode]) -> None:
    for name in (b"system.posix_acl_access", b"system.posix_acl_default"):
        assert refusal(attach("none").getxattr, name) is Errno.EOPNOTSUPP
        assert refusal(attach("none").setxattr, name, b"\2\0\0\0", 0) is Errno.EOPNOTSUPP
