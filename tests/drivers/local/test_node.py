"""The verbs of a local node, in each security model."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.drivers.local.conftest import FOR_THE_HOST, ME, NEW, content, make, permissions, refused

from ninep.drivers.local import LocalNode
from ninep.drivers.local.node_table import IDLE_DIRECTORIES
from ninep.linux import (
    GETATTR_ALL,
    GETATTR_BASIC,
    GETATTR_BTIME,
    NO_ID,
    O_APPEND,
    O_CREAT,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
    XATTR_CREATE,
    XATTR_REPLACE,
    Errno,
)
from ninep.node import NOW, Changes, Qid
from ninep.wire.types import QT_DIR, QT_FILE, QT_SYMLINK


@pytest.mark.parametrize("mode", [0o600, 0o777, 0o4755, 0o2644, 0o1666])
@pytest.mark.parametrize("umask", [0, 0o77])
def test_exactly_the_permissions_asked_for(root: LocalNode, mode: int, umask: int) -> None:
    before = os.umask(umask)
    try:
        assert permissions(make(root, b"file", mode=mode)) == mode
        root.mkdir(b"folder", mode, *ME)
        root.mknod(b"fifo", stat.S_IFIFO | mode, 0, *ME)
    finally:
        os.umask(before)
    assert permissions(root.walk(b"folder")) == mode
    assert permissions(root.walk(b"fifo")) == mode


SECOND = 1_000_000_000


def test_what_is_made_has_the_qid_of_its_type(root: LocalNode) -> None:
    made = {
        b"file": make(root, b"file").qid,
        b"folder": root.mkdir(b"folder", 0o755, *ME),
        b"link": root.symlink(b"link", b"file", *ME),
        b"socket": root.mknod(b"socket", stat.S_IFSOCK | 0o600, 0, *ME),
    }
    assert [qid.type for qid in made.values()] == [QT_FILE, QT_DIR, QT_SYMLINK, QT_FILE]
    for name, qid in made.items():
        assert isinstance(qid, Qid)
        assert (qid.type, qid.path) == (root.walk(name).qid.type, root.walk(name).qid.path)


def test_names_that_are_taken(root: LocalNode) -> None:
    make(root, b"file", b"old")
    assert refused(Errno.EEXIST, root.create, b"file", NEW, 0o600, *ME)
    assert refused(Errno.EEXIST, root.mkdir, b"file", 0o700, *ME)
    assert refused(Errno.EEXIST, root.symlink, b"file", b"x", *ME)
    assert refused(Errno.EEXIST, root.mknod, b"file", stat.S_IFIFO, 0, *ME)
    assert refused(Errno.EEXIST, root.link, root.walk(b"file"), b"file")
    assert content(root.walk(b"file")) == b"old"


def test_create_opens_what_exists_and_leaves_its_attributes_alone(root: LocalNode) -> None:
    make(root, b"file", b"old content", mode=0o640)
    node, file = root.create(b"file", O_CREAT | O_RDWR, 0o777, 55, 66)
    assert file.read(0, 100) == b"old content"
    assert permissions(node) == 0o640
    file.close()
    node, file = root.create(b"file", O_CREAT | O_RDWR | O_TRUNC, 0o777, 55, 66)
    assert file.read(0, 100) == b""
    file.close()


def test_create_over_what_is_no_file(root: LocalNode, folder: Path) -> None:
    root.mkdir(b"folder", 0o755, *ME)
    root.symlink(b"link", b"elsewhere", *ME)
    root.mknod(b"fifo", stat.S_IFIFO | 0o600, 0, *ME)
    assert refused(Errno.EISDIR, root.create, b"folder", O_CREAT | O_RDWR, 0o600, *ME)
    assert refused(Errno.ELOOP, root.create, b"link", O_CREAT | O_RDWR, 0o600, *ME)
    assert refused(Errno.ENXIO, root.create, b"fifo", O_CREAT | O_RDWR, 0o600, *ME)
    assert not (folder / "elsewhere").exists()


def test_a_name_may_be_any_bytes(root: LocalNode, folder: Path) -> None:
    name = bytes(sorted(set(range(1, 256)) - {ord("/")}))
    make(root, name[:250], b"x")
    assert os.listdir(os.fsencode(folder)).count(name[:250]) == 1
    assert refused(Errno.ENAMETOOLONG, root.walk, b"n" * 65535)
    assert refused(Errno.ENAMETOOLONG, root.create, b"n" * 256, NEW, 0o600, *ME)


def test_links_and_their_targets(root: LocalNode) -> None:
    for target in (b"a", b"/etc/passwd", b"x" * 4095, b"\xff\x01 ../..", b"./"):
        root.symlink(b"link", target, *ME)
        link = root.walk(b"link")
        assert link.readlink() == target
        assert link.getattr(GETATTR_BASIC).mode == stat.S_IFLNK | 0o777
        assert link.getattr(GETATTR_BASIC).size == len(target)
        root.unlink(b"link", directory=False)


def test_native_links_are_read_in_every_model(root: LocalNode, folder: Path) -> None:
    (folder / "native").symlink_to("/no/where")
    link = root.walk(b"native")
    assert link.qid.type == QT_SYMLINK
    assert link.readlink() == b"/no/where"


def test_readlink_wants_a_link(root: LocalNode) -> None:
    assert refused(Errno.EINVAL, root.readlink)
    assert refused(Errno.EINVAL, make(root, b"file", b"not a target").readlink)


def test_devices_keep_their_numbers(attach: Callable[..., LocalNode], model: str) -> None:
    root = attach(model, devices=True) if model in FOR_THE_HOST else attach(model)
    if os.geteuid() and root.table.model.plain_types:
        pytest.skip("only root makes devices in this model")
    root.mknod(b"null", stat.S_IFCHR | 0o666, 0x103, 5, 6)
    attributes = root.walk(b"null").getattr(GETATTR_BASIC)
    assert (attributes.mode, attributes.rdev, attributes.uid, attributes.gid) == (stat.S_IFCHR | 0o666, 0x103, 5, 6)


def test_mknod_without_a_type_makes_a_file(root: LocalNode) -> None:
    root.mknod(b"file", 0o640, 0, *ME)
    assert root.walk(b"file").getattr(GETATTR_BASIC).mode == stat.S_IFREG | 0o640
    assert refused(Errno.EINVAL, root.mknod, b"folder", stat.S_IFDIR, 0, *ME)


def test_hard_links_are_one_file(root: LocalNode) -> None:
    one = make(root, b"one", b"same")
    root.mkdir(b"folder", 0o755, *ME)
    root.walk(b"folder").link(one, b"two")
    two = root.walk(b"folder").walk(b"two")
    assert two.qid.path == one.qid.path
    assert two.getattr(GETATTR_BASIC).nlink == 2
    two.setattr(Changes(mode=0o611))
    assert permissions(one) == 0o611
    one.setattr(Changes(mode=0o600))
    assert permissions(two) == 0o600
    root.unlink(b"one", directory=False)
    assert permissions(two) == 0o600
    assert content(two) == b"same"


def test_a_link_needs_a_node_of_the_same_table(root: LocalNode, attach: Callable[..., LocalNode]) -> None:
    other = make(attach("passthrough"), b"file")
    assert refused(Errno.EXDEV, root.link, other, b"name")
    assert refused(Errno.EXDEV, root.rename, b"file", other.parent_node, b"name")


# -- attributes --------------------------------------------------------------------------------------------------------


def test_attributes_are_those_of_the_file(root: LocalNode, folder: Path) -> None:
    node = make(root, b"file", b"12345", mode=0o640)
    found = os.stat(folder / "file")
    attributes = node.getattr(GETATTR_BASIC)
    assert attributes.valid == GETATTR_BASIC
    assert (attributes.qid_type, attributes.qid_version, attributes.qid_path) == node.qid
    assert attributes.mode == stat.S_IFREG | 0o640
    assert (attributes.uid, attributes.gid) == ME
    assert attributes.nlink == 1
    assert (attributes.size, attributes.blocks, attributes.blksize) == (5, found.st_blocks, found.st_blksize)
    assert attributes.mtime_sec * SECOND + attributes.mtime_nsec == found.st_mtime_ns
    assert attributes.ctime_sec * SECOND + attributes.ctime_nsec == found.st_ctime_ns
    assert attributes.atime_sec * SECOND + attributes.atime_nsec == found.st_atime_ns


def test_birth_time_only_when_asked_and_there(root: LocalNode) -> None:
    node = make(root, b"file")
    assert not node.getattr(GETATTR_BASIC).valid & GETATTR_BTIME
    attributes = node.getattr(GETATTR_ALL)
    if not attributes.valid & GETATTR_BTIME:
        pytest.skip("this filesystem keeps no birth time")
    assert abs(attributes.btime_sec - time.time()) < 60


@pytest.mark.parametrize("when", [0, 1, 1_700_000_000_123_456_789, -5_000_000_001])
def test_times(root: LocalNode, when: int) -> None:
    node = make(root, b"file")
    node.setattr(Changes(atime=when, mtime=when + 7))
    attributes = node.getattr(GETATTR_BASIC)
    assert attributes.atime_sec * SECOND + attributes.atime_nsec == when
    assert attributes.mtime_sec * SECOND + attributes.mtime_nsec == when + 7
    node.setattr(Changes(mtime=NOW))
    attributes = node.getattr(GETATTR_BASIC)
    assert attributes.atime_sec * SECOND + attributes.atime_nsec == when
    assert abs(attributes.mtime_sec - time.time()) < 60


def test_times_of_a_link_are_its_own(root: LocalNode, folder: Path) -> None:
    make(root, b"file").setattr(Changes(mtime=5))
    (folder / "link").symlink_to("file")
    root.walk(b"link").setattr(Changes(atime=3 * SECOND, mtime=NOW))
    assert root.walk(b"link").getattr(GETATTR_BASIC).atime_sec == 3
    assert root.walk(b"file").getattr(GETATTR_BASIC).mtime_nsec == 5


def test_a_chmod_keeps_the_type(root: LocalNode) -> None:
    node = make(root, b"file")
    root.mknod(b"fifo", stat.S_IFIFO | 0o600, 0, *ME)
    root.mkdir(b"folder", 0o700, *ME)
    for name, mode in ((b"file", 0o123), (b"fifo", stat.S_IFDIR | 0o123), (b"folder", 0o123)):
        node = root.walk(name)
        kind = stat.S_IFMT(node.getattr(GETATTR_BASIC).mode)
        node.setattr(Changes(mode=mode))
        assert node.getattr(GETATTR_BASIC).mode == kind | 0o123


def tick(folder: Path) -> None:
    """Until the clock of the filesystem has moved: ctime is no finer than the kernel's ticks."""
    probe = folder.with_name("clock")
    probe.touch()
    before = probe.stat().st_ctime_ns
    while probe.stat().st_ctime_ns == before:
        probe.touch()


