"""T13: malformed messages: every message cut at every byte, lies in every length, types that are
none, sizes that cannot be.

A frame whose size is right gets an answer, whatever is in it, and the connection lives on; a size
that cannot be ends it.
"""

from __future__ import annotations

import random
import resource
from collections.abc import Callable, Iterator

import pytest
from tests.support.client import Failed
from tests.threats.lab import BASE, DIALECTS, LINUX, UNIX, Attacker, Lab
from tests.threats.verbs import FOLDER, ROOT
from tests.wire.wire_examples import EXAMPLES

from ninep.linux import GETATTR_BASIC, Errno
from ninep.wire import messages as m
from ninep.wire.codec import codec
from ninep.wire.modes import EXTENDED

HEADER = 7
TVERSION = m.Tversion.number
BODIES: dict[bytes, list[tuple[int, bytes]]] = {
    dialect: [
        (example.message.number, (example.extended if dialect != BASE else example.plain)[HEADER:])
        for example in EXAMPLES
        if example.message.number % 2 == 0 and example.message.number != TVERSION
    ]
    for dialect in DIALECTS
}
MANY = 3000


@pytest.fixture
def lab(labs: Callable[..., Lab]) -> Lab:
    """The parser knows no models: one will do."""
    return labs("mapped-xattr")


def frame(number: int, tag: int, body: bytes, size: int | None = None) -> bytes:
    return (
        (HEADER + len(body) if size is None else size).to_bytes(4, "little")
        + bytes([number])
        + tag.to_bytes(2, "little")
        + body
    )


def answered(client: Attacker, number: int, body: bytes) -> m.Message | Failed:
    """A frame of the right size gets exactly one answer."""
    tag = client.next_tag()
    client.judge.pending[tag] = number, Anything()  # type: ignore[assignment]
    client.sock.sendall(frame(number, tag, body))
    try:
        return client.reply(tag)
    except Failed as failure:
        return failure


class Anything(dict[str, int]):
    """What a request asked for, if nobody knows: the judge may compare with it."""

    def __missing__(self, key: str) -> object:
        return {"wnames": [b""] * 65536, "count": 1 << 32, "oldtag": -1}.get(key, 0)


def in_order(client: Attacker) -> None:
    """Fids 0, 1 and 2 are what most messages are about."""
    for fid in (0, 1, 2):
        client.errors_of(m.Tclunk(fid))
    client.attach()
    client.errors_of(m.Tcreate(ROOT, b"file", 0o644, 0))
    client.clunk(ROOT)
    client.attach()
    client.walk(ROOT, 1, b"file")
    client.walk(ROOT, 2)


@pytest.mark.parametrize("dialect", DIALECTS, ids=bytes.decode)
def test_every_message_cut_at_every_byte(lab: Lab, dialect: bytes) -> None:
    client = lab.client(dialect)
    for number, body in BODIES[dialect]:
        for length in range(len(body)):
            in_order(client)
            said = answered(client, number, body[:length])
            assert isinstance(said, Failed) or number == m.Tfsync.number, (number, length)
    client.rpc(m.Tstat(ROOT))


@pytest.mark.parametrize("dialect", DIALECTS, ids=bytes.decode)
def test_every_message_with_more_behind_it(lab: Lab, dialect: bytes) -> None:
    client = lab.client(dialect)
    for number, body in BODIES[dialect]:
        for more in (b"\0", b"\0\0\0\0", b"x" * 1000):
            in_order(client)
            said = answered(client, number, body + more)
            assert isinstance(said, Failed), (number, more[:4])


def lies(body: bytes) -> Iterator[bytes]:
    for at in range(len(body)):
        for lie in (b"\xff\xff", b"\xff\x7f", b"\0\0", b"\xff\xff\xff\xff", b"\0\0\0\x80", b"\x11\0", b"\xff" * 8):
            if at + len(lie) <= len(body):
                yield body[:at] + lie + body[at + len(lie) :]


