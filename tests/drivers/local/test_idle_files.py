"""More files open for reading than handles: handles are taken away and come back, with the same
file.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.drivers.local.conftest import NEW, refusal
from tests.drivers.local.test_handle_cache import LIMIT, handles

from ninep import host
from ninep.drivers.local import LocalNode
from ninep.drivers.local.file import IdleFile, LocalFile
from ninep.host import NO_HANDLE
from ninep.linux import LOCK_RDLCK, O_RDONLY, O_RDWR, O_TRUNC, Errno
from ninep.node import Changes
from ninep.testing.suite.tree import in_buffers

pytestmark = pytest.mark.skipif(host.BY_NAME, reason="an open handle keeps others from removing the file here")


@pytest.fixture
def few(attach: Callable[..., LocalNode], model: str) -> LocalNode:
    return attach(model, handles=LIMIT)


def evict(*files: LocalFile) -> None:
    """Make the clock take their handles, and the path handles of their nodes."""
    for file in files:
        handles = file.node.table.handles
        for _ in range(10):
            handles.make_room()
        assert file.handle is NO_HANDLE
        assert file.node.path_handle is None or file.node.detached


def opened(root: LocalNode, name: bytes, content: bytes = b"data", flags: int = O_RDONLY) -> IdleFile:
    """A file with some content, open."""
    node, file = root.create(name, NEW, 0o644, 0, 0)
    file.write(0, content)
    file.close()
    found = node.open(flags)
    assert isinstance(found, IdleFile)
    return found


def test_many_files_few_handles(few: LocalNode, folder: Path) -> None:
    before = handles()
    files = [opened(few, b"%d" % number, b"content %d" % number) for number in range(5 * LIMIT)]
    assert handles() - before <= LIMIT
    for _ in range(2):
        for number, file in enumerate(files):
            assert bytes(file.read_now(0, 100)) == bytes(file.read(0, 100)) == b"content %d" % number
    for number, file in enumerate(files):
        memory, buffers = in_buffers(bytes(20), (4, 16))
        assert file.read_into(0, buffers) == len(b"content %d" % number)
        assert memory.rstrip(b"\0") == b"content %d" % number
    assert handles() - before <= LIMIT
    for file in files:
        file.close()
        file.node.release()
    assert handles() <= before
    assert few.table.handles.opened == 0
    assert not few.table.handles._files


def test_path_handles_go_first(few: LocalNode, folder: Path) -> None:
    file = opened(few, b"file")
    for number in range(2 * LIMIT):
        (folder / f"{number}").touch()
        few.walk(b"%d" % number)
    assert file.handle is not NO_HANDLE


def test_who_writes_keeps_his_handle(few: LocalNode) -> None:
    files = [few.create(b"%d" % number, NEW, 0o644, 0, 0)[1] for number in range(20)]
    files.append(opened(few, b"file").node.open(O_RDWR))
    for _ in range(10):
        few.table.handles.make_room()
    assert all(file.handle is not NO_HANDLE for file in files)
    assert few.table.handles.opened == 21  # the one that was open for reading only has none
    for file in files:
        file.close()


def test_who_locked_keeps_his_handle(few: LocalNode) -> None:
    file = opened(few, b"file")
    evict(file)
    file.lock(LOCK_RDLCK, 0, 10)
    for _ in range(10):
        few.table.handles.make_room()
    other = few.walk(b"file").open(O_RDWR)
    assert other.test_lock(1, 0, 10) is not None
    file.close()
    assert other.test_lock(1, 0, 10) is None
    other.close()


def test_renamed_and_removed_by_a_client(few: LocalNode, folder: Path) -> None:
    file = opened(few, b"file", b"kept")
    evict(file)
    few.rename(b"file", few, b"renamed")
    assert bytes(file.read(0, 100)) == b"kept"
    evict(file)
    few.unlink(b"renamed", directory=False)
    assert bytes(file.read(0, 100)) == b"kept"
    evict(file)
    assert bytes(file.read(0, 100)) == b"kept"
    assert not os.listdir(folder) or few.table.model.reserved_names
    file.close()
    file.node.release()


def test_replaced_by_a_client(few: LocalNode) -> None:
    old, new = opened(few, b"old", b"old content"), opened(few, b"new", b"new content")
    evict(old, new)
    few.rename(b"new", few, b"old")
    evict(old, new)
    assert (bytes(old.read(0, 100)), bytes(new.read(0, 100))) == (b"old content", b"new content")


def test_what_took_the_name_is_not_the_file(few: LocalNode, folder: Path) -> None:
    """A host process renames it: nobody can tell where it went. As long as the handle was there, it
    did not matter.
    """
    file = opened(few, b"file", b"mine")
    os.rename(folder / "file", folder / "other")
    assert bytes(file.read(0, 100)) == b"mine"
    evict(file)
    assert refusal(lambda: file.read(0, 100)) is Errno.ENOENT
    (folder / "file").write_bytes(b"another's")
    assert refusal(lambda: file.read(0, 100)) is Errno.ESTALE
    (folder / "file").unlink()
    (folder / "file").symlink_to("other")
    assert refusal(lambda: file.read(0, 100)) is Errno.ESTALE
    os.rename(folder / "other", folder / "file")
    assert bytes(file.read(0, 100)) == b"mine"


def test_without_a_birth_time_it_keeps_its_handle(few: LocalNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "birth_time", lambda _: None)
    file = opened(few, b"file")
    for _ in range(10):
        few.table.handles.make_room()
    assert file.handle is not NO_HANDLE


def test_truncated_once(few: LocalNode) -> None:
    """O_TRUNC is of the open, not of every time the handle comes back."""
    file = opened(few, b"file", b"data", O_RDONLY | O_TRUNC)
    writer = file.node.open(O_RDWR)
    writer.write(0, b"written later")
    evict(file)
    assert bytes(file.read(0, 100)) == b"written later"
    file.node.setattr(Changes(size=7))
    evict(file)
    assert bytes(file.read(0, 100)) == b"written"
    for one in (file, writer):
        one.close()


def test_only_reading(few: LocalNode) -> None:
    file = opened(few, b"file")
    assert refusal(lambda: file.write(0, b"x")) is Errno.EBADF
    assert refusal(lambda: file.truncate(0)) is Errno.EBADF
    evict(file)
    file.fsync(datasync=False)
    assert refusal(lambda: file.write(0, b"x")) is Errno.EBADF


def test_who_reads_keeps_what_he_reads_with(few: LocalNode) -> None:
    file = opened(few, b"file", b"mine")
    handle = file.get_handle()
    evict(file)
    assert os.pread(handle, 100, 0) == b"mine"
    number = int(handle)
    del handle
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_a_closed_file_does_not_come_back(few: LocalNode) -> None:
    """Another fid's fsync may go through it at that moment."""
    file = opened(few, b"file")
    evict(file)
    file.close()
    file.fsync(datasync=False)
    assert few.table.handles.opened == 0
    assert not few.table.handles._files


def test_threads_read_while_handles_come_and_go(few: LocalNode) -> None:
    files = [opened(few, b"%d" % number, b"%d" % number * 100) for number in range(3 * LIMIT)]
    wrong: list[object] = []

    def read(start: int) -> None:
        try:
            for turn in range(600):
                number = (start * 37 + turn * 7) % len(files)
                if bytes(files[number].read(0, 1000)) != b"%d" % number * 100:
                    wrong.append(number)
        except BaseException as error:  # noqa: BLE001 - a thread's failure must reach the test
            wrong.append(error)

    threads = [threading.Thread(target=read, args=(start,)) for start in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert few.table.handles.path_handles + few.table.handles.opened <= LIMIT + 6
    for file in files:
        file.close()
    assert few.table.handles.opened == 0
