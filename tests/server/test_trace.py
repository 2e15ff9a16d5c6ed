"""``--trace``: every message, as it is read and as it is sent, in lines that stay lines."""

import logging
import re

import pytest
from tests.support.client import RawClient, refused
from tests.support.served import Served

from ninep.linux import Errno
from ninep.wire import messages as m

LINE = re.compile(r"\S.* (<-|->) (\d+) (\w+)(.*)")


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "ninep.trace")
    return caplog


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int, str]]:
    """Arrow, tag and message of each line."""
    found = []
    for record in caplog.records:
        if record.name == "ninep.trace":
            line = LINE.fullmatch(record.getMessage())
            assert line, record.getMessage()
            found.append((line[1], int(line[2]), line[3]))
    return found


def test_a_session(lines: pytest.LogCaptureFixture, served: Served) -> None:
    client = served.client()
    client.create(0, 1, b"f", b"hello")
    with refused(Errno.ENOENT):
        client.walk(0, 2, b"nothing")
    assert [(arrow, message) for arrow, _, message in told(lines)] == [
        ("<-", "Tversion"),
        ("->", "Rversion"),
        ("<-", "Tattach"),
        ("->", "Rattach"),
        ("<-", "Twalk"),
        ("->", "Rwalk"),
        ("<-", "Tlcreate"),
        ("->", "Rlcreate"),
        ("<-", "Twrite"),
        ("->", "Rwrite"),
        ("<-", "Twalk"),
        ("->", "Rlerror"),
    ]


def test_plain_9p2000_is_read_as_such(lines: pytest.LogCaptureFixture, served: Served) -> None:
    client = served.client(b"9P2000")
    client.rpc(m.Tstat(0))
    assert "malformed" not in lines.text
    assert [message for _, _, message in told(lines)][-2:] == ["Tstat", "Rstat"]


def test_replies_from_threads(lines: pytest.LogCaptureFixture) -> None:
    with Served("waits") as served:
        client = served.client()
        client.create(0, 1, b"f", b"hello")
        tag = client.send(m.Tread(1, 0, 100))
        client.reply(tag)
        assert told(lines)[-2:] == [("<-", tag, "Tread"), ("->", tag, "Rread")]


def test_large_and_many(lines: pytest.LogCaptureFixture, served: Served) -> None:
    client = served.client(msize=1 << 20)
    client.create(0, 1, b"f")
    client.rpc(m.Twrite(1, 0, b"\x1b[31m" * 150_000))
    assert client.read(1, 0, 1 << 20) == b"\x1b[31m" * 150_000
    for tag in client.send_all(*[m.Tgetattr(0, 0x7FF)] * 50):
        client.reply(tag)
    assert max(len(record.getMessage()) for record in lines.records) < 500
    assert "\x1b" not in lines.text


def test_what_is_malformed(lines: pytest.LogCaptureFixture, served: Served) -> None:
    client = served.client()
    client.send_bytes(bytes.fromhex("08000000 18 0500 ff"), number=24, tag=5)
    with refused(Errno.EPROTO):
        client.reply(5)
    client.send_bytes(bytes.fromhex("07000000 ff 0500"), number=255, tag=5)
    with refused(Errno.EOPNOTSUPP):
        client.reply(5)
    assert lines.text.count("malformed") >= 2


def test_nothing_without_being_asked(caplog: pytest.LogCaptureFixture, served: Served) -> None:
    caplog.set_level(logging.INFO, "ninep")
    client: RawClient = served.client()
    client.create(0, 1, b"f", b"hello")
    assert not [record for record in caplog.records if record.name == "ninep.trace"]
