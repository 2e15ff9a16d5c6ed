"""mapped-file: the bytes on disk, both ways, hard links, renames, and that failures leave
everything as it was.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.drivers.local.conftest import refusal
from tests.security.conftest import NEW, Faults, image

from ninep import host
from ninep.drivers.local import LocalNode
from ninep.errors import Refused
from ninep.host import Handle
from ninep.linux import GETATTR_BASIC, NO_ID, O_CREAT, O_RDWR, Errno
from ninep.node import Changes

METADATA = ".virtfs_metadata"


@pytest.fixture
def root(attach: Callable[..., LocalNode]) -> LocalNode:
    return attach("mapped-file")


def owned(node: LocalNode) -> tuple[int, int, int, int]:
    attributes = node.getattr(GETATTR_BASIC)
    return attributes.mode, attributes.uid, attributes.gid, attributes.rdev


def make(root: LocalNode, name: bytes, mode: int = 0o600, uid: int = 5, gid: int = 6) -> LocalNode:
    node, file = root.create(name, NEW, mode, uid, gid)
    file.write(0, name, by=0)
    file.close()
    return node


# -- what we write -----------------------------------------------------------------------------------------------------


def test_a_file(root: LocalNode, folder: Path) -> None:
    make(root, b"file", 0o4751, 1000, 100)
    assert (folder / METADATA / "file").read_bytes() == b"virtfs.uid=1000\nvirtfs.gid=100\nvirtfs.mode=35305\n"
    assert (folder / "file").stat().st_mode == stat.S_IFREG | 0o600
    assert stat.S_IMODE((folder / METADATA).stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / METADATA / "file").stat().st_mode) == 0o600
    assert os.listxattr(folder / "file") == []


def test_a_directory(root: LocalNode, folder: Path) -> None:
    root.mkdir(b"d", 0o2755, 0, 0xFFFFFFFE)
    assert (folder / METADATA / "d").read_bytes() == b"virtfs.uid=0\nvirtfs.gid=-2\nvirtfs.mode=17901\n"
    assert (folder / "d").stat().st_mode == stat.S_IFDIR | 0o700
    assert os.listdir(folder / "d") == []


def test_a_link_and_a_device(root: LocalNode, folder: Path) -> None:
    root.symlink(b"l", b"../target", 1, 2)
    root.mknod(b"c", stat.S_IFCHR | 0o600, 0x103, 3, 4)
    assert (folder / "l").read_bytes() == b"../target"
    assert (folder / METADATA / "l").read_bytes() == b"virtfs.uid=1\nvirtfs.gid=2\nvirtfs.mode=41471\n"
    assert (folder / METADATA / "c").read_bytes() == b"virtfs.uid=3\nvirtfs.gid=4\nvirtfs.mode=8576\nvirtfs.rdev=259\n"


def test_no_id_is_not_written(root: LocalNode, folder: Path) -> None:
    make(root, b"file", 0o600, NO_ID, NO_ID)
    assert (folder / METADATA / "file").read_bytes() == b"virtfs.mode=33152\n"


def test_the_root_has_a_file_of_its_own(root: LocalNode, folder: Path, attach: Callable[..., LocalNode]) -> None:
    root.setattr(Changes(uid=5, mode=0o751))
    assert (folder / f"{METADATA}_root").read_bytes() == b"virtfs.uid=5\nvirtfs.mode=16873\n"
    assert owned(attach("mapped-file"))[:2] == (stat.S_IFDIR | 0o751, 5)


def test_changes_of_a_native_file(root: LocalNode, folder: Path) -> None:
    (folder / "file").write_bytes(b"")
    root.walk(b"file").setattr(Changes(gid=8))
    assert (folder / METADATA / "file").read_bytes() == b"virtfs.gid=8\n"
    root.walk(b"file").setattr(Changes(uid=7, mode=0o640))
    assert (folder / METADATA / "file").read_bytes() == b"virtfs.uid=7\nvirtfs.gid=8\nvirtfs.mode=33184\n"
    assert os.listdir(folder / METADATA) == ["file"]


def test_a_stale_record_is_not_inherited(root: LocalNode, folder: Path) -> None:
    (folder / METADATA).mkdir()
    (folder / METADATA / "new").write_bytes(b"virtfs.uid=66\nvirtfs.rdev=5\n")
    os.link(folder / METADATA / "new", folder / METADATA / "other")
    node = make(root, b"new", 0o600, NO_ID, 6)
    assert owned(node)[1:] == (os.geteuid(), 6, 0)
    assert (folder / METADATA / "other").read_bytes() == b"virtfs.uid=66\nvirtfs.rdev=5\n"


# -- what we read ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"virtfs.uid=7\n", (None, 7, None, 0)),
        (b"virtfs.rdev=259\nvirtfs.mode=8576\nvirtfs.gid=4\nvirtfs.uid=3\n", (0o20600, 3, 4, 259)),
        (b"virtfs.uid=-2\nvirtfs.gid=-1\n", (None, 0xFFFFFFFE, None, 0)),
        (b"virtfs.uid=1\nvirtfs.uid=2", (None, 2, None, 0)),
        (b"virtfs.uid:3\n virtfs.gid=4\nsomething=5\n\n", (None, 3, None, 0)),
        (b"virtfs.uid= 8x\nvirtfs.gid=x\n", (None, 8, 0, 0)),
        (b"x" * 99 + b"virtfs.uid=9\n", (None, 9, None, 0)),
        (b"x" * 98 + b"virtfs.uid=9\n", (None, None, None, 0)),
        (b"virtfs.mode=420\n", (0o100644, None, None, 0)),
        (b"", (None, None, None, 0)),
        (b"\xff\0\x01" * 100, (None, None, None, 0)),
    ],
)
def test_records(root: LocalNode, folder: Path, written: bytes, read: tuple[int | None, ...]) -> None:
    (folder / "file").write_bytes(b"")
    (folder / METADATA).mkdir()
    (folder / METADATA / "file").write_bytes(written)
    native = (folder / "file").stat()
    wanted = tuple(
        ours if tag is None else tag
        for tag, ours in zip(read, (native.st_mode, native.st_uid, native.st_gid, 0), strict=True)
    )
    assert owned(root.walk(b"file")) == wanted


def test_a_change_by_the_host_is_seen(root: LocalNode, folder: Path) -> None:
    node = make(root, b"file")
    for uid in range(50):
        (folder / METADATA / "file").write_bytes(b"virtfs.uid=%d\n" % uid)
        assert owned(node)[1] == uid


def test_what_is_no_regular_file_is_no_record(root: LocalNode, folder: Path) -> None:
    (folder / "file").write_bytes(b"")
    (folder / METADATA / "file").mkdir(parents=True)
    assert owned(root.walk(b"file"))[1] == os.geteuid()
    (folder / METADATA / "file").rmdir()
    os.mkfifo(folder / METADATA / "file")
    assert owned(root.walk(b"file"))[1] == os.geteuid()


def test_the_link_count_does_not_tell_of_the_hidden_folder(root: LocalNode, folder: Path) -> None:
    def links() -> int:
        return root.getattr(GETATTR_BASIC).nlink

    before = links()
    make(root, b"file")
    assert (folder / METADATA).is_dir()
    assert links() == before
    root.mkdir(b"d", 0o755, 5, 6)
    assert links() == before + (folder.stat().st_nlink > 2)


# -- hard links --------------------------------------------------------------------------------------------------------


def test_hard_links_share_one_record(root: LocalNode, folder: Path) -> None:
    one = make(root, b"one", 0o600, 5, 1_000_000_000)
    root.mkdir(b"d", 0o755, 5, 6)
    root.walk(b"d").link(one, b"two")
    records = (folder / METADATA / "one", folder / "d" / METADATA / "two")
    assert records[0].stat().st_ino == records[1].stat().st_ino
    root.walk(b"d").walk(b"two").setattr(Changes(gid=7))
    assert [record.read_bytes() for record in records] == [b"virtfs.uid=5\nvirtfs.gid=7\nvirtfs.mode=33152\n"] * 2
    assert owned(one)[2] == 7
    one.setattr(Changes(gid=2_000_000_000))
    assert owned(root.walk(b"d").walk(b"two"))[2] == 2_000_000_000


def test_a_file_without_a_record_can_be_linked(root: LocalNode, folder: Path) -> None:
    """Out of a folder without metadata the hypervisor's fails with ENOENT."""
    (folder / "native").write_bytes(b"data")
    root.link(root.walk(b"native"), b"other")
    assert owned(root.walk(b"other"))[1] == os.geteuid()
    root.walk(b"other").setattr(Changes(uid=9))
    assert owned(root.walk(b"native"))[1] == 9


