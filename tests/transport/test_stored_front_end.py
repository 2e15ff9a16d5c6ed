"""A server that is restarted, or dies, while its front ends are stored by a service manager: the
virtual machine notices nothing but requests that fail until it mounts again.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.serving import Server as Program
from tests.support.virtio_client import Ring

from ninep.host.shared import map_shared
from ninep.linux import GETATTR_BASIC, Errno
from ninep.transport import stored_front_end
from ninep.virtio.journal import SIZE, Journal
from ninep.wire import messages as m
from ninep.wire.codec import codec
from ninep.wire.modes import EXTENDED

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="vhost-user is Linux's")
C = codec(EXTENDED)
HANDS_OVER = """
import fcntl, os
handed = {handed}
high = [(name, fcntl.fcntl(number, fcntl.F_DUPFD, 200)) for name, number in handed]
for _, number in handed:
    os.close(number)
for place, (name, number) in enumerate(high):
    os.dup2(number, 3 + place)
    os.close(number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(high)), LISTEN_FDNAMES=":".join(n for n, _ in high))
"""
HANGS = """
import os, time
os.fsync = os.fdatasync = lambda _: time.sleep(1000)
"""


class Manager:
    """As much of systemd as a service with FileDescriptorStoreMax= sees."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.store: dict[str, list[int]] = {}
        self._changed = threading.Condition()
        self._barriers = 0
        self.reads = threading.Event()
        self.reads.set()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            self.reads.wait()
            data, descriptors, _, _ = socket.recv_fds(self.socket, 4096, 16)
            if not data:
                return
            words = dict(line.split("=", 1) for line in data.decode().splitlines())
            with self._changed:
                if "FDSTORE" in words:
                    self.store.setdefault(words["FDNAME"], []).extend(descriptors)
                elif "FDSTOREREMOVE" in words:
                    for number in self.store.pop(words["FDNAME"], ()):
                        os.close(number)
                elif "BARRIER" in words:
                    self._barriers += 1
                self._changed.notify_all()

    def until_complete(self) -> None:
        """All is stored that the journals of the front ends name."""
        with self._changed:
            assert self._changed.wait_for(self._complete, 60), list(self.store)

    def _complete(self) -> bool:
        journals = {name.rpartition(".")[0]: numbers[0] for name, numbers in self.store.items() if "journal" in name}
        return bool(journals) and all(
            f"{name}.{number}" in self.store
            for name, descriptor in journals.items()
            for number in Journal(map_shared(descriptor, SIZE)).numbers
        )

    def until_empty(self) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: not self.store, 60), list(self.store)

    def _send(self, words: bytes) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(self.socket.getsockname())
            sock.send(words)

    def handed_over(self) -> tuple[str, tuple[int, ...]]:
        """What is to be run in the next process before the program, and what it inherits: of all
        that was sent so far.
        """
        with self._changed:
            wanted = self._barriers + 1
            self._send(b"BARRIER=1")
            assert self._changed.wait_for(lambda: self._barriers == wanted, 60)
            handed = [(name, number) for name, numbers in self.store.items() for number in numbers]
        return HANDS_OVER.format(handed=handed), tuple(number for _, number in handed)

    def close(self) -> None:
        self._send(b"")
        for numbers in self.store.values():
            for number in numbers:
                os.close(number)
        self.socket.close()


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    path = tmp_path / "notify"
    made = Manager(path)
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    yield made
    made.close()


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    (tmp_path / "export").mkdir()
    return [str(tmp_path / "export"), "--listen", f"vhost-user:{tmp_path}/vm.sock,tag=src", "--verbose"]


def again(manager: Manager, options: list[str], before: str = "") -> Program:
    """The next process of the service."""
    patch, keep = manager.handed_over()
    return Program(*options, patch=patch + before, keep=keep)


def refused(frame: bytes) -> bool:
    return C.decode(frame)[1] == m.Rlerror(Errno.ENOTCONN)