def test_changes_are_seen(root: LocalNode, folder: Path) -> None:
    """ctime moves and the qid's version with it, also where the mode lives in another file."""
    node = make(root, b"file")
    before = node.getattr(GETATTR_BASIC)
    for changes in (Changes(mode=0o600), Changes(touch=True), Changes(size=7), Changes(uid=ME[0], gid=ME[1])):
        tick(folder)
        node.setattr(changes)
        after = node.getattr(GETATTR_BASIC)
        assert (after.ctime_sec, after.ctime_nsec) > (before.ctime_sec, before.ctime_nsec), changes
        assert after.qid_version != before.qid_version
        before = after


def test_reading_leaves_the_version_alone(root: LocalNode) -> None:
    node = make(root, b"file", b"data")
    node.setattr(Changes(atime=1, mtime=2))
    before = root.walk(b"file").qid
    content(node)
    node.getattr(GETATTR_BASIC)
    assert root.walk(b"file").qid == before


def test_writes_of_the_same_size_in_the_same_second_change_the_version(root: LocalNode, folder: Path) -> None:
    node = make(root, b"file", b"aaaa")
    before = node.getattr(GETATTR_BASIC).qid_version
    tick(folder)
    file = node.open(O_RDWR)
    file.write(0, b"bbbb")
    file.close()
    assert node.getattr(GETATTR_BASIC).qid_version != before


