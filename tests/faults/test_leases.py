"""Files on which another process has a lease (fcntl(2), F_SETLEASE): who opens one waits until the
lease is given up, and nobody else does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from tests.threats.lab import Lab

from ninep import host
from ninep.errors import linux_errno
from ninep.host import NO_HANDLE, ObjectRef
from ninep.linux import O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, SETATTR_SIZE, Errno
from ninep.node import WouldBlock, serve_in_this_thread
from ninep.wire import messages as m

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="leases are Linux's")
ROOT, FILE = 0, 1
HOLDER = """
import fcntl, os, signal, sys
signal.signal(signal.SIGIO, lambda *_: print("asked", flush=True))
handle = os.open(sys.argv[1], os.O_RDWR)
fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
for line in sys.stdin:
    fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    os.close(handle)
    print("free", flush=True)
"""


class Lease:
    """A write lease on a file, held by another process until ``give_up``."""

    def __init__(self, path: Path) -> None:
        argv = [sys.executable, "-c", HOLDER, str(path)]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self._line() != "held":
            self.__exit__()
            pytest.skip("no lease can be had here")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _line(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def until_asked(self) -> None:
        """Somebody wants to open it."""
        assert self._line() == "asked"

    def give_up(self) -> None:
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        assert self._line() == "free"


@pytest.fixture
def base() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ninep-lease.") as folder:
        yield Path(folder)


ASKS: dict[str, m.Message] = {
    "read": m.Tlopen(FILE, O_RDONLY),
    "write": m.Tlopen(FILE, O_RDWR),
    "truncate": m.Tlopen(FILE, O_RDWR | O_TRUNC),
    "resize": m.Tsetattr(FILE, SETATTR_SIZE, 0, 0, 0, 3, 0, 0, 0, 0),
    "create over it": m.Tlcreate(2, b"file", O_RDWR | O_CREAT, 0o644, 0),
}


@pytest.mark.parametrize("model", ["passthrough", "none", "mapped-owner", "mapped-xattr", "mapped-file"])
@pytest.mark.parametrize("verb", ASKS)
def test_a_leased_file_delays_no_other_client(base: Path, model: str, verb: str) -> None:
    (base / "export").mkdir()
    (base / "export" / "file").write_bytes(b"content")
    with Lab(base, model) as lab:
        client = lab.client()
        client.walk(ROOT, FILE, b"file")
        client.walk(ROOT, 2)
        with Lease(base / "export" / "file") as lease:
            tag = client.send(ASKS[verb])
            lease.until_asked()
            lab.alive()
            assert not client.arrived(tag)
            lease.give_up()
            client.reply(tag)
        client.clunk(FILE, 2)
    assert (base / "export" / "file").read_bytes() == {"truncate": b"", "resize": b"con"}.get(verb, b"content")


def test_a_link_that_is_a_file_with_a_lease(base: Path) -> None:
    """The target of a link is the content of a file in mapped-xattr."""
    with Lab(base, "mapped-xattr") as lab:
        client = lab.client()
        client.rpc(m.Tsymlink(ROOT, b"link", b"target", 0))
        client.walk(ROOT, FILE, b"link")
        with Lease(base / "export" / "link") as lease:
            tag = client.send(m.Treadlink(FILE))
            lease.until_asked()
            lab.alive()
            lease.give_up()
            assert getattr(client.reply(tag), "target") == b"target"  # noqa: B009 - a message's field
        client.clunk(FILE)


def test_a_record_of_mapped_file_with_a_lease(base: Path) -> None:
    """One that a host process put there."""
    (base / "export" / ".virtfs_metadata").mkdir(parents=True)
    (base / "export" / "file").write_bytes(b"")
    (base / "export" / ".virtfs_metadata" / "file").write_bytes(b"virtfs.mode=33188\n")
    with Lab(base, "mapped-file") as lab, Lease(base / "export" / ".virtfs_metadata" / "file") as lease:
        client = lab.client()
        tag = client.send(m.Twalk(ROOT, FILE, [b"file"]))
        lease.until_asked()
        lab.alive()
        assert not client.arrived(tag)
        lease.give_up()
        client.reply(tag)
        client.clunk(FILE)


@pytest.mark.parametrize("by_name", [True, False])
def test_the_host_waits_only_where_one_may(base: Path, by_name: bool) -> None:
    (base / "file").write_bytes(b"content")
    dir = host.open_root(str(base))
    path_handle = host.open_path(dir, b"file")

    def opened() -> host.Handle:
        return (
            host.open_at(dir, b"file", O_RDONLY)
            if by_name
            else host.open_file(ObjectRef(path_handle, NO_HANDLE, b""), O_RDONLY)
        )

    try:
        with Lease(base / "file") as lease:
            serve_in_this_thread(1)
            try:
                with pytest.raises(WouldBlock):
                    opened()
            finally:
                serve_in_this_thread(-1)
            lease.until_asked()
            lease.give_up()
            host.close(opened())
    finally:
        host.close(path_handle)
        host.close(dir)


def test_a_fifo_in_the_place_of_a_leased_file_is_not_waited_for(base: Path) -> None:
    os.mkfifo(base / "file")
    dir = host.open_root(str(base))
    try:
        with pytest.raises(OSError) as failure:  # noqa: PT011 - the errno is what counts
            host.open_at(dir, b"file", O_RDONLY)
        assert linux_errno(failure.value) is Errno.ENXIO
    finally:
        host.close(dir)
