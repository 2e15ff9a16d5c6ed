"""The forms of the lines of the log: for people, and for programs.

==========  ==================================================================================
text        ``ninep: message``; with ``--verbose`` and ``--trace`` with time and level
json        an object: ``time`` (RFC 3339, UTC), ``level``, ``logger``, ``message``, ``exception``
logfmt      the same as ``key=value``
journal     ``<N>message``: the priority of sd-daemon(3), for a service whose standard error is the
            journal
==========  ==================================================================================

No form lets what a client says reach a terminal as control characters, or look like a second record.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from ninep.logs import Plain, plain

PRIORITIES: Final = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}


def timestamp(seconds: float) -> str:
    """RFC 3339, with milliseconds, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "time": timestamp(record.created),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": record.getMessage(),
    }
    if record.exc_info:
        fields["exception"] = logging.Formatter().formatException(record.exc_info)
    return fields


class JsonLines(logging.Formatter):
    """Each record an object on a line of ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return json.dumps({**_fields(record), **getattr(record, "fields", {})})


class Logfmt(logging.Formatter):
    """Each record as ``key=value``; values with spaces in quotes."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return " ".join(
            f"{key}={_logfmt(value)}" for key, value in {**_fields(record), **getattr(record, "fields", {})}.items()
        )


def _logfmt(value: object) -> str:
    text = plain(str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t"))
    return f'"{text}"' if not text or any(character in text for character in ' "=') else text


class Journal(Plain):
    """Lines with the priority of the journal, which keeps the time itself."""

    def format(self, record: logging.LogRecord) -> str:
        """The lines: those of a traceback have the same priority."""
        prefix = f"<{PRIORITIES.get(record.levelname, 6)}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines())


def _text(timed: bool) -> logging.Formatter:
    return Plain("%(asctime)s %(levelname)s %(message)s" if timed else "ninep: %(message)s")


FORMATS: Final[dict[str, Callable[[bool], logging.Formatter]]] = {
    "text": _text,
    "json": lambda _: JsonLines(),
    "logfmt": lambda _: Logfmt(),
    "journal": lambda _: Journal("%(message)s"),
}
"""By name; the argument: lines for people have time and level."""
