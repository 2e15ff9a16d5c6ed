"""Locks between processes, and reads that would wait."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.drivers.local.conftest import NEW, refusal
from tests.support.client import TIMEOUT

from ninep import host
from ninep.drivers.local import LocalNode, slow
from ninep.errors import Refused
from ninep.linux import LOCK_RDLCK, LOCK_UNLCK, LOCK_WRLCK, O_RDONLY, O_RDWR, Errno
from ninep.node import OpenFile, WouldBlock
from ninep.testing.suite.tree import in_buffers

OTHER = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    kind = fcntl.LOCK_EX if sys.argv[2] == "write" else fcntl.LOCK_SH
    try:
        fcntl.lockf(file, kind | fcntl.LOCK_NB, int(sys.argv[4]), int(sys.argv[3]))
    except BlockingIOError:
        print("blocked", flush=True)
    else:
        print("locked", flush=True)
    sys.stdin.read()
"""


@contextmanager
def other_process(path: Path, kind: str, start: int, length: int) -> Iterator[tuple[str, int]]:
    """A process of the host that tries a POSIX lock: what it says, and its pid."""
    command = [sys.executable, "-c", OTHER, str(path), kind, str(start), str(length)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process.pid
        process.communicate("", timeout=TIMEOUT)


@pytest.fixture
def file(attach: Callable[..., LocalNode]) -> LocalNode:
    node, opened = attach().create(b"file", NEW, 0o666, os.geteuid(), os.getegid())
    opened.write(0, b"0123456789")
    opened.close()
    return node


def test_our_lock_keeps_others_out(file: LocalNode, folder: Path) -> None:
    opened = file.open(O_RDWR)
    opened.lock(LOCK_WRLCK, 2, 3)
    for start, length, answer in ((0, 2, "locked"), (4, 1, "blocked"), (5, 5, "locked"), (0, 0, "blocked")):
        with other_process(folder / "file", "write", start, length) as (said, _):
            assert said == answer
    opened.lock(LOCK_UNLCK, 0, 0)
    with other_process(folder / "file", "write", 0, 0) as (said, _):
        assert said == "locked"
    opened.lock(LOCK_WRLCK, 0, 0)
    opened.close()
    with other_process(folder / "file", "write", 0, 0) as (said, _):
        assert said == "locked"


def test_the_lock_of_another_keeps_us_out(file: LocalNode, folder: Path) -> None:
    opened = file.open(O_RDWR)
    with other_process(folder / "file", "write", 2, 3) as (said, pid):
        assert said == "locked"
        assert refusal(lambda: opened.lock(LOCK_RDLCK, 0, 0)) is Errno.EAGAIN
        opened.lock(LOCK_WRLCK, 5, 0)
        assert opened.test_lock(LOCK_WRLCK, 0, 0) == (LOCK_WRLCK, 2, 3, pid)
        assert opened.test_lock(LOCK_WRLCK, 5, 0) is None
    with other_process(folder / "file", "read", 0, 4) as (said, _):
        opened.lock(LOCK_RDLCK, 0, 4)
    opened.close()


def test_a_write_lock_through_a_file_opened_for_reading(file: LocalNode, folder: Path) -> None:
    """flock(2) allows it, and its clients send it as a write lock."""
    opened = file.open(O_RDONLY)
    opened.lock(LOCK_WRLCK, 0, 0)
    with other_process(folder / "file", "read", 0, 0) as (said, _):
        assert said == "blocked"
    opened.lock(LOCK_UNLCK, 0, 0)
    with other_process(folder / "file", "write", 0, 0) as (said, _):
        assert said == "locked"
    opened.lock(LOCK_WRLCK, 0, 0)
    opened.close()
    with other_process(folder / "file", "write", 0, 0) as (said, _):
        assert said == "locked"


def test_a_read_that_would_wait(file: LocalNode, monkeypatch: pytest.MonkeyPatch) -> None:
    def waits(handle: host.Handle, count: int, offset: int) -> bytes:
        raise WouldBlock

    monkeypatch.setattr(host, "read_now", waits)
    opened = file.open(O_RDONLY)
    with pytest.raises(WouldBlock):
        opened.read_now(0, 10)
    assert opened.read(0, 10) == b"0123456789"
    opened.close()


def test_a_filesystem_that_cannot_tell_is_asked_once(file: LocalNode, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def cannot(handle: host.Handle, count: int, offset: int) -> bytes:
        asked.append(offset)
        raise Refused(Errno.EOPNOTSUPP)

    monkeypatch.setattr(host, "read_now", cannot)
    opened = file.open(O_RDONLY)
    assert [bytes(opened.read_now(place, 5)) for place in (0, 5, 10)] == [b"01234", b"56789", b""]
    assert asked == [0]
    opened.close()


def test_into_buffers_without_preadv2(file: LocalNode, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def cannot(handle: host.Handle, buffers: list[memoryview], offset: int) -> int:
        asked.append(offset)
        raise Refused(Errno.EOPNOTSUPP)

    monkeypatch.setattr(host, "read_into_now", cannot)
    for flags in (O_RDONLY, O_RDWR):
        opened = file.open(flags)
        memory, buffers = in_buffers(bytes(6), (2, 4))
        assert [(opened.read_into(place, buffers), bytes(memory)) for place in (0, 5, 10)] == [
            (6, b"012345"),
            (5, b"567895"),
            (0, b"567895"),
        ]
        opened.close()
    assert asked == [0, 0]


def test_into_buffers_that_would_wait(file: LocalNode, monkeypatch: pytest.MonkeyPatch) -> None:
    def waits(handle: host.Handle, buffers: list[memoryview], offset: int) -> int:
        raise WouldBlock

    monkeypatch.setattr(host, "read_into_now", waits)
    opened = file.open(O_RDONLY)
    with pytest.raises(WouldBlock):
        opened.read_into(0, in_buffers(bytes(6), (6,))[1])
    opened.close()


def test_every_verb_of_a_slow_file_asks_for_a_thread() -> None:
    verbs = {name for name, member in vars(OpenFile).items() if callable(member) and not name.startswith("_")}
    assert verbs - {"close"} == set(slow.FILE_VERBS)


def test_short_reads_are_not_the_end(file: LocalNode, monkeypatch: pytest.MonkeyPatch) -> None:
    read = host.read
    monkeypatch.setattr(host, "read", lambda handle, count, offset: read(handle, min(count, 3), offset))
    opened = file.open(O_RDONLY)
    assert opened.read(0, 100) == b"0123456789"
    assert opened.read(2, 4) == b"2345"
    opened.close()
