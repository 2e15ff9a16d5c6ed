"""mapped-owner: what is real, what is in attributes, whose word counts after a change by the host,
and folders of mapped-xattr.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.drivers.local.conftest import content, make, permissions, refusal
from tests.security.conftest import ME, NEW, Faults, image
from tests.security.test_mapped_xattr import GID, MODE, RDEV, UID, cannot, owned, tags
from tests.support.client import TIMEOUT

from ninep import host
from ninep.drivers.local import ExportError, LocalDriver, LocalNode
from ninep.errors import Refused
from ninep.host import Handle, Volume
from ninep.linux import NO_ID, O_RDWR, Errno
from ninep.node import Changes
from ninep.security import Unsuitable, suitable_model

HOST_MODE = "user.virtfs.host-mode"
OTHER = (ME[0] + 1, ME[1] + 2)


def number(value: int, width: int = 4) -> bytes:
    return value.to_bytes(width, "little")


def real(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def root(attach: Callable[..., LocalNode]) -> LocalNode:
    return attach("mapped-owner")


# -- what is real ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664, 0o755, 0o775, 0o777, 0o711])
def test_a_mode_that_the_host_can_have(root: LocalNode, folder: Path, mode: int) -> None:
    root.create(b"made", NEW, mode, *ME)[1].close()
    root.mkdir(b"d", mode | 0o100, *ME)
    make(root, b"changed", mode=0o640).setattr(Changes(mode=mode))
    assert [real(folder / name) for name in ("made", "d", "changed")] == [mode, mode | 0o100, mode]
    assert [tags(folder / name) for name in ("made", "d", "changed")] == [{}, {}, {}]
    assert [permissions(root.walk(name)) for name in (b"made", b"d", b"changed")] == [mode, mode | 0o100, mode]


@pytest.mark.parametrize(
    ("mode", "on_host"),
    [(0, 0o600), (0o444, 0o644), (0o555, 0o755), (0o200, 0o600), (0o4755, 0o755), (0o2711, 0o711), (0o1666, 0o666)],
)
def test_a_mode_that_the_host_cannot_have(root: LocalNode, folder: Path, mode: int, on_host: int) -> None:
    root.create(b"made", NEW, mode, *ME)[1].close()
    make(root, b"changed").setattr(Changes(mode=mode))
    for name in ("made", "changed"):
        assert real(folder / name) == on_host
        assert tags(folder / name) == {MODE: number(stat.S_IFREG | mode), HOST_MODE: number(on_host)}
        assert permissions(root.walk(name.encode())) == mode
    root.walk(b"made").setattr(Changes(mode=0o640))
    assert (real(folder / "made"), tags(folder / "made")) == (0o640, {})


@pytest.mark.parametrize(("mode", "on_host"), [(0o555, 0o755), (0o1777, 0o777), (0o2070, 0o770)])
def test_a_directorys_mode_that_the_host_cannot_have(root: LocalNode, folder: Path, mode: int, on_host: int) -> None:
    root.mkdir(b"d", mode, *ME)
    assert real(folder / "d") == on_host
    assert tags(folder / "d") == {MODE: number(stat.S_IFDIR | mode), HOST_MODE: number(on_host)}
    assert permissions(root.walk(b"d")) == mode


def test_the_umask_takes_nothing_away(root: LocalNode, folder: Path) -> None:
    before = os.umask(0o077)
    try:
        root.create(b"file", NEW, 0o755, *ME)[1].close()
        root.mkdir(b"d", 0o755, *ME)
    finally:
        os.umask(before)
    assert (real(folder / "file"), real(folder / "d")) == (0o755, 0o755)


def test_nor_does_a_default_acl_of_the_host(root: LocalNode, folder: Path) -> None:
    entries = ((1, 6, -1), (2, 6, 12345), (4, 0, -1), (16, 6, -1), (32, 0, -1))
    acl = number(2) + b"".join(
        number(tag, 2) + number(bits, 2) + number(who & 0xFFFFFFFF) for tag, bits, who in entries
    )
    try:
        os.setxattr(folder, "system.posix_acl_default", acl)
    except OSError as error:
        pytest.skip(f"this filesystem has no ACLs: {error}")
    root.create(b"file", NEW, 0o755, *ME)[1].close()
    assert permissions(root.walk(b"file")) == real(folder / "file") == 0o755


def test_fmode_and_dmode_are_what_there_is_at_least(attach: Callable[..., LocalNode], folder: Path) -> None:
    root = attach("mapped-owner", fmode=0o040, dmode=0o050)
    root.create(b"file", NEW, 0o604, *ME)[1].close()
    root.mkdir(b"d", 0o700, *ME)
    assert (real(folder / "file"), real(folder / "d")) == (0o644, 0o750)
    assert (permissions(root.walk(b"file")), permissions(root.walk(b"d"))) == (0o604, 0o700)


def test_links(root: LocalNode, folder: Path) -> None:
    root.symlink(b"link", b"../target", *OTHER)
    root.link(root.walk(b"link"), b"hard")
    assert [os.readlink(folder / name) for name in ("link", "hard")] == ["../target"] * 2
    assert (folder / "link").lstat().st_ino == (folder / "hard").lstat().st_ino
    assert [root.walk(name).readlink() for name in (b"link", b"hard")] == [b"../target"] * 2


def test_nothing_of_an_owner_is_real(root: LocalNode, folder: Path) -> None:
    root.create(b"file", NEW, 0o644, *OTHER)[1].close()
    found = (folder / "file").stat()
    assert (found.st_uid, found.st_gid) == ME
    assert tags(folder / "file") == {UID: number(OTHER[0]), GID: number(OTHER[1])}
    assert owned(root.walk(b"file")) == (0o100644, *OTHER, 0)


def test_an_owner_that_the_host_shows_anyway_is_not_written(root: LocalNode, folder: Path) -> None:
    node = make(root, b"file")
    root.create(b"none", NEW, 0o644, NO_ID, NO_ID)[1].close()
    assert tags(folder / "file") == tags(folder / "none") == {}
    node.setattr(Changes(uid=OTHER[0], gid=OTHER[1]))
    assert tags(folder / "file").keys() == {UID, GID}
    node.setattr(Changes(uid=ME[0]))
    assert tags(folder / "file").keys() == {GID}
    assert owned(node) == (0o100644, ME[0], OTHER[1], 0)


@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_what_only_root_could_make_is_an_empty_file(root: LocalNode, folder: Path, kind: int) -> None:
    device = kind in {stat.S_IFCHR, stat.S_IFBLK}
    root.mknod(b"node", kind | 0o666, 0x103 if device else 0, *ME)
    assert ((folder / "node").stat().st_mode, (folder / "node").read_bytes()) == (stat.S_IFREG | 0o600, b"")
    assert tags(folder / "node") == {MODE: number(kind | 0o666)} | ({RDEV: number(0x103, 8)} if device else {})
    node = root.walk(b"node")
    assert owned(node) == (kind | 0o666, *ME, 0x103 if device else 0)
    node.setattr(Changes(mode=0o4711))
    assert owned(node)[0] == kind | 0o4711
    assert real(folder / "node") == 0o600
    (folder / "node").chmod(0o644)  # which means nothing for what is no such file
    assert owned(node)[0] == kind | 0o4711


# -- links have no owner of their own ----------------------------------------------------------------------------------


def test_a_link_belongs_to_whom_its_directory_belongs(root: LocalNode, folder: Path) -> None:
    root.mkdir(b"d", 0o755, 5, 6)
    (folder / "d" / "by-host").symlink_to("x")
    folder_node = root.walk(b"d")
    folder_node.symlink(b"by-guest", b"x", 7, 8)
    for name in (b"by-host", b"by-guest"):
        link = folder_node.walk(name)
        assert owned(link) == (0o120777, 5, 6, 0)
        folder_node.setattr(Changes(uid=50))
        assert owned(link)[1:3] == (50, 6)
        folder_node.setattr(Changes(uid=5, by=0))
    root.symlink(b"in-the-root", b"x", 7, 8)
    assert owned(root.walk(b"in-the-root"))[1:3] == owned(root)[1:3]


def test_a_chown_of_a_link_is_accepted_and_forgotten(root: LocalNode, folder: Path) -> None:
    (folder / "target").write_bytes(b"")
    root.symlink(b"link", b"target", *ME)
    link = root.walk(b"link")
    before, end = (folder / "link").lstat().st_ctime_ns, time.monotonic() + TIMEOUT
    while (folder / "link").lstat().st_ctime_ns == before:
        assert time.monotonic() < end, "ctime stands still"
        link.setattr(Changes(uid=OTHER[0], gid=OTHER[1], by=OTHER[0]))
    assert owned(link)[1:3] == owned(root)[1:3]
    assert (folder / "link").lstat().st_uid == ME[0]
    assert refusal(link.setattr, Changes(mode=0o600)) is Errno.EOPNOTSUPP
    assert tags(folder / "target") == {}


def test_a_link_whose_directory_is_gone(root: LocalNode) -> None:
    root.mkdir(b"d", 0o755, *OTHER)
    root.walk(b"d").symlink(b"link", b"x", *ME)
    link = root.walk(b"d").walk(b"link")
    root.walk(b"d").unlink(b"link", directory=False)
    root.unlink(b"d", directory=True)
    assert owned(link) == (0o120777, *ME, 0)


@pytest.mark.parametrize("errno", [Errno.EPERM, Errno.EOPNOTSUPP])
def test_where_the_host_has_no_links(
    root: LocalNode, folder: Path, monkeypatch: pytest.MonkeyPatch, errno: Errno
) -> None:
    def refuse(*_: object) -> None:
        raise Refused(errno)

    monkeypatch.setattr(host, "make_symlink", refuse)
    root.symlink(b"link", b"target", *OTHER)
    assert (folder / "link").read_bytes() == b"target"
    assert root.walk(b"link").readlink() == b"target"
    assert owned(root.walk(b"link")) == (0o120777, *OTHER, 0)


# -- the host's changes count ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guest", [0o644, 0o755, 0o444, 0o000, 0o4755, 0o6711])
@pytest.mark.parametrize("on_host", [0o600, 0o700, 0o640, 0o755, 0o400, 0o777])
def test_a_chmod_by_the_host_counts(root: LocalNode, folder: Path, guest: int, on_host: int) -> None:
    make(root, b"file").setattr(Changes(mode=guest))
    left = real(folder / "file")
    (folder / "file").chmod(on_host)
    assert permissions(root.walk(b"file")) == (guest if on_host == left else on_host)
    root.walk(b"file").setattr(Changes(mode=0o644))
    assert permissions(root.walk(b"file")) == real(folder / "file") == 0o644


def test_and_so_it_does_for_a_server_started_anew(attach: Callable[..., LocalNode], folder: Path) -> None:
    root = attach("mapped-owner")
    root.mkdir(b"d", 0o1777, *OTHER)
    make(root, b"file", mode=0o4755)
    (folder / "d").chmod(0o700)
    (folder / "file").chmod(0o600)
    again = attach("mapped-owner")
    assert (permissions(again.walk(b"d")), permissions(again.walk(b"file"))) == (0o700, 0o600)
    assert owned(again.walk(b"d"))[1:3] == OTHER


def test_set_user_and_sticky_bits_are_set_by_the_host_alone(root: LocalNode, folder: Path) -> None:
    for name, mode in (("program", 0o4755), ("shared", 0o2775)):
        (folder / name).mkdir() if name == "shared" else (folder / name).write_bytes(b"")
        (folder / name).chmod(mode)
    program, shared = root.walk(b"program"), root.walk(b"shared")
    assert (permissions(program), permissions(shared)) == (0o4755, 0o2775)
    program.setattr(Changes(mode=0o4711))  # what is there may stay
    assert (real(folder / "program"), tags(folder / "program")) == (0o4711, {})
    program.setattr(Changes(mode=0o711))  # or go
    assert real(folder / "program") == 0o711
    program.setattr(Changes(mode=0o4711))  # but not come back
    assert (real(folder / "program"), permissions(program)) == (0o711, 0o4711)
    shared.mkdir(b"below", 0o755, *ME)
    assert (real(folder / "shared" / "below"), permissions(shared.walk(b"below"))) == (0o2755, 0o2755)


@pytest.mark.parametrize("mode", [0o4755, 0o2755])
def test_a_chmod_to_the_mode_that_is_there_leaves_set_user(root: LocalNode, folder: Path, mode: int) -> None:
    (folder / "program").write_bytes(b"")
    (folder / "program").chmod(mode)
    changed = (folder / "program").stat().st_ctime_ns
    root.walk(b"program").setattr(Changes(mode=mode))
    assert (real(folder / "program"), tags(folder / "program")) == (mode, {})
    assert (folder / "program").stat().st_ctime_ns >= changed


@pytest.mark.parametrize("set_by_host", [True, False])
def test_a_write_by_others_than_root_drops_set_user(root: LocalNode, folder: Path, *, set_by_host: bool) -> None:
    node = make(root, b"program", mode=0o755)
    if set_by_host:
        (folder / "program").chmod(0o4755)
    else:
        node.setattr(Changes(mode=0o4755))
    assert permissions(node) == 0o4755
    file = node.open(O_RDWR)
    file.write(0, b"new", by=1000)
    file.close()
    assert permissions(node) == real(folder / "program") == 0o755


# -- what the host will not do is kept in attributes -------------------------------------------------------------------


def refuses(*_: object) -> None:
    raise Refused(Errno.EPERM)


@pytest.mark.parametrize("chmod", [refuses, lambda *_: None], ids=["refused", "ignored"])
def test_permission_bits_that_the_host_does_not_take(
    root: LocalNode, folder: Path, monkeypatch: pytest.MonkeyPatch, chmod: Callable[..., None]
) -> None:
    """The file of another user of the host in the first case, a mount of CIFS in the second."""
    (folder / "file").write_bytes(b"")
    (folder / "file").chmod(0o664)
    monkeypatch.setattr(host, "chmod", chmod)
    node = root.walk(b"file")
    node.setattr(Changes(mode=0o755))
    assert tags(folder / "file") == {MODE: number(0o100755), HOST_MODE: number(0o664)}
    assert permissions(node) == 0o755
    (folder / "file").chmod(0o600)
    assert permissions(node) == 0o600


# -- folders of mapped-xattr -------------------------------------------------------------------------------------------


def by_mapped_xattr(root: LocalNode) -> None:
    for name, mode in ((b"program", 0o755), (b"plain", 0o644), (b"mine", 0o400), (b"setuid", 0o4711)):
        node, file = root.create(name, NEW, mode, *OTHER)
        file.write(0, b"of " + name, by=0)
        file.close()
        node.release()
    root.mkdir(b"d", 0o1777, *OTHER)
    root.symlink(b"link", b"plain", *OTHER)
    root.mknod(b"null", stat.S_IFCHR | 0o666, 0x103, *OTHER)
    root.mknod(b"pipe", stat.S_IFIFO | 0o600, 0, *OTHER)


def everything(root: LocalNode) -> dict[bytes, object]:
    names = (b"program", b"plain", b"mine", b"setuid", b"d", b"link", b"null", b"pipe")
    return {name: owned(root.walk(name)) for name in names} | {b"->": root.walk(b"link").readlink()}


def test_are_taken_over_as_they_are(attach: Callable[..., LocalNode], folder: Path) -> None:
    old = attach("mapped-xattr")
    by_mapped_xattr(old)
    before = image(folder)
    root = attach("mapped-owner")
    assert everything(root) == everything(old)
    assert image(folder) == before
    assert content(root.walk(b"program")) == b"of program"


def test_become_real_by_a_chmod(attach: Callable[..., LocalNode], folder: Path) -> None:
    by_mapped_xattr(attach("mapped-xattr"))
    root = attach("mapped-owner")
    for name, mode in ((b"program", 0o755), (b"plain", 0o644), (b"d", 0o755)):
        root.walk(name).setattr(Changes(mode=mode))
        assert real(folder / name.decode()) == mode
        assert tags(folder / name.decode()).keys() == {UID, GID}
        assert owned(root.walk(name))[1:3] == OTHER


def test_a_link_that_is_a_file_stays_one_until_it_is_made_again(attach: Callable[..., LocalNode], folder: Path) -> None:
    by_mapped_xattr(attach("mapped-xattr"))
    root = attach("mapped-owner")
    root.rename(b"link", root, b"moved")
    assert root.walk(b"moved").readlink() == b"plain"
    root.symlink(b"new", b"elsewhere", *ME)
    root.rename(b"new", root, b"moved")
    assert os.readlink(folder / "moved") == "elsewhere"


def test_a_chmod_by_the_host_counts_there_too(attach: Callable[..., LocalNode], folder: Path) -> None:
    by_mapped_xattr(attach("mapped-xattr"))
    (folder / "plain").chmod(0o755)
    (folder / "d").chmod(0o750)
    root = attach("mapped-owner")
    assert (permissions(root.walk(b"plain")), permissions(root.walk(b"d"))) == (0o755, 0o750)


def test_the_way_back(attach: Callable[..., LocalNode]) -> None:
    """mapped-xattr, and so the hypervisor, shows what this model left."""
    root = attach("mapped-owner")
    by_mapped_xattr(root)
    found = everything(attach("mapped-xattr"))
    link = found.pop(b"link")
    assert isinstance(link, tuple)
    assert link[0] == 0o120777
    assert found == {name: seen for name, seen in everything(root).items() if name != b"link"}


@pytest.mark.parametrize(
    ("on_host", "written", "shown"),
    [
        (0o600, {MODE: 0o100755}, 0o755),  # as mapped-xattr leaves it
        (0o644, {MODE: 0o100444}, 0o444),  # as this model would have set it
        (0o644, {MODE: 0o100755}, 0o644),  # as neither would
        (0o600, {MODE: 0o100755, HOST_MODE: 0o755}, 0o600),
        (0o755, {MODE: 0o104755, HOST_MODE: 0o755}, 0o4755),
        (0o755, {HOST_MODE: 0o644}, 0o755),
        (0o600, {MODE: 0o444}, 0o444),  # no type: a client of the hypervisor destroyed it
        (0o600, {MODE: 0o040444}, 0o444),  # a directory that is none
    ],
)
def test_which_mode_counts(root: LocalNode, folder: Path, on_host: int, written: dict[str, int], shown: int) -> None:
    (folder / "file").write_bytes(b"")
    (folder / "file").chmod(on_host)
    for name, value in written.items():
        os.setxattr(folder / "file", name, number(value))
    assert owned(root.walk(b"file"))[0] == stat.S_IFREG | shown


# -- failures, cost, attributes ----------------------------------------------------------------------------------------

MAKING: dict[str, Callable[[LocalNode], object]] = {
    "create": lambda root: root.create(b"new", NEW, 0o4444, *OTHER)[1].close(),
    "mkdir": lambda root: root.mkdir(b"new", 0o1555, *OTHER),
    "symlink": lambda root: root.symlink(b"new", b"target", *OTHER),
    "mknod": lambda root: root.mknod(b"new", stat.S_IFCHR | 0o600, 5, *OTHER),
}


@pytest.mark.parametrize("verb", MAKING)
@pytest.mark.parametrize("unnamed", [True, False])
def test_a_failed_make_leaves_nothing(
    root: LocalNode, folder: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch, verb: str, unnamed: bool
) -> None:
    if not unnamed:
        monkeypatch.setattr(host, "open_unnamed", faults.wrap("open_unnamed", cannot))
    for failed in faults.each(lambda: MAKING[verb](root)):
        assert image(folder) == {}, f"after {failed} failed"
    assert list(image(folder)) == ["new"]


CHANGES = [Changes(mode=0o4511), Changes(mode=0o711), Changes(uid=70, gid=80), Changes(uid=71, gid=81, by=70)]


def test_a_failed_change_changes_nothing(root: LocalNode, folder: Path, faults: Faults) -> None:
    make(root, b"file", mode=0o640)
    node = root.walk(b"file")
    for change in (*CHANGES, Changes(mode=0o4755), *reversed(CHANGES)):
        before, seen = image(folder), owned(node)
        for failed in faults.each(lambda change=change: node.setattr(change)):
            assert (image(folder), owned(node)) == (before, seen), f"{change}, after {failed} failed"


def test_a_file_without_attributes_costs_one_look_at_them(
    root: LocalNode, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def counted(verb: str, call: Callable[..., object]) -> Callable[..., object]:
        return lambda *arguments: asked.append(verb) or call(*arguments)

    (folder / "file").write_bytes(b"")
    os.utime(folder / "file", ns=(1, 1))
    for verb in ("get_xattr", "list_xattrs"):
        monkeypatch.setattr(host, verb, counted(verb, getattr(host, verb)))
    node = root.walk(b"file")
    asked.clear()
    owned(node)
    assert asked in ([], ["list_xattrs"])


def test_the_attributes_are_hidden(root: LocalNode) -> None:
    node = make(root, b"file", mode=0o4444)
    name = HOST_MODE.encode()
    assert node.listxattr() == []
    assert refusal(node.getxattr, name) is Errno.ENODATA
    assert refusal(node.setxattr, name, number(0o777), 0) is Errno.EACCES
    assert refusal(node.removexattr, name) is Errno.EACCES


def test_attributes_that_cannot_be_listed(root: LocalNode, monkeypatch: pytest.MonkeyPatch) -> None:
    make(root, b"file", mode=0o4444).setattr(Changes(uid=5, by=0))
    monkeypatch.setattr(host, "list_xattrs", cannot)
    assert owned(root.walk(b"file"))[:2] == (0o104444, 5)
    plain = make(root, b"plain", mode=0o600)
    for node in (root.walk(b"file"), plain):
        for mode in (0o444, 0o644, 0o755, 0o4755):
            node.setattr(Changes(uid=6, gid=ME[1], mode=mode, by=0))
            assert owned(node) == (stat.S_IFREG | mode, 6, ME[1], 0)


def test_a_filesystem_that_says_of_an_empty_list_that_there_is_none(
    root: LocalNode, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_: object) -> None:
        raise Refused(Errno.ENODATA)

    (folder / "file").write_bytes(b"")
    (folder / "file").chmod(0o640)
    monkeypatch.setattr(host, "list_xattrs", none)
    assert owned(root.walk(b"file")) == (0o100640, *ME, 0)


def test_a_link_that_became_something_else(root: LocalNode, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = host.make_symlink

    def swapped(dir: Handle, name: bytes, target: bytes) -> None:
        honest(dir, name, target)
        os.unlink(folder / "link")
        (folder / "link").write_bytes(b"not ours")

    monkeypatch.setattr(host, "make_symlink", swapped)
    assert refusal(root.symlink, b"link", b"target", *ME) is Errno.ESTALE
    assert (folder / "link").read_bytes() == b"not ours"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the host has no FIFOs")
def test_a_fifo_of_the_host_has_real_bits_and_no_owner(root: LocalNode, folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    node = root.walk(b"fifo")
    node.setattr(Changes(mode=0o604))
    node.setattr(Changes(uid=OTHER[0]))
    assert owned(node) == (stat.S_IFIFO | 0o604, *ME, 0)
    assert real(folder / "fifo") == 0o604


def test_a_removed_file_whose_attributes_went_with_its_name(
    root: LocalNode, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where attributes are reached by the name (macOS, Windows) a client that holds the file still
    sees its owner, and may change it.
    """
    node = make(root, b"file", mode=0o4755)
    node.saved_attributes = owned(node)
    node.setattr(Changes(uid=9, mode=0o600))
    assert owned(node)[:2] == (0o100600, 9)
    assert real(folder / "file") == 0o755