# -- renames -----------------------------------------------------------------------------------------------------------


def test_a_rename_takes_the_record_along(root: LocalNode, folder: Path) -> None:
    make(root, b"file", 0o604)
    root.mkdir(b"d", 0o755, 5, 6)
    root.rename(b"file", root.walk(b"d"), b"new")
    assert owned(root.walk(b"d").walk(b"new")) == (0o100604, 5, 6, 0)
    assert os.listdir(folder / METADATA) == ["d"]
    assert os.listdir(folder / "d" / METADATA) == ["new"]


@pytest.mark.parametrize("links", [True, False], ids=["with hard links", "without"])
@pytest.mark.parametrize("fails", [False, True], ids=["done", "failed"])
def test_a_rename_over_a_file(
    root: LocalNode, folder: Path, monkeypatch: pytest.MonkeyPatch, links: bool, fails: bool
) -> None:
    """FAT and some network filesystems have no hard links: a record is moved there, where otherwise
    it gets a second name first.
    """
    make(root, b"source", 0o4711, 1, 2)
    make(root, b"target", 0o640, 3, 4)
    before = image(folder)

    def refuse(*_: object) -> None:
        raise Refused(Errno.EPERM)

    honest = host.rename

    def rename(olddir: Handle, old: bytes, newdir: Handle, new: bytes, flags: int = 0) -> None:
        if fails and (old, olddir) == (b"source", root.get_path_handle()):
            raise Refused(Errno.EIO)
        honest(olddir, old, newdir, new, flags)

    monkeypatch.setattr(host, "rename", rename)
    if not links:
        monkeypatch.setattr(host, "make_link", refuse)
    if fails:
        assert refusal(root.rename, b"source", root, b"target") is Errno.EIO
        assert image(folder) == before
        return
    root.rename(b"source", root, b"target")
    assert os.listdir(folder / METADATA) == ["target"]
    assert owned(root.walk(b"target")) == (0o104711, 1, 2, 0)
    assert (folder / METADATA / "target").stat().st_nlink == 1


