"""T15: bytes of somebody else, or of nobody, in a reply."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable

import pytest
from tests.threats.lab import LINUX, Attacker, Lab, beside
from tests.threats.verbs import FILE, ROOT, SPARE

from ninep.linux import Errno
from ninep.wire import messages as m

SIZE = 60_000


def test_an_attribute_being_written_is_not_read(labs: Callable[..., Lab], model: str) -> None:
    with labs(model).client(msize=1 << 17) as client:
        client.create(ROOT, FILE, b"file")
        client.clunk(FILE)
        for written in (0, 10, 65536):
            client.walk(ROOT, FILE, b"file")
            client.rpc(m.Txattrcreate(FILE, b"user.x", 65536, 0))
            client.rpc(m.Twrite(FILE, 0, b"x" * written))
            client.refuses(m.Tread(FILE, 0, 65536), Errno.EINVAL)
            client.errors_of(m.Tclunk(FILE))


@pytest.mark.parametrize("change", ["shrinks", "grows", "goes"])
def test_an_attribute_that_changes_after_it_was_looked_up(labs: Callable[..., Lab], model: str, change: str) -> None:
    lab = labs(model)
    with lab.client(msize=1 << 17) as client:
        client.create(ROOT, FILE, b"file")
        os.setxattr(lab.top / "file", "user.x", b"before" * 100)
        size = client.rpc(m.Txattrwalk(FILE, SPARE, b"user.x")).size
        if change == "goes":
            os.removexattr(lab.top / "file", "user.x")
        else:
            os.setxattr(lab.top / "file", "user.x", b"after" * (1 if change == "shrinks" else 500))
        assert client.read(SPARE, 0, 1 << 16) == b"before" * 100
        assert size == 600
        assert client.read(SPARE, 600, 100) == b""
        assert client.read(SPARE, 1 << 62, 100) == b""


def test_two_clients_never_see_each_others_bytes(labs: Callable[..., Lab], dialect: bytes) -> None:
    """They write and read by turns, all sizes, in step and pipelined: every reply is searched for
    what only the other one wrote.
    """
    lab = labs("passthrough")
    marks = [secrets.token_hex(16).encode() for _ in range(2)]
    clients = [lab.client(dialect, 1 << 17) for _ in marks]
    for which, client in enumerate(clients):
        client._secrets = (*client._secrets, marks[1 - which])
        client.create(ROOT, FILE, b"of-%d" % which)
    for length in (32, 100, 4096, 8192, SIZE, 33, 32):
        for client, mark in zip(clients, marks, strict=True):
            content = mark * (length // len(mark))
            client.rpc(m.Twrite(FILE, 0, content))
            client.refuses(m.Tread(999, 0, length), Errno.EBADF)
            assert client.read(FILE, 0, len(content)) == content
            tags = client.send_all(
                m.Tread(FILE, 0, SIZE), m.Tread(FILE, 10, 50), m.Tstat(FILE), m.Tread(FILE, SIZE * 2, SIZE)
            )
            for tag in tags:
                client.reply(tag)


def test_holes_are_zeros(lab: Lab, dialect: bytes) -> None:
    with lab.client(dialect, 1 << 17) as client:
        client.create(ROOT, FILE, b"file", b"head")
        client.rpc(m.Twrite(FILE, 1 << 20, b"tail"))
        assert client.read(FILE, 4, SIZE) == bytes(SIZE)
        assert client.read(FILE, (1 << 20) - 8, 100) == bytes(8) + b"tail"


def test_a_file_that_shrinks_and_grows_while_it_is_read(labs: Callable[..., Lab]) -> None:
    lab = labs("passthrough")
    (lab.top / "file").write_bytes(b"")

    def resizing(stop: object) -> None:
        with open(lab.top / "file", "r+b") as file:
            while not stop.is_set():  # type: ignore[attr-defined]
                file.truncate(0)
                os.pwrite(file.fileno(), b"\1" * SIZE, 0)

    def reads(client: Attacker) -> set[int]:
        client.walk(ROOT, FILE, b"file")
        client.open(FILE)
        return {byte for _ in range(300) for byte in set(client.read(FILE, 0, SIZE))}

    with lab.client(LINUX, 1 << 17) as client, beside(resizing):
        assert reads(client) <= {0, 1}
