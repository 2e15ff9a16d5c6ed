"""T28: a server that lies, against both faces of our client: every reply of a session, wrong in
each of its fields.

The session looks, reads, writes, locks, and copies a tree. Whatever the server says, the client
returns something or raises ``OSError``, in time and with bounded memory; a connection on which it
heard a lie about the protocol is closed; and the copy writes nothing outside its folder.
``NINEP_LONG=1`` tries more values in each field, with both faces.
"""

from __future__ import annotations

import errno
import os
import random
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.client.conftest import InThread
from tests.client.faces import Asynchronous, Blocking
from tests.client.fake import ROOT, FakeServer, hasty
from tests.support.client import TIMEOUT
from tests.support.judge import Reader
from tests.threats.lab import BASE, DIALECTS, LINUX, LONG
from tests.threats.test_t21_folding import folding  # noqa: F401 - a fixture
from tests.wire.wire_reference import LAYOUT, STAT, fields_of

from ninep.client import blocking
from ninep.client.errors import ProtocolError
from ninep.drivers.local import LocalDriver
from ninep.drivers.memory import MemoryDriver
from ninep.wire import messages as m
from ninep.wire.codec import codec, pack_dirents, pack_stat
from ninep.wire.modes import EXTENDED, PLAIN
from ninep.wire.types import Attributes, Dirent, Qid, Stat, Statfs

FACES: dict[str, Callable[[], Any]] = {"blocking": Blocking, "asyncio": Asynchronous}
"""How long the client waits for a reply that does not come."""
VALUES = (0, 1, -1, 1 << 31, 1 << 15, 0x80, 7) if LONG else (0, -1, 0x80)
TEXTS = (
    (b"", b"..", b"../outside/x", b"/outside", b"a\0b", b"\xff" * 9, b"x" * 300)
    if LONG
    else (b"", b"../outside/x", b"a\0b")
)
FILE, FOLDER, LINK = Qid(0, 1, 5), Qid(0x80, 1, 6), Qid(2, 1, 7)
TREE = {b"file": FILE, b"folder": FOLDER, b"link": LINK}


class Honest:
    """What an honest server says of a folder with a file, a folder with a file in it, and a link
    that leads out.
    """

    def __init__(self, dialect: bytes) -> None:
        self.dialect = dialect
        self.extended = dialect != BASE
        self.fids: dict[int, Qid] = {0: ROOT}
        self.rules: dict[type[m.Message], Callable[[Any], m.Message]] = {
            m.Tversion: lambda t: m.Rversion(8192, dialect if t.version == dialect else b"unknown"),
            m.Tattach: lambda t: m.Rattach(ROOT),
            m.Twalk: self.walk,
            m.Tclunk: lambda t: m.Rclunk(),
            m.Tread: self.read,
            m.Twrite: lambda t: m.Rwrite(len(t.data)),
            m.Tflush: lambda t: m.Rflush(),
        }
        if dialect == LINUX:
            self.rules |= {
                m.Tgetattr: lambda t: m.Rgetattr(Attributes(mode=self.mode(t.fid), size=4, qid_type=self.fids[t.fid].type)),
                m.Tlopen: lambda t: m.Rlopen(self.fids[t.fid], 0),
                m.Treaddir: lambda t: m.Rreaddir(b"" if t.offset else self.listing(t.fid)),
                m.Treadlink: lambda t: m.Rreadlink(b"../outside"),
                m.Tstatfs: lambda t: m.Rstatfs(Statfs()),
                m.Txattrwalk: lambda t: m.Rxattrwalk(4),
                m.Tlock: lambda t: m.Rlock(0),
                m.Tgetlock: lambda t: m.Rgetlock(2, 0, 0, 1, b"host"),
            }  # fmt: skip
        else:
            self.rules |= {
                m.Tstat: lambda t: m.Rstat(self.record(b"it", self.fids[t.fid])),
                m.Topen: lambda t: m.Ropen(self.fids[t.fid], 0),
            }

    def mode(self, fid: int) -> int:
        return {0x80: 0o040755, 2: 0o120777}.get(self.fids[fid].type, 0o100644)

    def walk(self, t: m.Twalk) -> m.Message:
        qids = [TREE.get(name, FILE) for name in t.wnames]
        self.fids[t.newfid] = qids[-1] if qids else self.fids[t.fid]
        return m.Rwalk(qids)

    def record(self, name: bytes, qid: Qid) -> Stat:
        link = qid.type == 2 and self.extended
        mode = {0x80: 0x80000000 | 0o755, 2: (0x02000000 if link else 0) | 0o777}.get(qid.type, 0o644)
        return Stat(
            qid=qid,
            mode=mode,
            length=0 if qid.type else 4,
            name=name,
            uid=b"u",
            gid=b"g",
            muid=b"m",
            extension=b"../outside" if link else b"",
        )

    def entries(self, fid: int) -> dict[bytes, Qid]:
        return TREE if self.fids[fid] == ROOT else {b"inner": FILE}

    def listing(self, fid: int) -> bytes:
        entries = [Dirent(*qid, number + 1, 0, name) for number, (name, qid) in enumerate(self.entries(fid).items())]
        return b"".join(pack_dirents(entries, 4096)[0])

    def read(self, t: m.Tread) -> m.Message:
        if self.fids.get(t.fid, FILE).type == 0x80:
            data = b"".join(
                pack_stat(self.record(name, qid), EXTENDED if self.extended else PLAIN)
                for name, qid in self.entries(t.fid).items()
            )
            return m.Rread(data if not t.offset else b"")
        return m.Rread(b"evil"[t.offset :][: t.count])