def test_sizes(root: LocalNode) -> None:
    node = make(root, b"file", b"123456")
    node.setattr(Changes(size=3))
    assert content(node) == b"123"
    node.setattr(Changes(size=5))
    assert content(node) == b"123\0\0"
    root.mkdir(b"folder", 0o700, *ME)
    root.mknod(b"fifo", stat.S_IFIFO | 0o600, 0, *ME)
    root.symlink(b"link", b"file", *ME)
    assert refused(Errno.EISDIR, root.walk(b"folder").setattr, Changes(size=0))
    assert refused(Errno.ENXIO, root.walk(b"fifo").setattr, Changes(size=0))
    assert refused(Errno.ELOOP, root.walk(b"link").setattr, Changes(size=0))


@pytest.mark.parametrize(
    ("mode", "left"), [(0o6755, 0o755), (0o4644, 0o644), (0o2644, 0o2644), (0o2654, 0o654), (0o1755, 0o1755)]
)
@pytest.mark.parametrize("deed", ["write", "truncate open", "truncate", "chown", "open truncating"])
def test_privilege_bits_go_when_another_user_changes_the_file(root: LocalNode, mode: int, left: int, deed: str) -> None:
    node, file = root.create(b"file", NEW, 0o600, *ME)
    file.write(0, b"old")
    node.setattr(Changes(mode=mode, by=0))
    assert permissions(node) == mode
    match deed:
        case "write":
            file.write(0, b"new", by=1000)
        case "truncate open":
            file.truncate(1, by=1000)
        case "truncate":
            node.setattr(Changes(size=1, by=1000))
        case "chown":
            node.setattr(Changes(gid=ME[1], by=1000))
        case "open truncating":
            node.open(O_RDWR | O_TRUNC, by=1000).close()
    assert permissions(node) == left
    file.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="the kernel drops the bits of users without privileges")