# -- the default -------------------------------------------------------------------------------------------------------


def volume(**what: object) -> Volume:
    found = Volume("ext4", slow=False, xattrs=True, posix_owners=True, unique_ino=True, read_only=False)
    return found._replace(**what)


def test_what_suits_a_filesystem() -> None:
    assert suitable_model(volume()) == "mapped-owner"
    assert suitable_model(volume(kind="NTFS", posix_owners=False)) == "mapped-xattr"
    for owners in (True, False):
        with pytest.raises(Unsuitable, match=r"\(vfat\) has no extended attributes .* none .* mapped-file "):
            suitable_model(volume(kind="vfat", posix_owners=owners, xattrs=False))


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({"xattrs": False}, r"which its filesystem \(x\) does not have; none .* mapped-file"),
        ({"posix_owners": False}, r"permission bits, which its filesystem \(x\) does not have; mapped-xattr"),
    ],
)
def test_a_filesystem_that_will_not_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch, what: dict[str, bool], said: str
) -> None:
    monkeypatch.setattr(host, "volume", lambda _: volume(kind="x", **what))
    with pytest.raises(ExportError, match=said):
        LocalDriver(str(folder), "mapped-owner")


def test_the_default_of_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for driver in (LocalDriver(str(folder)), LocalDriver(str(folder), "auto")):
        assert driver.security_model == driver._table.model.name == "mapped-owner"
        driver.close()
    with pytest.raises(ExportError, match="there is no such folder"):
        LocalDriver(str(folder / "nowhere"))
    monkeypatch.setattr(host, "volume", lambda _: volume(kind="vfat", xattrs=False))
    with pytest.raises(ExportError, match=r"cannot export .*: its filesystem \(vfat\) has no extended attributes"):
        LocalDriver(str(folder))
