"""What Tversion agrees on."""

import pytest

from ninep.wire.dialect import Dialect, negotiate


@pytest.mark.parametrize(
    ("asked", "agreed"),
    [
        (b"9P2000.L", Dialect.LINUX),
        (b"9P2000.u", Dialect.UNIX),
        (b"9P2000", Dialect.BASE),
        # version(5): the part after a period is a variant that the server may leave off.
        (b"9P2000.e", Dialect.BASE),
        (b"9P2000.", Dialect.BASE),
        (b"9P2000.l", Dialect.BASE),
        (b"9P2000.L.1", Dialect.BASE),
        (b"9P2000.u\0", Dialect.BASE),
        (b"9P1000", Dialect.UNKNOWN),
        (b"9P2000L", Dialect.UNKNOWN),
        (b"9p2000", Dialect.UNKNOWN),
        (b"9P20000", Dialect.UNKNOWN),
        (b"unknown", Dialect.UNKNOWN),
        (b".L", Dialect.UNKNOWN),
        (b"", Dialect.UNKNOWN),
        (b"\xff\xfe", Dialect.UNKNOWN),
    ],
)
def test_the_dialect_agreed_on(asked: bytes, agreed: Dialect) -> None:
    assert negotiate(asked) is agreed


def test_what_the_server_answers_is_the_dialects_own_string() -> None:
    assert [dialect.value for dialect in Dialect] == [b"9P2000.L", b"9P2000.u", b"9P2000", b"unknown"]


def test_plain_9p2000_has_its_own_encoding() -> None:
    assert Dialect.LINUX.codec is Dialect.UNIX.codec
    assert Dialect.LINUX.codec.extended
    assert not Dialect.BASE.codec.extended
    assert Dialect.BASE.codec is Dialect.UNKNOWN.codec