def test_root_may_write_and_keep_the_bits(root: LocalNode) -> None:
    node, file = root.create(b"file", NEW, 0o4755, *ME)
    file.write(0, b"data", by=0)
    file.truncate(1, by=0)
    file.close()
    assert permissions(node) == 0o4755


def test_the_mode_of_a_setattr_comes_after_the_owner(root: LocalNode) -> None:
    node = make(root, b"file")
    node.setattr(Changes(uid=ME[0], gid=ME[1], mode=0o4711, by=1000))
    assert permissions(node) == 0o4711


def test_statfs(root: LocalNode, folder: Path) -> None:
    figures, host = root.statfs(), os.statvfs(folder)
    assert (figures.bsize, figures.blocks, figures.namelen) == (host.f_bsize, host.f_blocks, host.f_namemax)
    assert figures.type != 0


# -- reading and writing -----------------------------------------------------------------------------------------------


def test_reads_and_writes(root: LocalNode) -> None:
    node, file = root.create(b"file", NEW, 0o644, *ME)
    assert file.write(3, b"abc") == 3
    assert file.read(0, 100) == b"\0\0\0abc"
    assert file.read(4, 1) == b"b"
    assert file.read(6, 10) == b""
    assert file.read(1 << 40, 10) == b""
    assert bytes(file.read_now(0, 100)) == b"\0\0\0abc"
    assert bytes(file.read_now(0, 2)) == b"\0\0"
    assert bytes(file.read_now(60, 2)) == b""
    file.fsync(datasync=True)
    file.fsync(datasync=False)
    file.close()
    node.fsync()
    root.fsync()


def test_appending_ignores_the_offset(root: LocalNode) -> None:
    node = make(root, b"log", b"one")
    file = node.open(O_WRONLY | O_APPEND)
    file.write(0, b"two")
    file.close()
    assert content(node) == b"onetwo"


def test_a_file_opened_for_reading_refuses_writes(root: LocalNode) -> None:
    file = make(root, b"file", b"data").open(O_RDONLY)
    assert refused(Errno.EBADF, file.write, 0, b"x")
    file.close()
    _, file = root.create(b"new", O_CREAT | O_RDONLY, 0o644, *ME)
    assert refused(Errno.EBADF, file.write, 0, b"x")
    file.close()


def test_what_cannot_be_opened(root: LocalNode) -> None:
    root.mkdir(b"folder", 0o700, *ME)
    root.mknod(b"fifo", stat.S_IFIFO | 0o666, 0, *ME)
    root.mknod(b"socket", stat.S_IFSOCK | 0o666, 0, *ME)
    root.symlink(b"link", b"fifo", *ME)
    for flags in (O_RDONLY, O_WRONLY, O_RDWR, O_RDWR | O_TRUNC, O_RDONLY | O_TRUNC):
        assert refused(Errno.EISDIR, root.walk(b"folder").open, flags)
        assert refused(Errno.ENXIO, root.walk(b"fifo").open, flags)
        assert refused(Errno.ENXIO, root.walk(b"socket").open, flags)
        assert refused(Errno.ELOOP, root.walk(b"link").open, flags)
    assert refused(Errno.ENOTDIR, root.walk(b"fifo").opendir)