# -- what can be wrong with a frame ---------------------------------------------------------------------------------------


def spans(frame: bytes, extended: bool) -> Iterator[tuple[int, int, bool]]:
    """Where each field of a frame is, its length, and whether it is a string; those of records in a
    payload too.
    """
    yield from ((0, 4, False), (4, 1, False), (5, 2, False))
    reader = Reader(frame)
    reader.at = 7
    for name, kind in fields_of("".join(LAYOUT[frame[4]][1:]), extended):
        if name.startswith("n*"):
            yield reader.at, 2, False
            for _ in range(reader.number(2)):
                yield from _field(reader, kind, extended)
        else:
            yield from _field(reader, kind, extended)


def _field(reader: Reader, kind: str, extended: bool) -> Iterator[tuple[int, int, bool]]:
    match kind:
        case "13":
            for size in (1, 4, 8):
                yield reader.at, size, False
                reader.take(size)
        case "s":
            yield reader.at, 2 + int.from_bytes(reader.data[reader.at : reader.at + 2], "little"), True
            reader.string()
        case "n":
            yield reader.at, 2, False
            reader.take(2)
            yield from _record(reader, extended)
        case "count[4]":
            yield reader.at, 4, False
            end = reader.at + 4 + reader.number(4)
            yield from _payload(reader, end, extended)
            reader.at = end
        case _:
            size = abs(int(kind))
            yield reader.at, size, False
            reader.take(size)


def _record(reader: Reader, extended: bool) -> Iterator[tuple[int, int, bool]]:
    yield reader.at, 2, False
    reader.take(2)
    for _, kind in fields_of(STAT, extended):
        yield from _field(reader, kind, extended)


def _payload(reader: Reader, end: int, extended: bool) -> Iterator[tuple[int, int, bool]]:
    """The first entry of a listing; nothing of a file's content."""
    if end - reader.at < 24:
        return
    if reader.data[4] == m.Rreaddir.number:
        for kind in ("13", "8", "1", "s"):
            yield from _field(reader, kind, extended)
    else:
        yield from _record(reader, extended)


def resized(frame: bytes) -> bytes:
    return len(frame).to_bytes(4, "little") + frame[4:]


LENGTHS = {m.Rreaddir.number: ((7, 4),), m.Rread.number: ((7, 4), (11, 2)), m.Rstat.number: ((7, 2), (9, 2))}
"""Where, in messages with records, the lengths are that a string in the first record counts for."""


def fitted(frame: bytes, more: int) -> bytes:
    """The lengths around a string that has become longer: only the string is to be wrong."""
    for at, size in LENGTHS.get(frame[4], ()):
        length = int.from_bytes(frame[at : at + size], "little") + more
        frame = frame[:at] + length.to_bytes(size, "little") + frame[at + size :]
    return frame