@pytest.mark.parametrize("dialect", DIALECTS, ids=bytes.decode)
def test_lies_in_every_length(lab: Lab, dialect: bytes) -> None:
    """Counts, string lengths, nwname, sizes of stat records: whatever stands there is taken as a
    length by somebody.
    """
    client = lab.client(dialect)
    count = 0
    for number, body in BODIES[dialect]:
        if number == m.Tflush.number:
            continue
        for lie in lies(body):
            if count % 50 == 0:
                in_order(client)
            answered(client, number, lie)
            count += 1
    assert count > 3000
    in_order(client)


@pytest.mark.parametrize("dialect", DIALECTS, ids=bytes.decode)
def test_types_that_are_no_requests(lab: Lab, dialect: bytes) -> None:
    client = lab.client(dialect)
    served = {number for number, _ in BODIES[dialect]} | {TVERSION}
    only_linux = {m.number for m in map(type, (example.message for example in EXAMPLES)) if m.number < 100}
    for number in range(256):
        if number in served and (dialect == LINUX or number not in only_linux):
            continue
        for body in (b"", b"\0" * 4, b"\0" * 100, b"\xff" * 100):
            said = answered(client, number, body)
            assert isinstance(said, Failed), number
            assert said.code in {Errno.EOPNOTSUPP, "Operation not supported"}, (number, said)
    client.rpc(m.Tstat(ROOT))


def test_walks_of_too_many_names(lab: Lab, dialect: bytes) -> None:
    client = lab.client(dialect, 1 << 20)
    for count in (17, 18, 1000, 65535):
        body = (0).to_bytes(4, "little") + (9).to_bytes(4, "little") + count.to_bytes(2, "little")
        for names in (b"", b"\0\0" * count, b"\x01\0." * count):
            said = answered(client, m.Twalk.number, body + names)
            assert isinstance(said, Failed), (count, len(names))
            client.refuses(m.Tclunk(9), Errno.EBADF)


@pytest.mark.parametrize("dialect", DIALECTS, ids=bytes.decode)
def test_random_frames(lab: Lab, dialect: bytes) -> None:
    """Seeded, so that a failure comes again. The long run is the fuzzer's."""
    chance = random.Random(dialect)
    client = lab.client(dialect)
    for step in range(MANY):
        if step % 100 == 0:
            in_order(client)
        number, body = chance.choice(BODIES[dialect])
        if number == m.Tflush.number:
            continue
        mutated = bytearray(body)
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(mutated) + 1)
            match chance.randrange(4):
                case 0:
                    mutated[at:at] = chance.randbytes(chance.randrange(1, 9))
                case 1:
                    del mutated[at : at + chance.randrange(1, 9)]
                case _ if mutated:
                    mutated[at % len(mutated)] = chance.choice(
                        (0, 1, 0x2E, 0x2F, 0x7F, 0x80, 0xFF, chance.randrange(256))
                    )
        answered(client, number, bytes(mutated))
    in_order(client)


@pytest.mark.parametrize("size", [0, 1, 4, 6, 8192 + 25, 1 << 16, 1 << 20, 1 << 24, 1 << 31, (1 << 32) - 1])
def test_a_size_that_cannot_be_ends_the_connection_and_nothing_else(lab: Lab, dialect: bytes, size: int) -> None:
    bystander = lab.client(dialect)
    client = lab.client(dialect, 8192 + 24)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    client.sock.sendall(frame(m.Tstat.number, 5, b"\0" * 4, size))
    assert client.ended()
    bystander.rpc(m.Tstat(ROOT))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 8 << 10, "8 MiB for a size that cannot be"
    assert any("closing" in line for line in lab.records.messages())


@pytest.mark.parametrize("dialect", DIALECTS, ids=bytes.decode)
def test_nothing_is_served_before_a_version(lab: Lab, dialect: bytes) -> None:
    with lab.connect() as client:
        for number, body in BODIES[dialect]:
            if number == m.Tflush.number:
                continue
            said = answered(client, number, body)
            assert isinstance(said, Failed), number
        client.version(dialect)
        client.attach()


