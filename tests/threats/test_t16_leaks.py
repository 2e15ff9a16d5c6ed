"""T16: sequences that fail, and connections that end badly, again and again: fids, memory, handles
and threads are afterwards what they were.

Counted in two ways: a server as a process of its own, looked at from outside, and a lab, whose
judge looks into the server. ``NINEP_LONG=1`` makes it a hundred thousand rounds of each sequence,
and a hundred thousand connections.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from tests.support.client import RawClient
from tests.threats.lab import MODELS, Canary, Lab
from tests.threats.process import Program, answers, pipelined
from tests.threats.verbs import UNTOUCHED, setattr_

from ninep.linux import (
    GETATTR_BASIC,
    NO_ID,
    O_CREAT,
    O_EXCL,
    O_RDWR,
    O_TRUNC,
    SETATTR_MODE,
    SETATTR_SIZE,
    XATTR_REPLACE,
)
from ninep.wire import messages as m

LONG = bool(os.environ.get("NINEP_LONG"))
SOME, MANY = (10_000, 90_000) if LONG else (320, 1280)
"""Rounds of a sequence: before the first count, and between counts."""
SOME_ENDS, MANY_ENDS = (250, 4_000) if LONG else (20, 40)
"""The same for connections: six kinds of ends in four models are a hundred thousand."""
GROWTH = (1 << 20) if LONG else (1 << 18)
POLLED = 1
"""A handle of a connection that is busy polled by now, or was before."""
FIDS, FILES = 64, 16
"""What a connection may have, few enough to count."""
THREADS = 72
"""64 workers, and what the program and its loop have besides."""
OPEN, FILE, FOLDER, NEW, MORE = 1, 2, 3, 9, 100
"""Fids: an open file, the same not open, a folder, what sequences make, what is made to count."""

SEQUENCES: dict[str, list[m.Message]] = {
    "walk and clunk": [m.Twalk(0, NEW, [b"folder", b"in"]), m.Tclunk(NEW)],
    "walk to a fid in use": [m.Twalk(0, FILE, [b"folder"])],
    "walk part of the way": [m.Twalk(0, NEW, [b"folder", b"nothing", b"x"]), m.Twalk(0, NEW, [b"folder", b"in", b"x"])],
    "walk in place": [m.Twalk(0, NEW, []), m.Twalk(NEW, NEW, [b"folder"]), m.Twalk(NEW, NEW, [b"nothing"]), m.Tclunk(NEW)],
    "attach and clunk": [m.Tattach(NEW, m.NOFID, b"u", b"", 5), m.Tclunk(NEW)],
    "attach to a fid in use": [m.Tattach(FILE, m.NOFID, b"u", b"", 5)],
    "attach to nothing": [m.Tattach(NEW, m.NOFID, b"u", b"nothing", 5)],
    "create on an open fid": [m.Tlcreate(OPEN, b"x", O_RDWR, 0o644, NO_ID), m.Tcreate(OPEN, b"x", 0o644, 0)],
    "create what exists": [m.Twalk(0, NEW, []), m.Tlcreate(NEW, b"file", O_CREAT | O_EXCL, 0o644, NO_ID), m.Tclunk(NEW)],
    "create in a file": [m.Tlcreate(FILE, b"x", O_RDWR, 0o644, NO_ID), m.Tmkdir(FILE, b"x", 0o755, NO_ID)],
    "create and remove": [m.Twalk(0, NEW, []), m.Tlcreate(NEW, b"new", O_RDWR, 0o644, NO_ID), m.Twrite(NEW, 0, b"x" * 100), m.Tremove(NEW)],
    "create, unlink, write": [
        m.Twalk(0, NEW, []), m.Tlcreate(NEW, b"new", O_RDWR, 0o644, NO_ID), m.Tunlinkat(0, b"new", 0), m.Twrite(NEW, 0, b"x"),
        m.Tgetattr(NEW, GETATTR_BASIC), m.Tclunk(NEW),
    ],
    "open twice": [m.Twalk(0, NEW, [b"file"]), m.Tlopen(NEW, O_RDWR), m.Tlopen(NEW, O_RDWR), m.Topen(NEW, 0), m.Tclunk(NEW)],
    "open a folder": [m.Twalk(0, NEW, [b"folder"]), m.Tlopen(NEW, 0), m.Treaddir(NEW, 0, 4000), m.Treaddir(NEW, 0, 1), m.Tclunk(NEW)],
    "truncate": [m.Twalk(0, NEW, [b"file"]), m.Tlopen(NEW, O_RDWR | O_TRUNC), setattr_(SETATTR_SIZE, fid=NEW, size=9), m.Tclunk(NEW)],
    "read and fail": [m.Tread(OPEN, 1 << 63, 10), m.Tread(FILE, 0, 10), m.Tread(FOLDER, 0, 10), m.Tread(999, 0, 10)],
    "write and fail": [m.Twrite(OPEN, (1 << 63) - 1, b"x"), m.Twrite(FILE, 0, b"x"), m.Twrite(999, 0, b"x")],
    "link a bad source": [m.Tlink(0, FOLDER, b"x"), m.Tlink(0, 999, b"x"), m.Tlink(FILE, FILE, b"x"), m.Tlink(0, FILE, b"file")],
    "rename to and fro": [m.Trenameat(0, b"other", FOLDER, b"moved"), m.Trenameat(FOLDER, b"moved", 0, b"other")],
    "rename and fail": [
        m.Trename(OPEN, 0, b"x"), m.Trename(FILE, FILE, b"x"), m.Trenameat(0, b"nothing", 0, b"x"), m.Trenameat(0, b"folder", FOLDER, b"x"),
    ],
    "list attributes": [m.Txattrwalk(FILE, NEW, b""), m.Tread(NEW, 0, 4000), m.Tclunk(NEW)],
    "attributes that are not there": [m.Txattrwalk(FILE, NEW, b"user.none"), m.Txattrwalk(FILE, NEW, b"bad.none"), m.Txattrwalk(FILE, OPEN, b"")],
    "attribute begun twice": [
        m.Twalk(0, NEW, [b"file"]), m.Txattrcreate(NEW, b"user.x", 9, 0), m.Txattrcreate(NEW, b"user.x", 9, 0), m.Twrite(NEW, 0, b"x"), m.Tclunk(NEW),
    ],
    "attribute set and removed": [
        m.Twalk(0, NEW, [b"file"]), m.Txattrcreate(NEW, b"user.x", 1, 0), m.Twrite(NEW, 0, b"x"), m.Tclunk(NEW),
        m.Twalk(0, NEW, [b"file"]), m.Txattrcreate(NEW, b"user.x", 0, XATTR_REPLACE), m.Tclunk(NEW),
    ],
    "stat and wstat": [
        m.Tstat(FILE), m.Twstat(FILE, UNTOUCHED), m.Twstat(FILE, UNTOUCHED._replace(mode=0o600)), m.Twstat(FILE, UNTOUCHED._replace(name=b"../x")),
    ],
    "setattr": [setattr_(SETATTR_MODE, mode=0o600), setattr_(0x1FF, mode=0o640, size=5)],
    "mkdir and rmdir": [m.Tmkdir(0, b"d", 0o755, NO_ID), m.Tmkdir(0, b"d", 0o755, NO_ID), m.Tunlinkat(0, b"d", 0), m.Tunlinkat(0, b"d", 0x200)],
    "links": [m.Tsymlink(0, b"l", b"x", NO_ID), m.Twalk(0, NEW, [b"l"]), m.Treadlink(NEW), m.Tlopen(NEW, 0), m.Tremove(NEW)],
    "locks": [
        m.Tlock(OPEN, 1, 0, 0, 0, 1, b"me"), m.Tlock(OPEN, 0, 0, 5, 9, 2, b"you"), m.Tgetlock(OPEN, 0, 0, 0, 3, b"x"),
        m.Tlock(OPEN, 2, 0, 0, 0, 1, b"me"),
    ],
    "flushes": [m.Tflush(77), m.Tflush(1), m.Tfsync(OPEN)],
    "unknown fids": [m.Tclunk(999), m.Tgetattr(999, 0), m.Tlopen(999, 0), m.Tremove(999), m.Txattrcreate(999, b"user.x", 1, 0)],
}  # fmt: skip


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """One server with an export of each model, and a canary beside them."""
    base = tmp_path_factory.mktemp("leaks")
    canary = Canary(base / "canary")
    options = ["--limit", f"fids={FIDS}", "--limit", f"open-files={FILES}"]
    for model in MODELS:
        (base / model).mkdir()
        options += ["--export", f"{model}={base / model},model={model}"]
    (base / "unnamed").mkdir()
    with Program(base / "unnamed", *options) as program:
        yield program
        canary.check()


def furnish(client: RawClient) -> RawClient:
    """The files and fids that sequences speak of."""
    for name in (b"file", b"other"):
        client.create(0, NEW, name)
        client.clunk(NEW)
    pipelined(client, [m.Tmkdir(0, b"folder", 0o755, NO_ID)], 1, 1)  # it may be there
    client.walk(0, OPEN, b"file")
    client.open(OPEN, 2)
    client.walk(0, FILE, b"file")
    client.walk(0, FOLDER, b"folder")
    client.create(FOLDER, NEW, b"in")
    client.clunk(NEW)
    return client


def room(client: RawClient) -> tuple[int, int]:
    """How many more fids the client may have, and how many more open files."""
    walks = answers(client, [m.Twalk(FILE, MORE + number, []) for number in range(FIDS)])
    fids = [MORE + number for number, said in enumerate(walks) if not said]
    # One by one: a server that takes the disk for slow opens files in threads, and may then open
    # one too many for each.
    opens = answers(client, [m.Tlopen(fid, 0) for fid in fids], window=1)
    answers(client, [m.Tclunk(fid) for fid in fids])
    return len(fids), opens.count(set())


def at_rest(program: Program, client: RawClient) -> int:
    """The handles of the server when each node that the client holds has its path handle: it may
    have given it back, and have it again with the next request.
    """
    for fid in (0, OPEN, FILE, FOLDER):
        client.rpc(m.Tgetattr(fid, GETATTR_BASIC))
    return program.handles


@pytest.mark.timeout(3600 if LONG else 900)
@pytest.mark.parametrize("sequence", SEQUENCES)
def test_a_sequence_leaves_nothing(program: Program, model: str, sequence: str) -> None:
    with program.client(aname=model.encode()) as client:
        furnish(client)
        pipelined(client, SEQUENCES[sequence], SOME)
        left, handles, threads = room(client), at_rest(program, client), program.threads
        program.holds_its_memory(lambda: pipelined(client, SEQUENCES[sequence], MANY), GROWTH)
        assert room(client) == left == (FIDS - 4, FILES - 1)
        program.settles(lambda: at_rest(program, client), handles + POLLED)
        assert program.threads <= max(threads, THREADS)
        with program.client(aname=model.encode()) as other:
            other.rpc(m.Tgetattr(0, GETATTR_BASIC))


# -- how a connection ends ---------------------------------------------------------------------------------------------


def in_the_middle(client: RawClient) -> None:
    """In the middle of a frame, with requests unanswered and fids open."""
    whole = client.encode(m.Tfsync(OPEN), 5) + client.encode(m.Treaddir(FOLDER, 0, 100), 6)
    client.sock.sendall(whole + client.encode(m.Twrite(OPEN, 0, b"x" * 5000), 7)[:900])


def dribbling(client: RawClient) -> None:
    """After a few bytes that came one by one."""
    for byte in client.encode(m.Tgetattr(OPEN, GETATTR_BASIC), 5)[:-1]:
        client.sock.sendall(bytes([byte]))


def unread(client: RawClient) -> None:
    """With more replies waiting than the socket holds."""
    client.rpc(m.Twrite(OPEN, 0, bytes(8000)))
    client.sock.sendall(client.encode(m.Tread(OPEN, 0, 8000), 5) * 400)


def begun_again(client: RawClient) -> None:
    """After a Tversion in the middle of things."""
    client.sock.sendall(
        client.encode(m.Tfsync(OPEN), 5)
        + client.encode(m.Txattrwalk(FILE, NEW, b""), 6)
        + client.encode(m.Tversion(8192, b"9P2000.L"), m.NOTAG)
    )
    while client.receive_frame()[4] != m.Rversion.number:
        pass


def clunked_in_use(client: RawClient) -> None:
    """After a clunk of what a request in flight uses."""
    client.sock.sendall(
        client.encode(m.Tfsync(OPEN), 5)
        + client.encode(m.Tclunk(OPEN), 6)
        + client.encode(m.Twrite(OPEN, 0, b"late"), 7)
    )
    for _ in range(3):
        client.receive_frame()


def reset(client: RawClient) -> None:
    """Without a word: over TCP, the server gets a reset."""
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.sock.sendall(client.encode(m.Tfsync(OPEN), 5) + client.encode(m.Tread(OPEN, 0, 8000), 6))


END = [in_the_middle, dribbling, unread, begun_again, clunked_in_use, reset]


@pytest.mark.timeout(3600 if LONG else 900)
@pytest.mark.parametrize("end", END)
def test_a_connection_that_ends_badly_leaves_nothing(
    program: Program, model: str, end: Callable[[RawClient], None]
) -> None:
    def connections(count: int) -> None:
        for _ in range(count):
            with program.client(aname=model.encode()) as client:
                end(furnish(client))
        program.settles(lambda: program.handles, program.handles_at_rest)

    connections(SOME_ENDS)
    program.holds_its_memory(lambda: connections(MANY_ENDS), GROWTH)
    assert program.threads <= THREADS
    with program.client(aname=model.encode()) as other:
        other.rpc(m.Tgetattr(0, GETATTR_BASIC))


def test_what_is_counted_inside_comes_back(lab: Lab) -> None:
    """The judge of a lab counts fids, open files, attributes, locks and handles; here, also what
    lies in the folder.
    """
    with lab.client() as client:
        furnish(client)
        for messages in SEQUENCES.values():
            pipelined(client, messages, 32)
        for messages in SEQUENCES.values():
            # In the event loop the last of them left nothing. Where storage was found slow they
            # overtook each other in threads, and the last to be done may have been a mkdir.
            answers(client, messages, window=1)
    for end in END * 4:
        with lab.client() as client, suppress(OSError):
            end(furnish(client))
    expected = {"file", "other", "folder", "folder/in"}
    if lab.model == "mapped-file":
        files = ("", "/file", "/other", "/folder")
        expected |= {f".virtfs_metadata{name}" for name in files}
        expected |= {f"folder/.virtfs_metadata{name}" for name in ("", "/in")}
    assert {str(path.relative_to(lab.top)) for path in lab.top.rglob("*")} == expected
