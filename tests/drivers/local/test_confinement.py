"""Nothing leads out of the folder: not a link, wherever it stands and whenever it comes, and no
special file is ever opened.
"""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.drivers.local.conftest import NEW, refusal

from ninep.drivers.local import LocalNode
from ninep.linux import GETATTR_ALL, O_APPEND, O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, Errno
from ninep.node import NOW, Changes

SECRET = b"canary"
NO_WAY = {
    Errno.ELOOP,
    Errno.ENOTDIR,
    Errno.ENOENT,
    Errno.EINVAL,
    Errno.ESTALE,
    Errno.EOPNOTSUPP,
    Errno.EPERM,
    Errno.ENODATA,
}


def snapshot(folder: Path) -> list[tuple[object, ...]]:
    """Names, contents and attributes of everything in a folder."""
    found: list[tuple[object, ...]] = []
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
        attributes = os.listxattr(path, follow_symlinks=False)
        found.append(
            (
                path,
                content,
                status.st_mode,
                status.st_uid,
                status.st_gid,
                status.st_nlink,
                status.st_mtime_ns,
                attributes,
            )
        )
    return found


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A folder beside the export that must not change."""
    outside = tmp_path / "outside"
    (outside / "folder").mkdir(parents=True)
    for path in (outside / "file", outside / "folder" / "file"):
        path.write_bytes(SECRET)
        path.chmod(0o4711)
    before = snapshot(outside)
    yield outside
    assert snapshot(outside) == before


def targets(canary: Path) -> dict[str, str]:
    """Links that lead out, in all the ways a link can."""
    return {
        "absolute": str(canary),
        "relative": "../outside",
        "chained": "relative",
        "parent": "..",
        "loop": "loop",
        "dangling": "../outside/nothing",
        "file": str(canary / "file"),
        "proc": f"/proc/self/cwd{canary}",
    }


@pytest.fixture
def trapped(root: LocalNode, folder: Path, canary: Path) -> LocalNode:
    for name, target in targets(canary).items():
        (folder / name).symlink_to(target)
    return root


OPERATIONS: dict[str, Callable[[LocalNode], object]] = {
    "open for reading": lambda node: node.open(O_RDONLY).read(0, 100),
    "open for writing": lambda node: node.open(O_WRONLY).write(0, b"x"),
    "open truncating": lambda node: node.open(O_RDWR | O_TRUNC),
    "open appending": lambda node: node.open(O_WRONLY | O_APPEND).write(0, b"x"),
    "list": lambda node: node.opendir().read(0, 8192),
    "walk": lambda node: node.walk(b"file"),
    "walk to a folder": lambda node: node.walk(b"folder"),
    "create": lambda node: node.create(b"new", NEW, 0o666, 0, 0),
    "create over": lambda node: node.create(b"file", O_CREAT | O_RDWR | O_TRUNC, 0o666, 0, 0),
    "mkdir": lambda node: node.mkdir(b"new", 0o777, 0, 0),
    "symlink": lambda node: node.symlink(b"new", b"x", 0, 0),
    "mknod": lambda node: node.mknod(b"new", stat.S_IFIFO | 0o666, 0, 0, 0),
    "link into": lambda node: node.link(node, b"new"),
    "unlink in": lambda node: node.unlink(b"file", directory=False),
    "rmdir in": lambda node: node.unlink(b"folder", directory=True),
    "rename in": lambda node: node.rename(b"file", node, b"new"),
    "truncate": lambda node: node.setattr(Changes(size=0)),
    "chmod": lambda node: node.setattr(Changes(mode=0o777)),
    "set an attribute": lambda node: node.setxattr(b"user.x", b"x", 0),
    "get an attribute": lambda node: node.getxattr(b"user.x"),
    "remove an attribute": lambda node: node.removexattr(b"user.x"),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_operation_follows_a_link(trapped: LocalNode, model: str, canary: Path, operation: str) -> None:
    for name in targets(canary):
        node = trapped.walk(name.encode())
        if operation == "chmod" and model == "mapped-file":
            node.setattr(Changes(mode=0o777))  # kept beside the link, as for every file
            continue
        assert refusal(OPERATIONS[operation], node) in NO_WAY, name


@pytest.mark.parametrize("name", ["absolute", "relative", "chained", "parent", "loop", "dangling", "file", "proc"])
def test_a_link_itself_can_be_handled(trapped: LocalNode, folder: Path, canary: Path, name: str) -> None:
    link = trapped.walk(name.encode())
    assert link.getattr(GETATTR_ALL).mode & 0o170000 == 0o120000
    assert link.readlink() == os.fsencode(targets(canary)[name])
    link.setattr(Changes(atime=1, mtime=NOW))
    link.statfs()
    assert link.listxattr() == []
    trapped.rename(name.encode(), trapped, b"renamed")
    trapped.link(link, b"another")
    assert os.readlink(folder / "another") == targets(canary)[name]
    trapped.unlink(b"another", directory=False)
    link.remove()


def test_create_over_a_link(trapped: LocalNode, folder: Path, canary: Path) -> None:
    for name in targets(canary):
        for flags in (NEW, O_CREAT | O_RDWR, O_CREAT | O_RDWR | O_TRUNC):
            assert refusal(trapped.create, name.encode(), flags, 0o666, 0, 0) in {Errno.EEXIST, Errno.ELOOP}
    trapped.create(b"source", NEW, 0o600, 0, 0)[1].close()
    trapped.rename(b"source", trapped, b"file")
    assert not (folder / "file").is_symlink()


def test_parent_of_the_root(root: LocalNode) -> None:
    root.mkdir(b"a", 0o755, 0, 0)
    deep = root.walk(b"a")
    assert deep.parent() is root
    assert root.parent() is root


@pytest.mark.parametrize(
    "operation", sorted(set(OPERATIONS) - {"chmod", "set an attribute", "get an attribute", "remove an attribute"})
)
def test_a_directory_swapped_for_a_link_after_the_walk(
    root: LocalNode, folder: Path, canary: Path, operation: str
) -> None:
    """What was walked to is held: whatever stands under its name now is not touched."""
    (folder / "d").mkdir()
    (folder / "d" / "file").write_bytes(b"inside")
    node = root.walk(b"d")
    os.rename(folder / "d", folder / "kept")
    os.symlink(canary, folder / "d")
    try:
        OPERATIONS[operation](node)
    except OSError:
        return
    assert sorted(os.listdir(canary)) == ["file", "folder"]


def test_a_directory_swapped_all_the_time(root: LocalNode, folder: Path, canary: Path) -> None:
    (folder / "d").mkdir()
    (folder / "d" / "file").write_bytes(b"inside")
    os.symlink(canary, folder / "link")
    stop = threading.Event()

    def flip() -> None:
        while not stop.is_set():
            os.rename(folder / "d", folder / "aside")
            os.rename(folder / "link", folder / "d")
            os.rename(folder / "d", folder / "link")
            os.rename(folder / "aside", folder / "d")

    flipper = threading.Thread(target=flip)
    flipper.start()
    read = set()
    try:
        for _ in range(300):
            for operation in ("create over", "unlink in", "mkdir", "rename in"):
                try:
                    directory = root.walk(b"d")
                except OSError:
                    continue
                try:
                    read.add(bytes(directory.walk(b"file").open(O_RDONLY).read(0, 10)))
                    OPERATIONS[operation](directory)
                except OSError:
                    continue
    finally:
        stop.set()
        flipper.join()
    assert SECRET not in read


# -- special files -----------------------------------------------------------------------------------------------------


@pytest.fixture
def special(folder: Path) -> list[bytes]:
    os.mkfifo(folder / "fifo")
    names = [b"fifo"]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "socket"))
    listener.close()
    names.append(b"socket")
    if os.geteuid() == 0:
        os.mknod(folder / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(folder / "disk", stat.S_IFBLK | 0o666, os.makedev(7, 200))
        names += [b"null", b"disk"]
    return names


def test_special_files_are_never_opened(root: LocalNode, special: list[bytes]) -> None:
    for name in special:
        node = root.walk(name)
        for flags in (O_RDONLY, O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC, O_RDONLY | O_TRUNC):
            assert refusal(node.open, flags) is Errno.ENXIO
            assert refusal(root.create, name, flags | O_CREAT, 0o666, 0, 0) is Errno.ENXIO
        assert refusal(node.setattr, Changes(size=0)) is Errno.ENXIO
        node.setattr(Changes(mtime=5, atime=5))
        node.fsync()
        node.getattr(GETATTR_ALL)


def test_a_file_swapped_for_a_fifo_is_not_opened(root: LocalNode, folder: Path) -> None:
    (folder / "file").write_bytes(b"data")
    node = root.walk(b"file")
    os.rename(folder / "file", folder / "kept")
    os.mkfifo(folder / "file")
    file = node.open(O_RDWR)
    assert file.read(0, 10) == b"data"
    file.close()
    assert refusal(lambda: root.create(b"file", O_CREAT | O_RDWR, 0o666, 0, 0)) is Errno.ENXIO


@pytest.mark.parametrize(
    "name",
    [b".virtfs_metadata", b".virtfs_metadata_root", b".VIRTFS_metadata", ".virtfs_metadat\u00aa".encode(), b"VIRTFS~1"],
)
def test_the_names_of_the_metadata_are_reserved_at_every_level(attach: Callable[..., LocalNode], name: bytes) -> None:
    root = attach("mapped-file")
    root.mkdir(b"d", 0o755, 0, 0)
    root.create(b"file", NEW, 0o600, 0, 0)[1].close()
    file = root.walk(b"file")
    for node in (root, root.walk(b"d")):
        for verb, arguments in (
            (node.walk, (name,)),
            (node.create, (name, NEW, 0o600, 0, 0)),
            (node.mkdir, (name, 0o700, 0, 0)),
            (node.symlink, (name, b"x", 0, 0)),
            (node.mknod, (name, stat.S_IFIFO, 0, 0, 0)),
            (node.link, (file, name)),
            (node.unlink, (name, False)),
            (node.unlink, (name, True)),
            (node.rename, (name, root, b"new")),
            (root.rename, (b"file", node, name)),
            (file.move, (node, name)),
        ):
            assert refusal(verb, *arguments) is Errno.EINVAL


def test_metadata_that_is_a_link_leads_nowhere(attach: Callable[..., LocalNode], folder: Path, canary: Path) -> None:
    root = attach("mapped-file")
    (folder / "file").write_bytes(b"")
    (folder / ".virtfs_metadata").symlink_to(canary)
    file = root.walk(b"file")
    assert refusal(file.setattr, Changes(mode=0o777)) in NO_WAY
    assert refusal(root.create, b"new", NEW, 0o666, 5, 6) in NO_WAY
    (folder / ".virtfs_metadata").unlink()
    (folder / ".virtfs_metadata").mkdir()
    (folder / ".virtfs_metadata" / "file").symlink_to(canary / "file")
    root.walk(b"file").setattr(Changes(uid=77))
    assert root.walk(b"file").getattr(0).uid == 77