VERSIONS = (
    b"",
    b"9P",
    b"9p2000.L",
    b"9P2000.l",
    b"9P2000.L\0",
    b"9P2000L",
    b"\xff" * 100,
    b"x" * 60000,
    b"unknown",
    b"8P2000.L",
    b" 9P2000.L",
)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: repr(version[:12]))
def test_versions_that_are_none(lab: Lab, version: bytes) -> None:
    with lab.connect() as client:
        tag = client.send(m.Tversion(1 << 20, version), tag=m.NOTAG)
        reply = client.reply(tag)
        assert isinstance(reply, m.Rversion)
        assert reply.version == (
            b"9P2000" if version.startswith(b"9P2000.") else b"unknown"
        )  # version(5): a variant of it
        client.judge.dialect, client.judge.msize = b"unknown", 1 << 22
        client.version(LINUX)
        client.attach()


@pytest.mark.parametrize(
    "body", [b"", b"\0\0\0\0", b"\0" * 6, b"\0\x20\0\0\x08\0" + b"9P2000", b"\0\x20\0\0\xff\xff"], ids=range(5)
)
def test_versions_cut_short(lab: Lab, body: bytes) -> None:
    with lab.connect() as client:
        if body == b"\0" * 6:
            return  # a version without a name: of the test above
        assert isinstance(answered(client, TVERSION, body), Failed)
        client.version(UNIX)
        client.attach()


def test_strings_of_any_bytes(lab: Lab, dialect: bytes) -> None:
    """9P says UTF-8; a POSIX host says bytes. What was made comes back as it was, in names, targets
    and users.
    """
    odd = (b"\xff\xfe", b"\xc3\x28", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"a\x1b[2Jb", b"\n", b"\x80" * 255)
    client = lab.client(dialect)
    for number, name in enumerate(odd):
        client.attach(50, uname=name)
        client.clunk(50)
        client.create(ROOT, 9, name)
        client.clunk(9)
        client.walk(ROOT, 9, name)
        assert client.rpc(m.Tstat(9)).stat.name == name
        client.clunk(9)
        if dialect == LINUX:
            client.rpc(m.Tsymlink(ROOT, b"l%d" % number, name, 0))
            client.walk(ROOT, 9, b"l%d" % number)
            assert client.rpc(m.Treadlink(9)).target == name
            client.clunk(9)
    client.walk(ROOT, FOLDER)
    client.open(FOLDER)
    listed = client.read(FOLDER, 0, 8000) if dialect != LINUX else b"".join(client.names(FOLDER))
    assert all(name in listed for name in odd)


def test_names_longer_than_the_host_takes(lab: Lab, dialect: bytes) -> None:
    client = lab.client(dialect, 1 << 20)
    for length in (256, 1000, 4096, 65535):
        client.refuses(m.Twalk(ROOT, 9, [b"n" * length]), Errno.ENAMETOOLONG)
        client.walk(ROOT, 9)
        client.refuses(m.Tcreate(9, b"n" * length, 0o644, 1), Errno.ENAMETOOLONG)
        client.clunk(9)
        assert len(client.rpc(m.Twalk(ROOT, 9, [b".", b"n" * length])).qids) == 1


def test_requests_glued_and_split_in_any_way(lab: Lab) -> None:
    """Byte by byte, and all in one."""
    client = lab.client()
    frames = b"".join(b"".join(codec(EXTENDED).encode(tag, m.Tgetattr(ROOT, GETATTR_BASIC))) for tag in range(1, 60))
    for tag in range(1, 60):
        client.judge.pending[tag] = m.Tgetattr.number, {}
    for byte in frames[: len(frames) // 2]:
        client.sock.sendall(bytes([byte]))
    client.sock.sendall(frames[len(frames) // 2 :])
    for tag in range(1, 60):
        client.reply(tag)
