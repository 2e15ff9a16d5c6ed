"""The lines of a control socket."""

import pytest

from ninep.app.control_protocol import BadRequest, error_reply, read_reply, read_request, reply, request


def test_a_request_and_its_fields() -> None:
    line = request("status", {"page": 2})
    assert line == b'{"version": 1, "command": "status", "page": 2}\n'
    assert read_request(line) == ("status", {"page": 2})


def test_replies() -> None:
    assert read_reply(reply({"processes": []})) == {"version": 1, "ok": True, "processes": []}
    assert read_reply(error_reply("no")) == {"version": 1, "ok": False, "error": "no"}


def test_any_name_fits_into_a_line() -> None:
    name = b"a\nb\xff".decode("utf-8", "surrogateescape")
    line = reply({"name": name})
    assert line.count(b"\n") == 1
    assert line.isascii()
    assert read_reply(line)["name"] == name


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"", "one JSON object"),
        (b"[]", "one JSON object"),
        (b"[" * 100_000, "one JSON object"),
        (b'{"command": "status"}', "version None: this server speaks 1"),
        (b'{"version": 2, "command": "status"}', "version 2"),
        (b'{"version": 1}', "a request has a command"),
        (b'{"version": 1, "command": 7}', "a request has a command"),
    ],
)
def test_what_is_no_request(line: bytes, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        read_request(line)


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", b'{"ok": "yes"}'])
def test_what_is_no_reply(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"JSON|Expecting|not a reply"):
        read_reply(line)
