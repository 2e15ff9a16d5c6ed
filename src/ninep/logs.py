"""Log records that are safe with hostile clients: a record cannot contain control characters or
imitate another record, and clients cannot fill a disk with records.

``Plain`` is a formatter, ``RateLimit`` a filter; ``ninep serve`` sets both on its handler. A
program that embeds the server may do the same. This module does not depend on what is logged.
"""

from __future__ import annotations

import logging
import threading
import unicodedata
from collections.abc import Callable
from time import monotonic
from typing import Final

BURST: Final = 10
EVERY: Final = 60.0
"""Ten records of a kind, then one per minute that states the number of suppressed ones."""
KINDS: Final = 256
_ESCAPED_KINDS = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Control and format characters (including bidirectional overrides), surrogates, private use, line
and paragraph separators.
"""


def plain(text: str) -> str:
    """``text`` on one line, with everything escaped that a terminal interprets; tabs are kept."""
    if text.isprintable():
        return text
    return "".join(_shown(char) for char in text)


def _shown(char: str) -> str:
    if char == "\t" or unicodedata.category(char) not in _ESCAPED_KINDS:
        return char
    return char.encode("unicode_escape", "surrogatepass").decode()


class Plain(logging.Formatter):
    """A formatter that applies ``plain`` to messages. Traceback lines are kept and indented, so
    that none can imitate a record.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line of the record."""
        record.message = plain(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's name
        """The lines of a traceback."""
        lines = super().formatException(ei).splitlines()  # type: ignore[arg-type]
        return "\n".join("    " + plain(line) for line in lines)


class _Kind:
    __slots__ = ("left", "since", "swallowed")

    def __init__(self, now: float) -> None:
        self.left = BURST
        self.since = now
        self.swallowed = 0


class RateLimit(logging.Filter):
    """Passes ``BURST`` records of each kind in ``EVERY`` seconds, then one that states the number
    of suppressed ones.

    A kind is a logger and a message before its arguments are inserted. Records below ``level``
    always pass, because a trace must be complete.
    """

    def __init__(self, level: int = logging.INFO, clock: Callable[[], float] = monotonic) -> None:
        super().__init__()
        self._level = level
        self._clock = clock
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self._guard = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        if record.levelno < self._level:
            return True
        now = self._clock()
        key = (record.name, str(record.msg))
        with self._guard:
            kind = self._kinds.get(key)
            if kind is None or now - kind.since >= EVERY:
                fresh = _Kind(now)
                if kind is None and len(self._kinds) >= KINDS:
                    self._kinds.clear()  # a program has few messages, so these are generated
                self._kinds[key] = fresh
                fresh.left -= 1
                if kind is not None and kind.swallowed:
                    record.msg = f"{record.getMessage()} (and {kind.swallowed} more like this)"
                    record.args = ()
                return True
            if kind.left:
                kind.left -= 1
                return True
            kind.swallowed += 1
            return False