def test_a_server_that_dies_with_a_request_in_flight(manager: Manager, options: list[str], tmp_path: Path) -> None:
    first = Program(*options, patch=HANGS)
    first.start()
    ring = Ring(f"{tmp_path}/vm.sock")
    client = ring.client()
    client.create(0, 1, b"f", b"hello")
    client.send(m.Tfsync(1, 0))
    assert client.read(1) == b"hello"  # it has been passed: the order in the ring tells nothing
    manager.until_complete()
    os.kill(first.pid, signal.SIGKILL)
    first.stop(check=False)
    assert len(ring.front.driver.requests) == 1
    ring.front.offer([C.encode(9, m.Tgetattr(0, GETATTR_BASIC))[0]], [200])
    with again(manager, options) as second:
        assert refused(ring.front.collect())
        assert refused(ring.front.collect())
        assert not ring.front.driver.requests
        client = ring.client()
        client.walk(0, 1, b"f")
        client.open(1)
        assert client.read(1) == b"hello"
        ring.front.stop()
        ring.front.start()
        assert client.read(1) == b"hello"
        ring.front.reset()
        ring.front.start()
        ring.client()
        ring.close()
        manager.until_empty()
    assert re.search("taken over from an earlier process", second.said())


def test_a_restart_and_another(manager: Manager, options: list[str], tmp_path: Path) -> None:
    with Program(*options):
        ring = Ring(f"{tmp_path}/vm.sock")
        ring.client().create(0, 1, b"f", b"hello")
        idle = Ring(f"{tmp_path}/vm.sock", start=False)  # its guest still boots
        reset = Ring(f"{tmp_path}/vm.sock")
        reset.client().create(0, 1, b"g")
        reset.front.reset()  # and its driver is unloaded
        stopped = Ring(f"{tmp_path}/vm.sock")
        stopped.client().create(0, 1, b"h")
        stopped.front.stop()
    for _ in range(2):
        with again(manager, options):
            assert refused(ring.front.call(C.encode(9, m.Tgetattr(0, GETATTR_BASIC))[0], 200))
            ring.client().walk(0, 1, b"f")
    with again(manager, options):
        stopped.front.start()
        assert refused(stopped.front.call(C.encode(9, m.Tgetattr(0, GETATTR_BASIC))[0], 200))
        stopped.client().walk(0, 1, b"h")
        stopped.close()
        reset.front.config(5)
        reset.front.start()
        reset.client().walk(0, 1, b"g")
        reset.close()
        idle.front.realize()
        idle.front.start()
        idle.client().walk(0, 1, b"f")
        ring.close()
        idle.close()
        manager.until_empty()


def test_a_manager_that_does_not_read_for_a_while(manager: Manager, options: list[str], tmp_path: Path) -> None:
    """The queue of its socket holds a few datagrams (net.unix.max_dgram_qlen), and a descriptor that it
    does not get is a front end that is lost with the process.
    """
    with Program(*options):
        manager.reads.clear()
        rings = [Ring(f"{tmp_path}/vm.sock") for _ in range(3)]
        for number, ring in enumerate(rings):
            ring.client().create(0, 1, b"%d" % number, b"hello")
        manager.reads.set()
    for _ in range(2):
        with again(manager, options):
            for number, ring in enumerate(rings):
                assert refused(ring.front.call(C.encode(9, m.Tgetattr(0, GETATTR_BASIC))[0], 200))
                ring.client().walk(0, 1, b"%d" % number)
    for ring in rings:
        ring.close()


def test_one_of_which_something_is_missing_is_let_go(manager: Manager, options: list[str], tmp_path: Path) -> None:
    """And no other: the server begins."""
    with Program(*options):
        rings = [Ring(f"{tmp_path}/vm.sock") for _ in range(2)]
        for ring in rings:
            ring.client()
        manager.until_complete()
        first = next(name for name in manager.store if name.endswith(".socket")).rpartition(".")[0]
        lost = next(name for name in manager.store if name.startswith(first) and name[len(first) + 1 :].isdecimal())
    os.close(manager.store.pop(lost).pop())
    with again(manager, options) as second:
        assert rings[0].front.socket.recv(1) == b""
        assert refused(rings[1].front.call(C.encode(9, m.Tgetattr(0, GETATTR_BASIC))[0], 200))
        rings[1].client()
        rings[1].close()
        manager.until_empty()
    assert "1 of its descriptors are missing" in second.said()
    rings[0].close()


def test_one_that_nothing_listens_for_any_more_is_let_go(manager: Manager, options: list[str], tmp_path: Path) -> None:
    with Program(*options):
        ring = Ring(f"{tmp_path}/vm.sock")
    patch, keep = manager.handed_over()
    with Program(options[0], patch=patch, keep=keep) as other:
        manager.until_empty()
        assert ring.front.socket.recv(1) == b""
    assert "nothing listens at its address" in other.said()
    ring.close()


def test_names_of_what_is_stored() -> None:
    name = f"{stored_front_end.PREFIX}.0123456789abcdef.socket"
    assert len(name) < 255
    assert ":" not in name
