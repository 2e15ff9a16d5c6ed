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
SHARES: Final = 64
"""Peers share so many counts of each kind, by the hash of what they are: memory is bounded, and a
flood of one peer leaves 63 of 64 others their lines.
"""
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


ASKED_FOR: Final = {"asked_for": True}
"""``extra`` of records that say what became of something that the operator did: none is left out."""


class _Count:
    __slots__ = ("left", "since", "swallowed")

    def __init__(self, now: float) -> None:
        self.left = BURST - 1
        self.since = now
        self.swallowed = 0


class RateLimit(logging.Filter):
    """Passes ``BURST`` records of each kind and peer in ``EVERY`` seconds, then one that states the
    number of suppressed ones.

    A kind is a logger and a message before its arguments are inserted. The peer is the argument
    that has a ``source`` (as ``transport.peers.Peer``): peers with equal sources count together, and
    so do all records without one. Records below ``level`` always pass, because a trace must be
    complete.
    """

    def __init__(self, level: int = logging.INFO, clock: Callable[[], float] = monotonic) -> None:
        super().__init__()
        self._level = level
        self._clock = clock
        self._kinds: dict[tuple[str, str], dict[int, _Count]] = {}
        self._guard = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        if record.levelno < self._level or getattr(record, "asked_for", False):
            return True
        now = self._clock()
        share = _share_of(record)
        with self._guard:
            counts = self._counts((record.name, str(record.msg)))
            count = counts.get(share)
            if count is None or now - count.since >= EVERY:
                counts[share] = _Count(now)
                if count is not None and count.swallowed:
                    record.msg = f"{record.getMessage()} (and {count.swallowed} more like this)"
                    record.args = ()
                return True
            if count.left:
                count.left -= 1
                return True
            count.swallowed += 1
            return False

    def _counts(self, kind: tuple[str, str]) -> dict[int, _Count]:
        if kind not in self._kinds and len(self._kinds) >= KINDS:
            self._kinds.clear()  # a program has few messages, so these are generated
        return self._kinds.setdefault(kind, {})


def _share_of(record: logging.LogRecord) -> int:
    args = record.args if isinstance(record.args, tuple) else ()
    sources = (getattr(arg, "source", None) for arg in args)
    return hash(next((source for source in sources if source is not None), None)) % SHARES
