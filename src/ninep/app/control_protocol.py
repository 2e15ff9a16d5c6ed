"""The lines of a control socket: one JSON object for a request, one for its reply.

::

    {"version": 1, "command": "status", "page": 0}
    {"version": 1, "ok": true, "processes": [...], "unanswered": []}
    {"version": 1, "ok": false, "error": "there is no command 'stat'"}

Rules

* Fields that a program does not know are errors in a request and are to be ignored in a reply.
  ``version`` changes when the meaning of a field does.
* Lines are bounded: ``LONGEST_REQUEST``, ``LONGEST_REPLY``.
* Characters beyond ASCII are escaped, so that the bytes of any name fit into a line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

VERSION: Final = 1
LONGEST_REQUEST: Final = 1 << 16
LONGEST_REPLY: Final = 1 << 24
MAX_CONVERSATIONS: Final = 16
"""Connections at a time."""
IDLE: Final = 60.0
REQUEST_TIMEOUT: Final = 10.0
"""Seconds: for a request to come, a reply to be taken."""
TOO_LONG: Final = f"a request has at most {LONGEST_REQUEST} bytes"
TOO_MANY: Final = f"{MAX_CONVERSATIONS} connections at a time are the limit"
Table = dict[str, Any]


class BadRequest(ValueError):
    """A request that cannot be meant; the text says why."""


def request(command: str, fields: Mapping[str, Any]) -> bytes:
    """A request's line."""
    return _line({"version": VERSION, "command": command, **fields})


def reply(fields: Mapping[str, Any]) -> bytes:
    """The line of a reply that is no error."""
    return _line({"version": VERSION, "ok": True, **fields})


def error_reply(sentence: str) -> bytes:
    """The line of an error."""
    return _line({"version": VERSION, "ok": False, "error": sentence})


def _line(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def read_request(line: bytes) -> tuple[str, Table]:
    """The command of a request and its fields. ``BadRequest``."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        raise BadRequest("a request is one JSON object on one line") from None
    if not isinstance(found, dict):
        raise BadRequest("a request is one JSON object on one line")
    version, command = found.pop("version", None), found.pop("command", None)
    if version != VERSION:
        raise BadRequest(f"version {version!r}: this server speaks {VERSION}")
    if not isinstance(command, str):
        raise BadRequest("a request has a command")
    return command, found


def read_reply(line: bytes) -> Table:
    """A reply. ``ValueError`` for what is none."""
    found = json.loads(line)
    if not isinstance(found, dict) or not isinstance(found.get("ok"), bool):
        raise ValueError("not a reply")  # noqa: TRY004 - it is about bytes that came
    return found