# -- a file whose name changes or goes while it is open ----------------------------------------------------------------


def test_one_node_for_one_name_in_use(root: LocalNode) -> None:
    made = make(root, b"file")
    assert root.walk(b"file") is made
    assert made.clone() is made
    for _ in range(3):
        made.release()
    assert root.children == {}
    assert root.refs == 2


def test_a_node_keeps_its_parents(root: LocalNode) -> None:
    root.mkdir(b"a", 0o755, *ME)
    a = root.walk(b"a")
    a.mkdir(b"b", 0o755, *ME)
    b = a.walk(b"b")
    a.release()
    assert b.parent() is a
    a.release()
    b.release()
    assert root.walk(b"a") is a  # it stayed
    a.release()
    root.release()
    assert root.children == {}  # nobody is here any more


def test_few_idle_directories_stay_and_files_never(root: LocalNode) -> None:
    make(root, b"file").release()
    assert root.children == {}
    for number in range(IDLE_DIRECTORIES + 10):
        name = b"%d" % number
        root.mkdir(name, 0o755, *ME)
        root.walk(name).release()
    assert list(root.children or ()) == [b"%d" % number for number in range(10, IDLE_DIRECTORIES + 10)]


def test_a_directory_removed_while_it_is_idle_is_gone(root: LocalNode, folder: Path) -> None:
    for name, remove in (
        (b"by a client", lambda: root.unlink(b"by a client", True)),
        (b"by the host", (folder / "by the host").rmdir),
    ):
        root.mkdir(name, 0o755, *ME)
        root.walk(name).release()
        remove()
        assert refused(Errno.ENOENT, root.walk, name)


def test_a_chain_of_idle_directories_ends_without_recursion(root: LocalNode) -> None:
    depth = 400
    node = root
    for _ in range(depth):
        node.mkdir(b"d", 0o755, *ME)
        below = node.walk(b"d")
        if node is not root:
            node.release()
        node = below
    node.release()
    root.release()
    assert root.children == {}


def test_the_root_is_its_own_parent_and_stays(root: LocalNode) -> None:
    assert root.parent() is root
    root.release()
    assert root.name == b"/"
    assert refused(Errno.EBUSY, root.remove)
    assert refused(Errno.EBUSY, root.move, root, b"new")
    root.setattr(Changes(mode=0o710))
    assert permissions(root) == 0o710


def test_a_removed_root_is_enoent(root: LocalNode, folder: Path) -> None:
    folder.rmdir()
    assert refused(Errno.ENOENT, root.getattr, GETATTR_BASIC)
    assert refused(Errno.ENOENT, root.walk, b"x")
    assert refused(Errno.ENOENT, root.create, b"x", NEW, 0o600, *ME)


def test_what_is_made_without_ids_belongs_to_the_server(root: LocalNode) -> None:
    node, file = root.create(b"file", NEW, 0o600, NO_ID, NO_ID)
    file.close()
    assert node.getattr(GETATTR_BASIC)[5:7] == ME


# -- extended attributes -----------------------------------------------------------------------------------------------


def test_user_attributes(root: LocalNode) -> None:
    node = make(root, b"file")
    node.setxattr(b"user.colour", b"\0red\xff", 0)
    assert node.getxattr(b"user.colour") == b"\0red\xff"
    assert list(node.listxattr()) == [b"user.colour"]
    assert refused(Errno.EEXIST, node.setxattr, b"user.colour", b"x", XATTR_CREATE)
    assert refused(Errno.ENODATA, node.setxattr, b"user.none", b"x", XATTR_REPLACE)
    node.setxattr(b"user.empty", b"", 0)
    assert node.getxattr(b"user.empty") == b""
    node.removexattr(b"user.colour")
    assert refused(Errno.ENODATA, node.getxattr, b"user.colour")
    assert refused(Errno.ENODATA, node.removexattr, b"user.colour")


@pytest.mark.parametrize("name", [b"trusted.overlay.opaque", b"security.selinux", b"system.nfs4_acl", b"name", b""])
def test_other_namespaces_are_not_served(root: LocalNode, name: bytes) -> None:
    for verb, arguments in ((root.getxattr, ()), (root.setxattr, (b"x", 0)), (root.removexattr, ())):
        assert refused(Errno.EOPNOTSUPP, verb, name, *arguments)
