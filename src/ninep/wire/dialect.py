"""The dialects, and the negotiation of Tversion.

=============  =========  =================================================================
dialect        encoding   messages
=============  =========  =================================================================
``9P2000``     plain      the base messages; errors in words
``9P2000.u``   extended   the base messages with numeric ids, links and devices; errno too
``9P2000.L``   extended   the Linux messages **and** the base ones (FreeBSD's client sends Tcreate)
=============  =========  =================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final, NamedTuple, Self

from ninep.wire import messages as m
from ninep.wire.codec import Codec, codec
from ninep.wire.modes import EXTENDED, PLAIN, Encoding

_REQUESTS: Final = {cls for number, cls in m.BY_NUMBER.items() if number % 2 == 0} - {m.Tversion, m.Tflush}
"""What a client sends has an even number. Every dialect has the two."""
BASE_REQUESTS: Final = frozenset(cls for cls in _REQUESTS if cls.number >= m.Tversion.number)
LINUX_REQUESTS: Final = frozenset(_REQUESTS - BASE_REQUESTS)
"""The messages that 9P2000.L adds have the numbers below those of 9P2000 (include/net/9p/9p.h)."""


class ErrorStyle(NamedTuple):
    """How a dialect reports an error: the reply, and its fields for an errno and words."""

    reply: type[m.Message]
    fields: Callable[[int, bytes], tuple[bytes | int, ...]]


NUMBER: Final = ErrorStyle(m.Rlerror, lambda code, _words: (code,))
WORDS_AND_NUMBER: Final = ErrorStyle(m.Rerror, lambda code, words: (words, code))
WORDS: Final = ErrorStyle(m.Rerror, lambda _code, words: (words,))


class _Row(NamedTuple):
    encoding: Encoding
    requests: frozenset[type[m.Message]]
    errors: ErrorStyle
    unix_files: bool


NOTHING: Final = _Row(PLAIN, frozenset(), WORDS, False)


class Dialect(Enum):
    """A version string, with all in which the dialects differ. ``UNKNOWN`` is the server's answer
    to an unknown string (version(5)).
    """

    LINUX = b"9P2000.L", _Row(EXTENDED, BASE_REQUESTS | LINUX_REQUESTS, NUMBER, True)
    UNIX = b"9P2000.u", _Row(EXTENDED, BASE_REQUESTS, WORDS_AND_NUMBER, True)
    BASE = b"9P2000", _Row(PLAIN, BASE_REQUESTS, WORDS, False)
    UNKNOWN = b"unknown"

    encoding: Encoding
    """Whether there are the fields, types and permissions that plain 9P2000 lacks."""
    requests: frozenset[type[m.Message]]
    """What a client may send besides Tversion and Tflush."""
    errors: ErrorStyle
    unix_files: bool
    """Files are those of Unix: links, devices, FIFOs and sockets exist, Tcreate may open a file
    that exists, and a rename replaces. Otherwise those of Plan 9: a Tcreate or Twstat with the name
    of another file is an error, and a new file has no permission that its directory lacks (open(5),
    stat(5)).
    """

    def __new__(cls, version: bytes, row: _Row = NOTHING) -> Self:
        """A member, whose value is the version string."""
        made = object.__new__(cls)
        made._value_ = version
        made.encoding, made.requests, made.errors, made.unix_files = row
        return made

    @property
    def codec(self) -> Codec:
        """The compiled messages (compiled when they are first asked for)."""
        return codec(self.encoding)

    @property
    def stat_records(self) -> bool:
        """Directories are read as stat records, by Tread; otherwise by Treaddir."""
        return m.Treaddir not in self.requests


def negotiate(version: bytes) -> Dialect:
    """The dialect for a client's version string.

    version(5): the part after a period is a variant. The server removes one such suffix after the
    other, from the right, until it recognises the string: ``9P2000.L.Google.7`` gets ``9P2000.L``,
    ``9P2000.x.L`` gets ``9P2000``. The result is the longest known string that ends where a period
    follows; it is found without splitting what may be 64 KiB of periods. Case matters (``9P2000.l``
    is a variant of ``9P2000``). A number other than 2000 gets ``unknown``, also a larger one, for
    which version(5) would allow ``9P2000``.
    """
    for dialect in Dialect:
        if version == dialect.value or version.startswith(dialect.value + b"."):
            return dialect
    return Dialect.UNKNOWN
