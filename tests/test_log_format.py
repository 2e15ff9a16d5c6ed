"""Lines of the log for programs: what a client says stays inside a value."""

from __future__ import annotations

import json
import logging
import sys

from ninep.log_format import FORMATS


def record(message: str, *, fails: bool = False) -> logging.LogRecord:
    info = None
    if fails:
        try:
            int("why\nERROR forged")
        except ValueError:
            info = sys.exc_info()
    made = logging.LogRecord("ninep.server", logging.WARNING, "", 0, "%s", (message,), info)
    made.created = 1.5
    return made


def line(name: str, message: str, *, fails: bool = False) -> str:
    return FORMATS[name](False).format(record(message, fails=fails))


HOSTILE = 'a "b" \\ \n{"level": "error"} \x1b[31m \u2028'


def test_json() -> None:
    assert json.loads(line("json", HOSTILE)) == {
        "time": "1970-01-01T00:00:01.500Z", "level": "warning", "logger": "ninep.server", "message": HOSTILE,
    }  # fmt: skip
    assert line("json", HOSTILE).isascii()
    assert line("json", HOSTILE, fails=True).isprintable()
    assert "ValueError: invalid literal" in json.loads(line("json", "x", fails=True))["exception"]


def test_logfmt() -> None:
    assert line("logfmt", "plain words") == (
        'time=1970-01-01T00:00:01.500Z level=warning logger=ninep.server message="plain words"'
    )
    assert line("logfmt", "").endswith('message=""')
    assert line("logfmt", 'a="b"\\\n\x1b').endswith('message="a=\\"b\\"\\\\\\n\\x1b"')
    assert line("logfmt", HOSTILE, fails=True).isprintable()


def test_journal() -> None:
    assert line("journal", "a\n<0>b") == "<4>a\\n<0>b"
    assert all(one.startswith("<4>") for one in line("journal", "a", fails=True).split("\n"))


def test_text_is_as_it_was() -> None:
    assert line("text", "a\x1b") == "ninep: a\\x1b"
