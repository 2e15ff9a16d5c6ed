"""T07: FIFOs, sockets and devices on the host are never opened: ENXIO, and not a byte reaches them.

Who opens one hangs: nothing is at the other end. ``RawClient`` fails for a reply that does not
come.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from tests.serving import may_become_another_user
from tests.support.client import Failed
from tests.threats.lab import Lab, beside, codes
from tests.threats.verbs import FILE, ROOT, SPARE, setattr_

from ninep.linux import NO_ID, O_APPEND, O_CREAT, O_DIRECT, O_EXCL, O_NONBLOCK, O_RDWR, O_TRUNC, SETATTR_SIZE, Errno
from ninep.wire import messages as m

KINDS = ("fifo", "socket", "null", "tty")
NOT_ROOT = "only root may make devices"
LINUX_FLAGS = [
    access | more
    for access in (0, 1, 2)
    for more in (0, O_TRUNC, O_APPEND, O_NONBLOCK, O_DIRECT, O_CREAT, O_TRUNC | O_APPEND)
]
BASE_MODES = [access | more for access in (0, 1, 2, 3) for more in (0, 0x10, 0x20, 0x40, 0x80)]


def special(folder: Path, kind: str) -> bytes:
    path = folder / kind
    match kind:
        case "fifo":
            os.mkfifo(path, 0o666)
        case "socket":
            with socket.socket(socket.AF_UNIX) as sock:
                sock.bind(os.path.relpath(path))
        case _ if may_become_another_user():
            os.mknod(path, 0o20666, os.makedev(*{"null": (1, 3), "tty": (5, 0)}[kind]))
        case _:
            pytest.skip(NOT_ROOT)
    return kind.encode()


@pytest.mark.parametrize("kind", KINDS)
def test_no_way_to_open_one(lab: Lab, dialect: bytes, kind: str) -> None:
    name = special(lab.top, kind)
    with lab.client(dialect) as client:
        client.walk(ROOT, FILE, name)
        opens = [m.Topen(FILE, mode) for mode in BASE_MODES]
        if client.linux:
            opens += [m.Tlopen(FILE, flags) for flags in LINUX_FLAGS]
        for message in opens:
            assert client.errors_of(message) & {Errno.ENXIO}, message
        client.rpc(m.Tstat(FILE))


@pytest.mark.parametrize("kind", KINDS)
def test_no_way_to_create_over_one(lab: Lab, dialect: bytes, kind: str) -> None:
    name = special(lab.top, kind)
    with lab.client(dialect) as client:
        creates = [m.Tcreate(SPARE, name, 0o644, mode) for mode in (0, 1, 2, 0x10, 0x12)]
        if client.linux:
            creates += [
                m.Tlcreate(SPARE, name, flags, 0o644, NO_ID) for flags in (O_RDWR, O_RDWR | O_TRUNC, O_RDWR | O_EXCL)
            ]
        client.walk(ROOT, SPARE)
        for message in creates:
            assert client.errors_of(message) & {Errno.ENXIO, Errno.EEXIST}, message


@pytest.mark.parametrize("kind", KINDS)
def test_truncating_and_attributes_do_not_open_one(lab: Lab, kind: str) -> None:
    name = special(lab.top, kind)
    before = os.lstat(lab.top / kind)
    with lab.client() as client:
        client.walk(ROOT, FILE, name)
        assert client.errors_of(setattr_(SETATTR_SIZE, size=0)) & {Errno.ENXIO, Errno.EINVAL}
        for attribute in (b"user.x", b"security.x", b""):
            client.errors_of(m.Txattrwalk(FILE, SPARE, attribute))
            client.errors_of(m.Tclunk(SPARE))
        client.walk(ROOT, SPARE, name)
        if not client.errors_of(m.Txattrcreate(SPARE, b"user.x", 1, 0)):
            client.rpc(m.Twrite(SPARE, 0, b"x"))
        client.errors_of(m.Tclunk(SPARE))
    after = os.lstat(lab.top / kind)
    assert (after.st_mode, after.st_rdev, after.st_mtime_ns) == (before.st_mode, before.st_rdev, before.st_mtime_ns)


def test_a_fifo_with_a_reader_gets_nothing(lab: Lab, dialect: bytes) -> None:
    name = special(lab.top, "fifo")
    reader = os.open(lab.top / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    with lab.client(dialect) as client:
        client.walk(ROOT, FILE, name)
        for mode in BASE_MODES:
            assert client.errors_of(m.Topen(FILE, mode)) & {Errno.ENXIO}
    assert os.read(reader, 100) == b""
    os.close(reader)


@pytest.mark.parametrize("kind", ["fifo", "null"])
def test_a_file_that_becomes_special_between_look_and_open(lab: Lab, dialect: bytes, kind: str) -> None:
    """A host process exchanges a file with a special one while clients open it for writing, again
    and again.
    """
    special(lab.top, kind)
    (lab.top / "file").write_bytes(b"")

    def exchanging(stop: object) -> None:
        while not stop.is_set():  # type: ignore[attr-defined]
            os.rename(lab.top / "file", lab.top / "kept")
            os.link(lab.top / kind, lab.top / "file")
            os.rename(lab.top / "kept", lab.top / "file")

    with lab.client(dialect) as client, beside(exchanging):
        for _ in range(300):
            said: set[Errno] = set()
            try:
                client.rpc(m.Twalk(ROOT, FILE, [b"file"]))
                client.open(FILE, 2)
                client.rpc(m.Twrite(FILE, 0, b"data"))
            except Failed as failure:
                said = codes(failure)
            assert not said or said & {Errno.ENXIO, Errno.ENOENT, Errno.ESTALE}
            client.errors_of(m.Tclunk(FILE))