def wrong(frame: bytes, extended: bool) -> Iterator[tuple[str, bytes]]:
    """The frame with each field wrong, and as a whole: cut, longer, twice, of another type, for
    another tag.
    """
    for at, length, is_string in spans(frame, extended):
        if is_string:
            for text in TEXTS:
                string = len(text).to_bytes(2, "little") + text
                whole = frame[:at] + string + frame[at + length :]
                yield f"{text!r} at {at}", resized(fitted(whole, len(string) - length))
        size = 2 if is_string else length
        for value in VALUES:
            number = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
            if number != frame[at : at + size]:
                yield f"{value} at {at}", frame[:at] + number + frame[at + size :]
    if frame[4] in {m.Rread.number, m.Rreaddir.number}:
        much = frame[11:] + b"\0" * 5000
        yield "b'more than was asked for'", resized(frame[:7] + len(much).to_bytes(4, "little") + much)
    yield "cut", resized(frame[: 7 + (len(frame) - 7) // 2])
    yield "longer", resized(frame + b"\0\0\0")
    yield "twice", frame + frame
    yield "half", frame[: len(frame) // 2]
    for other in (
        m.Rlerror(0xFFFFFFFF),
        m.Rerror(b"\x1b[2J" * 9, 1 << 31),
        m.Rclunk(),
        m.Rread(b"x" * 9),
        m.Tversion(1, b"x"),
    ):
        body = b"".join(codec(EXTENDED if extended else PLAIN).encode(int.from_bytes(frame[5:7], "little"), other))
        yield type(other).__name__, body


# -- the session ----------------------------------------------------------------------------------------------------------


def session(client: Any, target: Path, dialect: bytes) -> None:
    """A bit of everything, the copy first."""
    client.get("/", str(target), recursive=True, onerror=lambda error: None)
    assert isinstance(client.stat("file").st_size, int)
    assert client.listdir("/")
    with client.open("file", "r+b") as file:
        file.read()
        file.write(b"abc")
        if dialect == LINUX:
            file.lock(wait=False)
            file.test_lock()
    if dialect == LINUX:
        client.readlink("link")
        client.statfs()
        client.getxattr("file", "user.x")


class Cage:
    """A folder to copy into, and what is beside it."""

    def __init__(self, top: Path) -> None:
        self.top = top
        (top / "outside").mkdir()
        (top / "outside" / "x").write_bytes(b"precious")
        (top / "targets").mkdir()
        self.number = 0

    def target(self) -> Path:
        self.number += 1
        return self.top / "targets" / str(self.number)

    def check(self) -> None:
        assert sorted(path.name for path in self.top.iterdir()) == ["outside", "targets"]
        assert [path.name for path in (self.top / "outside").iterdir()] == ["x"]
        assert (self.top / "outside" / "x").read_bytes() == b"precious"
        assert {path.name for path in (self.top / "targets").iterdir()} <= {str(n + 1) for n in range(self.number)}
        for path in (self.top / "targets").rglob("*"):
            assert (
                path.is_symlink() or path.is_dir() or path.read_bytes() in {b"evil", b""} or len(path.read_bytes()) <= 9
            )


def unchanged(frame: bytes) -> bytes:
    return frame


def play(face: Any, dialect: bytes, kind: type[m.Message], change: Callable[[bytes], bytes], cage: Cage) -> list[bytes]:
    """One session in which the first reply of a kind is changed. The frames that were."""
    honest = Honest(dialect)
    changed: list[bytes] = []

    def lie(t: Any) -> m.Message | bytes:
        reply = honest.rules[kind](t)
        if changed or (isinstance(reply, m.Rversion) and reply.version == b"unknown"):
            return reply
        changed.append(b"".join(server.codec.encode(server.tag, reply)))
        return change(changed[0])

    server = FakeServer({**honest.rules, kind: lie}, dialect=dialect)
    honestly = change is unchanged
    with server, hasty(*([] if honestly else [kind]), after=lambda: bool(changed) and not honestly):
        client = None
        try:
            client = face.connect(server.socket, "", dialect=dialect.decode(), uname="u", n_uname=0)
            session(client, cage.target(), dialect)
        except ProtocolError:
            assert client is None or client.connection.closed, "a lie was heard, and the connection goes on"
        except (OSError, AssertionError):
            pass  # an error of the server's, a time that is over, or a result that is a lie about files
        finally:
            if client is not None:
                client.close()
        server.mistakes.clear()  # fids it made up
    return changed


def kinds(dialect: bytes) -> list[type[m.Message]]:
    return [kind for kind in Honest(dialect).rules if kind is not m.Tflush]


@pytest.mark.timeout(3600 if LONG else 900)
@pytest.mark.parametrize("dialect", DIALECTS, ids=bytes.decode)
@pytest.mark.parametrize("name", FACES)
def test_each_reply_wrong_in_each_field(tmp_path: Path, name: str, dialect: bytes) -> None:
    cage = Cage(tmp_path)
    face = FACES[name]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    plays = 0
    for kind in kinds(dialect):
        (frame,) = play(face, dialect, kind, unchanged, cage)
        changes = list(wrong(frame, dialect != BASE))
        if not LONG:  # all strings; of the numbers each face has a fourth, by chance
            texts = [change for change in changes if change[0].startswith("b'")]
            random.Random(kind.__name__).shuffle(changes)
            changes = texts + changes[list(FACES).index(name) :: 4]
        for what, data in changes:
            plays += 1
            try:
                # the tag of this session's request; the same in each, unless the tag is what is
                # wrong
                play(face, dialect, kind, lambda _, data=data: data, cage)
            except BaseException as failure:
                failure.add_note(f"{kind.__name__}: {what}")
                raise
        cage.check()
    if isinstance(face, Asynchronous):
        face.runner.close()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10, "64 MiB for the lies of a server"
    assert plays > 50


@pytest.mark.parametrize("name", FACES)
@pytest.mark.parametrize("dialect", DIALECTS, ids=bytes.decode)
def test_an_honest_server_is_copied_whole(tmp_path: Path, name: str, dialect: bytes) -> None:
    """What the session does where nobody lies: otherwise the lies would be told to nobody."""
    cage = Cage(tmp_path)
    face = FACES[name]()
    assert play(face, dialect, m.Tclunk, unchanged, cage)
    found = {str(path.relative_to(tmp_path / "targets" / "1")) for path in (tmp_path / "targets" / "1").rglob("*")}
    assert found == {"file", "folder", "folder/inner", "link"}
    assert (tmp_path / "targets" / "1" / "file").read_bytes() == b"evil"
    assert (tmp_path / "targets" / "1" / "link").is_symlink() == (dialect != BASE)
    if dialect != BASE:
        assert os.readlink(tmp_path / "targets" / "1" / "link") == "../outside"
    cage.check()
    if isinstance(face, Asynchronous):
        face.runner.close()


@pytest.mark.parametrize("name", FACES)
def test_drips(tmp_path: Path, name: str) -> None:
    """A reply that comes byte by byte, slower than anybody waits."""
    face = FACES[name]()
    play(face, LINUX, m.Tgetattr, lambda frame: frame[:1], Cage(tmp_path))
    if isinstance(face, Asynchronous):
        face.runner.close()


@pytest.mark.parametrize("dialect", [dialect.decode() for dialect in DIALECTS])
def test_no_file_is_lost_where_names_become_one(folding: Path, tmp_path: Path, dialect: str) -> None:  # noqa: F811
    """Copies from a server that tells case apart to a host that does not, and to a server on one:
    one of two is refused, and told.
    """
    source = tmp_path / "source"
    for name in ("README", "readme", "Straße"):
        (source / f"in-{name}").mkdir(parents=True)
        (source / name).write_text(name)
        (source / f"in-{name}" / name).write_text(name)
    there, folds = InThread(MemoryDriver()), InThread(LocalDriver(str(folding), security_model="none"))
    refused: list[OSError] = []
    try:
        with blocking.connect(there.socket(), dialect=dialect, timeout=TIMEOUT) as client:
            client.put(source, "all", recursive=True)
            client.get("all", folding / "got", recursive=True, onerror=refused.append)
        with blocking.connect(folds.socket(), dialect=dialect, timeout=TIMEOUT) as client:
            client.put(source, "put", recursive=True, onerror=refused.append)
    finally:
        there.stop()
        folds.stop()
    assert [error.errno for error in refused] == [errno.EEXIST] * 4
    for top in (folding / "got", folding / "put"):
        found = {str(path.relative_to(top)).lower(): path for path in top.rglob("*")}
        assert set(found) == {"readme", "in-readme", "in-readme/readme", "straße", "in-straße", "in-straße/straße"}
        for path in found.values():
            assert path.is_dir() or path.read_text().lower() == path.name.lower()
