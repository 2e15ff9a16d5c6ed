"""The negotiation of Tversion."""

import pytest

from ninep.wire import messages as m
from ninep.wire.dialect import Dialect, negotiate


@pytest.mark.parametrize(
    ("asked", "agreed"),
    [
        (b"9P2000.L", Dialect.LINUX),
        (b"9P2000.u", Dialect.UNIX),
        (b"9P2000", Dialect.BASE),
        # version(5): the part after a period is a variant that the server may ignore.
        (b"9P2000.e", Dialect.BASE),
        (b"9P2000.", Dialect.BASE),
        (b"9P2000.l", Dialect.BASE),
        (b"9P2000..", Dialect.BASE),
        (b"9P2000..L", Dialect.BASE),
        (b"9P2000.Lx", Dialect.BASE),
        (b"9P2000.x.L", Dialect.BASE),
        (b"9P2000.U", Dialect.BASE),
        # One suffix after the other, from the right, until the string is recognised.
        (b"9P2000.L.1", Dialect.LINUX),
        (b"9P2000.L.", Dialect.LINUX),
        (b"9P2000.L.Google.7", Dialect.LINUX),
        (b"9P2000.L.u", Dialect.LINUX),
        (b"9P2000.u.L", Dialect.UNIX),
        (b"9P2000.u.x.y.z", Dialect.UNIX),
        (b"9P2000.L" + b"." * 65000, Dialect.LINUX),
        (b"9P2000." + b"L." * 30000, Dialect.LINUX),
        (b"9P2000.x" + b".L" * 30000, Dialect.BASE),
        (b"." * 65000, Dialect.UNKNOWN),
        (b"9P2000.u\0", Dialect.BASE),
        (b"9P1000", Dialect.UNKNOWN),
        (b"9P2000L", Dialect.UNKNOWN),
        (b"9p2000", Dialect.UNKNOWN),
        (b"9P20000", Dialect.UNKNOWN),
        (b"9P2001", Dialect.UNKNOWN),
        (b"9P1999.L", Dialect.UNKNOWN),
        (b" 9P2000.L", Dialect.UNKNOWN),
        (b"unknown", Dialect.UNKNOWN),
        (b".L", Dialect.UNKNOWN),
        (b"", Dialect.UNKNOWN),
        (b"\xff\xfe", Dialect.UNKNOWN),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, bytes) else value.name,
)
def test_the_dialect_agreed_on(asked: bytes, agreed: Dialect) -> None:
    assert negotiate(asked) is agreed


def test_what_the_server_answers_is_the_dialects_own_string() -> None:
    assert [dialect.value for dialect in Dialect] == [b"9P2000.L", b"9P2000.u", b"9P2000", b"unknown"]


def test_plain_9p2000_has_its_own_encoding() -> None:
    assert Dialect.LINUX.codec is Dialect.UNIX.codec
    assert Dialect.LINUX.codec.encoding.unix_fields
    assert not Dialect.BASE.codec.encoding.unix_fields
    assert Dialect.BASE.codec is Dialect.UNKNOWN.codec


def test_what_may_be_asked_in_which() -> None:
    assert {dialect.name: len(dialect.requests) for dialect in Dialect} == {
        "LINUX": 30,
        "UNIX": 11,
        "BASE": 11,
        "UNKNOWN": 0,
    }
    assert Dialect.UNIX.requests == Dialect.BASE.requests < Dialect.LINUX.requests
    every = {message for message in m.BY_NUMBER.values() if message.__name__.startswith("T")}
    assert every == Dialect.LINUX.requests | {m.Tversion, m.Tflush}
    assert Dialect.LINUX.requests - Dialect.BASE.requests == {m.Tstatfs, m.Tlopen, m.Tlcreate, m.Tsymlink, m.Tmknod} | {
        *(m.Trename, m.Treadlink, m.Tgetattr, m.Tsetattr, m.Txattrwalk, m.Txattrcreate, m.Treaddir, m.Tfsync, m.Tlock),
        *(m.Tgetlock, m.Tlink, m.Tmkdir, m.Trenameat, m.Tunlinkat),
    }


@pytest.mark.parametrize(
    ("dialect", "frame"),
    [
        (Dialect.LINUX, b"\x0b\0\0\0\x07\x01\0\x02\0\0\0"),
        (Dialect.UNIX, b"\x0f\0\0\0\x6b\x01\0\x02\0no\x02\0\0\0"),
        (Dialect.BASE, b"\x0b\0\0\0\x6b\x01\0\x02\0no"),
        (Dialect.UNKNOWN, b"\x0b\0\0\0\x6b\x01\0\x02\0no"),
    ],
)
def test_how_an_error_is_reported(dialect: Dialect, frame: bytes) -> None:
    reply, fields = dialect.errors
    assert dialect.codec.table[reply.number].pack(1, *fields(2, b"no")) == frame


def test_a_dialect_is_found_by_its_version_string() -> None:
    assert [Dialect(name) for name in (b"9P2000.L", b"9P2000.u", b"9P2000")] == [
        Dialect.LINUX,
        Dialect.UNIX,
        Dialect.BASE,
    ]
