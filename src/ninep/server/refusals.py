"""The one exit for failures: whatever a handler raised becomes an error reply in the words of the
dialect, and a line in the log.

* ``OSError``: its Linux errno. What a client may not do is logged for people (``--verbose``), what
  merely is not there for a trace.
* ``Malformed``: EPROTO.
* Anything else is our own defect: its traceback is logged, the client gets EIO, and the connection
  lives on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from ninep.errors import Refused, linux_errno, text_of
from ninep.linux import Errno
from ninep.server.counters import Counters
from ninep.server.limits import OverLimit
from ninep.server.session import Session
from ninep.transport.peers import Peer
from ninep.wire.codec import Malformed
from ninep.wire.messages import BY_NUMBER

log = logging.getLogger("ninep.server")

LOGGED = frozenset(
    {
        Errno.EACCES,
        Errno.EPERM,
        Errno.EROFS,
        Errno.ELOOP,
        Errno.ENXIO,
        Errno.EMFILE,
        Errno.ENFILE,
        Errno.ENOSPC,
        Errno.EDQUOT,
    }
    | {Errno.EIO, Errno.ESTALE, Errno.ENOLCK}
)
"""What the person who runs the server wants to know of; ENOENT and its like are a client's daily
bread.
"""


class Refusing(Protocol):
    """What is needed of a session, of whatever protocol."""

    peer: Peer
    counters: Counters


def errno_of(
    session: Refusing, number: int, error: Exception, name: Callable[[int], str], malformed: type[Exception]
) -> Errno:
    """The errno of anything that was raised, counted and logged. ``name`` says what a request of type
    ``number`` is called.
    """
    if isinstance(error, OSError):
        code = linux_errno(error)
        if isinstance(error, OverLimit):
            session.counters.beyond(error.limit)
        level = logging.INFO if code in LOGGED else logging.DEBUG
        if log.isEnabledFor(level):
            log.log(level, "refused %s %s: %s", session.peer, name(number), _why(code, error))
    elif isinstance(error, malformed):
        code = Errno.EPROTO
        log.info("malformed %s from %s: %s", name(number), session.peer, error)
    else:
        code = Errno.EIO
        log.error("%s from %s failed", name(number), session.peer, exc_info=error)
    session.counters.errors[code] += 1
    return code


def refusal(session: Session, tag: int, number: int, error: Exception) -> bytes:
    """The error reply to a request of type ``number``, for anything that was raised."""
    code = errno_of(session, number, error, _name, Malformed)
    return error_reply(session, tag, code, error.words if isinstance(error, Refused) else b"")


def error_reply(session: Session, tag: int, code: Errno, words: bytes = b"") -> bytes:
    """A number, words, or both, as the dialect has it: ``words``, or the usual ones."""
    dialect = session.dialect
    reply, fields = dialect.errors
    frame = dialect.codec.table[reply.number].pack(tag, *fields(code, words or text_of(code)))
    assert isinstance(frame, bytes)  # noqa: S101 - neither has a payload
    return frame


def _name(number: int) -> str:
    message = BY_NUMBER.get(number)
    return message.__name__ if message else f"type {number}"


def _why(code: Errno, error: OSError) -> str:
    words = str(error)
    return words if words.startswith(code.name) else f"{code.name}: {words}"
