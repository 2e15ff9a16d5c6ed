"""What a handler raised becomes an error reply, a number and a line of the log."""

import logging

import pytest

from ninep.drivers.memory import MemoryDriver
from ninep.errors import Refused
from ninep.linux import Errno
from ninep.server.exports import Export, Exports
from ninep.server.limits import Limits, OverLimit
from ninep.server.refusals import error_reply, refusal
from ninep.server.session import Session
from ninep.wire import messages as m
from ninep.wire.codec import Malformed
from ninep.wire.dialect import Dialect

LSTAT = m.Tgetattr.number


def session(dialect: Dialect = Dialect.LINUX) -> Session:
    return Session(Exports([Export("data", MemoryDriver())]), Limits(), dialect, 8192)


@pytest.mark.parametrize(
    ("dialect", "reply"),
    [
        (Dialect.LINUX, m.Rlerror(2)),
        (Dialect.UNIX, m.Rerror(b"file does not exist", 2)),
        (Dialect.BASE, m.Rerror(b"file does not exist")),
    ],
)
def test_a_dialect_has_its_own_form(dialect: Dialect, reply: m.Message) -> None:
    assert dialect.codec.decode(error_reply(session(dialect), 7, Errno.ENOENT)) == (7, reply)


@pytest.mark.parametrize(("words", "sent"), [(b"only for the root", b"only for the root"), (b"", b"permission denied")])
def test_words_of_a_refusal_are_sent(words: bytes, sent: bytes) -> None:
    frame = refusal(session(Dialect.UNIX), 7, m.Tremove.number, Refused(Errno.EACCES, "why, for the log", words))
    assert Dialect.UNIX.codec.decode(frame) == (7, m.Rerror(sent, 13))


@pytest.mark.parametrize(
    ("error", "code", "level"),
    [
        (FileNotFoundError(2, "no"), Errno.ENOENT, logging.DEBUG),
        (Refused(Errno.EACCES), Errno.EACCES, logging.INFO),
        (Malformed("cut off"), Errno.EPROTO, logging.INFO),
        (ZeroDivisionError(), Errno.EIO, logging.ERROR),
    ],
)
def test_errnos_and_levels(error: Exception, code: Errno, level: int, caplog: pytest.LogCaptureFixture) -> None:
    one = session()
    with caplog.at_level(logging.DEBUG, "ninep.server"):
        frame = refusal(one, 7, LSTAT, error)
    assert Dialect.LINUX.codec.decode(frame) == (7, m.Rlerror(code))
    assert one.counters.errors == {code: 1}
    assert [record.levelno for record in caplog.records] == [level]
    assert "Tgetattr" in caplog.text


def test_a_defect_has_its_traceback_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    refusal(session(), 7, 250, KeyError("x"))
    assert "type 250" in caplog.text
    assert caplog.records[0].exc_info is not None


def test_what_is_beyond_a_limit_is_counted_by_its_name() -> None:
    one = session()
    refusal(one, 7, LSTAT, OverLimit("fids", Errno.EMFILE, "too many fids"))
    assert one.counters.limits == {"fids": 1}