def test_a_rename_of_what_has_no_record(root: LocalNode, folder: Path) -> None:
    """Its target's record does not become its own."""
    (folder / "native").write_bytes(b"")
    make(root, b"target", 0o600, 55, 66)
    root.rename(b"native", root, b"target")
    assert owned(root.walk(b"target"))[1:3] == (os.geteuid(), os.getegid())
    assert os.listdir(folder / METADATA) == []
    (folder / "plain").mkdir()
    (folder / "plain" / "file").write_bytes(b"")
    root.walk(b"plain").rename(b"file", root, b"file")
    assert not (folder / "plain" / METADATA).exists()


def test_stale_records_do_not_keep_a_directory_alive(root: LocalNode, folder: Path) -> None:
    root.mkdir(b"d", 0o755, 5, 6)
    make(root.walk(b"d"), b"file")
    (folder / "d" / "file").unlink()  # a host process, which knows nothing of records
    root.unlink(b"d", directory=True)
    assert os.listdir(folder / METADATA) == []


# -- failures ----------------------------------------------------------------------------------------------------------

MAKING: dict[str, Callable[[LocalNode], object]] = {
    "create": lambda root: root.create(b"new", NEW, 0o644, 5, 6)[1].close(),
    "mkdir": lambda root: root.mkdir(b"new", 0o755, 5, 6),
    "symlink": lambda root: root.symlink(b"new", b"target", 5, 6),
    "mknod": lambda root: root.mknod(b"new", stat.S_IFCHR | 0o600, 5, 5, 6),
    "link": lambda root: root.link(root.walk(b"old"), b"new"),
}


def without_litter(folder: Path) -> dict[str, tuple[object, ...]]:
    """The image, an empty metadata folder apart, which means nothing."""
    found = image(folder)
    return {
        name: value for name, value in found.items() if not (name.endswith(METADATA) and not os.listdir(folder / name))
    }


@pytest.mark.parametrize("verb", MAKING)
@pytest.mark.parametrize("unnamed", [True, False])
def test_a_failed_make_leaves_nothing(
    root: LocalNode, folder: Path, faults: Faults, monkeypatch: pytest.MonkeyPatch, verb: str, unnamed: bool
) -> None:
    make(root, b"old")
    if not unnamed:
        monkeypatch.setattr(host, "open_unnamed", faults.wrap("open_unnamed", cannot))
    before = without_litter(folder)
    for failed in faults.each(lambda: MAKING[verb](root)):
        assert without_litter(folder) == before, f"after {failed} failed"
    assert set(image(folder)) - set(before) == {"new", f"{METADATA}/new"}


