"""``writeout=immediate``: each write is followed by the beginning of its write-back, in a thread that
may wait.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.drivers.local.conftest import NEW, refusal

from ninep import host
from ninep.drivers.local import LocalDriver, LocalNode
from ninep.drivers.local.writeout import SlowWriteoutFile, SlowWriteoutNode
from ninep.errors import Refused
from ninep.linux import NO_ID, O_APPEND, O_WRONLY, Errno
from ninep.node import OpenFile, WouldBlock, serve_in_this_thread
from ninep.options import BadOption

linux_only = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="sync_file_range(2) is Linux's")
Calls = list[tuple[int, int]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The ranges, each of which the host is really asked for."""
    seen: Calls = []
    real = host.sync_file_range

    def sync_file_range(handle: host.Handle, offset: int, count: int) -> None:
        real(handle, offset, count)
        seen.append((offset, count))

    monkeypatch.setattr(host, "sync_file_range", sync_file_range)
    return seen


def new(root: LocalNode, name: bytes = b"file", flags: int = NEW) -> OpenFile:
    node, file = root.create(name, flags, 0o644, os.geteuid(), os.getegid())
    node.release()
    return file


@linux_only
def test_each_write_begins_the_write_back_of_its_range(attach: Callable[..., LocalNode], calls: Calls) -> None:
    file, other = new(attach(writeout="immediate")), new(attach(writeout="immediate"), b"other")
    assert file.write(5, b"12345") == 5
    assert file.write_from(100, [memoryview(b"123"), memoryview(b"45678")]) == 8
    assert file.write(0, b"") == 0  # nothing to write back
    assert file.copy_file_range(100, other, 7, 4) == 4
    assert file.read(100, 8) == b"12345678"
    assert calls == [(5, 5), (100, 8), (7, 4)]
    file.close()
    other.close()


@linux_only
def test_where_the_host_decides_the_place_all_of_the_file_is(attach: Callable[..., LocalNode], calls: Calls) -> None:
    root = attach(writeout="immediate")
    new(root).close()
    node = root.walk(b"file")
    file = node.open(O_WRONLY | O_APPEND)
    file.write(0, b"data")
    assert calls == [(0, 0)]
    file.close()
    node.release()


@linux_only
def test_a_write_waits_in_a_worker_thread_and_nothing_is_written_before(attach: Callable[..., LocalNode]) -> None:
    file = new(attach(writeout="immediate"))
    serve_in_this_thread(1)
    try:
        with pytest.raises(WouldBlock):
            file.write(0, b"data")
        with pytest.raises(WouldBlock):
            file.write_from(0, [memoryview(b"data")])
    finally:
        serve_in_this_thread(-1)
    assert file.read(0, 10) == b""
    file.close()


@linux_only
def test_an_error_of_the_device_is_the_answer_of_the_write(
    attach: Callable[..., LocalNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = new(attach(writeout="immediate"))

    def fail(handle: host.Handle, offset: int, count: int) -> None:
        raise OSError(5, "EIO")

    monkeypatch.setattr(host, "sync_file_range", fail)
    assert refusal(file.write, 0, b"data") is Errno.EIO
    file.close()


@linux_only
def test_without_the_option_it_is_not_called(attach: Callable[..., LocalNode], calls: Calls) -> None:
    file = new(attach())
    file.write(0, b"data")
    assert calls == []
    file.close()


@linux_only
def test_storage_that_waits_has_it_too(folder: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = LocalDriver(str(folder), "passthrough", writeout="immediate")
    monkeypatch.setattr(type(driver._table.root), "file_type", SlowWriteoutNode.file_type)
    file = new(driver._table.root)
    assert isinstance(file, SlowWriteoutFile)
    file.write(0, b"data", NO_ID)
    assert calls == [(0, 4)]
    file.close()
    driver.close()


def test_other_words_and_systems_are_refused_at_the_start(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadOption, match="'later' is not one of immediate"):
        LocalDriver(str(folder), "passthrough", writeout="later")

    def lacking(handle: host.Handle, offset: int, count: int) -> None:
        raise Refused(Errno.EOPNOTSUPP)

    monkeypatch.setattr(host, "sync_file_range", lacking)
    with pytest.raises(BadOption, match="this system cannot"):
        LocalDriver(str(folder), "passthrough", writeout="immediate")
    LocalDriver(str(folder), "passthrough").close()