@pytest.mark.parametrize("verb", MAKING)
def test_a_failed_make_leaves_alone_what_exists(root: LocalNode, folder: Path, verb: str) -> None:
    make(root, b"old")
    make(root, b"new", 0o611, 70, 80)
    before = image(folder)
    assert refusal(MAKING[verb], root) is Errno.EEXIST
    assert image(folder) == before


@pytest.mark.parametrize("flags", [O_CREAT | O_RDWR])
def test_create_without_excl_keeps_owner_and_mode(root: LocalNode, folder: Path, flags: int) -> None:
    make(root, b"old", 0o611, 70, 80)
    before = image(folder)
    root.create(b"old", flags, 0o666, 1, 2)[1].close()
    assert image(folder) == before


def test_a_failed_change_changes_nothing(root: LocalNode, folder: Path, faults: Faults) -> None:
    make(root, b"old")
    before = image(folder)
    for failed in faults.each(lambda: root.walk(b"old").setattr(Changes(uid=70, gid=80))):
        assert image(folder) == before, f"after {failed} failed"
    assert owned(root.walk(b"old")) == (0o100600, 70, 80, 0)
    root.walk(b"old").setattr(Changes(mode=0o6755))
    root.walk(b"old").setattr(Changes(uid=71, by=71))
    assert owned(root.walk(b"old")) == (0o100755, 71, 80, 0)
    assert os.listdir(folder / METADATA) == ["old"]


@pytest.mark.parametrize("target", [None, "file", "directory"])
@pytest.mark.parametrize("far", [False, True])
def test_a_failed_rename_leaves_both(
    root: LocalNode, folder: Path, faults: Faults, target: str | None, far: bool
) -> None:
    directory = root
    if far:
        root.mkdir(b"far", 0o755, 5, 6)
        directory = root.walk(b"far")
    if target == "directory":
        root.mkdir(b"source", 0o711, 1, 2)
        directory.mkdir(b"target", 0o722, 3, 4)
    else:
        make(root, b"source", 0o611, 1, 2)
        if target:
            make(directory, b"target", 0o622, 3, 4)
    before = without_litter(folder)
    for failed in faults.each(lambda: root.rename(b"source", directory, b"target")):
        assert without_litter(folder) == before, f"after {failed} failed"
    assert owned(directory.walk(b"target"))[1:3] == (1, 2)
    assert refusal(root.walk, b"source") is Errno.ENOENT
    records = sorted(name for name in image(folder) if METADATA + "/" in name)
    assert records == sorted(
        ["far/.virtfs_metadata/target", ".virtfs_metadata/far"] if far else [".virtfs_metadata/target"]
    )


@pytest.mark.parametrize("directory", [False, True])
def test_a_failed_removal_keeps_the_record(
    root: LocalNode, folder: Path, monkeypatch: pytest.MonkeyPatch, directory: bool
) -> None:
    if directory:
        root.mkdir(b"it", 0o711, 1, 2)
        make(root.walk(b"it"), b"passing")
        root.walk(b"it").unlink(b"passing", directory=False)
    else:
        make(root, b"it", 0o711, 1, 2)

    def fails(*arguments: object) -> None:
        raise Refused(Errno.EIO)

    with monkeypatch.context() as patch:
        patch.setattr(host, "remove_file", fails)
        patch.setattr(host, "remove_dir", fails)
        assert refusal(root.unlink, b"it", directory) is Errno.EIO
    assert owned(root.walk(b"it"))[1:3] == (1, 2)
    root.unlink(b"it", directory)
    assert os.listdir(folder / METADATA) == []


def cannot(*arguments: object) -> None:
    raise Refused(Errno.EOPNOTSUPP)


@pytest.mark.parametrize("metadata", [False, True])
def test_a_full_directory_is_not_listed_to_say_that_it_is_full(
    root: LocalNode, folder: Path, metadata: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "d").mkdir()
    if metadata:
        (folder / "d" / METADATA).mkdir()
    for number in range(20_000):
        (folder / "d" / f"{number}").touch()
    read: list[int] = []
    listing = type(host.open_dir(root.object_ref()))
    whole = listing.read

    def counted(self: host.Listing, cookie: int) -> object:
        entries = whole(self, cookie)  # type: ignore[arg-type]
        read.append(len(entries))
        return entries

    monkeypatch.setattr(listing, "read", counted)
    assert refusal(root.unlink, b"d", True) is Errno.ENOTEMPTY
    assert sum(read) < 2000
    assert len(list((folder / "d").iterdir())) == 20_000 + metadata
