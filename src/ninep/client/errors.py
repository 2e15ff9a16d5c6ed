"""A server's errors as ``OSError``, and the exceptions for servers that violate the protocol.

9P2000.L and .u send Linux errno values, plain 9P2000 sends texts. Both become an ``OSError`` with
the number that *this host* has for the error of that name, so that ``FileNotFoundError``,
``PermissionError`` and ``error.errno == errno.ENOTEMPTY`` work on every host. Calls with a path set
``filename``.
"""

from __future__ import annotations

import ast
import errno as host_errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ninep.errors import TEXTS
from ninep.linux import Errno


class ProtocolError(ConnectionError):
    """The server violated the protocol (a reply of the wrong type, a duplicate, too large or
    malformed one). The connection is closed.
    """


class DialectError(ConnectionError):
    """The server supports none of the requested dialects."""


class NotWritten(OSError):
    """EIO: what was written before the connection was lost and not synced (fsync) may be missing on the
    server, and this client has no copy. Reported once for a file, by its next write, fsync or close.
    """


class OutcomeUnknown(OSError):
    """EIO: the connection was lost before the reply to a request that must not be sent twice (create,
    rename, remove, append ...). It may have been performed. The connection works again.
    """


class ListingLost(OSError):
    """ESTALE: a listing was at an offset that means nothing at another server."""


class UnknownErrorText(OSError):
    """An error with an unknown text (plain 9P2000): EIO, with the text. Many servers report a
    missing file this way.
    """


class ServerPath(str):
    """A path on a server, as ``filename`` of an ``OSError``: text, told apart from a path of this
    host.
    """

    __slots__ = ()


class NoSuchExport(FileNotFoundError):
    """ENOENT of an attach: the server has no export of this name."""

    exports: tuple[str, ...] = ()
    """The names that there are for this client, if the server said so; empty: the one without a
    name.
    """


# Texts of plain 9P2000 servers, in addition to ``errors.TEXTS`` and those of errno(3): Plan 9's
# kernel and file servers (9front sys/src/9/port/error.h, lib9p), u9fs, and the table of the Linux
# client (net/9p/error.c). The first match wins; a part of the text is sufficient, because servers
# add the name before or after ("'x' file does not exist").
_WORDS: Final = (
    ("does not exist", Errno.ENOENT),
    ("doesn't exist", Errno.ENOENT),
    ("not exist", Errno.ENOENT),
    ("nonexistent", Errno.ENOENT),
    ("not found", Errno.ENOENT),
    ("no such file", Errno.ENOENT),
    ("no such dir", Errno.ENOENT),
    ("no such entry", Errno.ENOENT),
    ("no such name", Errno.ENOENT),
    ("no such path", Errno.ENOENT),
    ("enoent", Errno.ENOENT),
    ("already exists", Errno.EEXIST),
    ("file exists", Errno.EEXIST),
    ("not empty", Errno.ENOTEMPTY),
    ("not a directory", Errno.ENOTDIR),
    ("is a directory", Errno.EISDIR),
    ("permission denied", Errno.EACCES),
    ("not permitted", Errno.EPERM),
    ("prohibited", Errno.EPERM),
    ("not owner", Errno.EPERM),
    ("read only", Errno.EROFS),
    ("read-only", Errno.EROFS),
    ("function not implemented", Errno.EOPNOTSUPP),
    ("not supported", Errno.EOPNOTSUPP),
    ("unknown fid", Errno.EBADF),
    ("bad file", Errno.EBADF),
    ("fid in use", Errno.EBADF),
    ("too many symbolic links", Errno.ELOOP),
    ("too many levels", Errno.ELOOP),
    ("too many open files", Errno.EMFILE),
    ("no free file descriptors", Errno.EMFILE),
    ("no space", Errno.ENOSPC),
    ("file system full", Errno.ENOSPC),
    ("quota", Errno.EDQUOT),
    ("name too long", Errno.ENAMETOOLONG),
    ("too large", Errno.EFBIG),
    ("in use", Errno.EBUSY),
    ("busy", Errno.EBUSY),
    ("exclusive", Errno.EBUSY),
    ("cross-device", Errno.EXDEV),
    ("stale", Errno.ESTALE),
    ("interrupted", Errno.EINTR),
    ("authentication", Errno.EACCES),
    ("invalid argument", Errno.EINVAL),
    ("bad offset", Errno.EINVAL),
    ("bad arg", Errno.EINVAL),
    ("illegal", Errno.EINVAL),
)
_EXACT: Final = {text.lower(): code for code, text in reversed(TEXTS.items()) if code is not Errno.EPERM}


def errno_of_words(words: str) -> Errno:
    """The Linux errno of an error text of plain 9P2000; EIO for an unknown text."""
    return _errno_of_part(words) or Errno.EIO


def _errno_of_part(words: str) -> Errno | None:
    lowered = words.lower()
    if lowered in _EXACT:
        return _EXACT[lowered]
    for part, code in _WORDS:
        if part in lowered:
            return code
    return None


def can_mean_missing(error: OSError) -> bool:
    """Whether the error of a walk to the last name of a path can mean that the name does not exist.
    The caller may then try to create it; the reply to that is definite.
    """
    return isinstance(error, (FileNotFoundError, UnknownErrorText))


def refusal(code: int, words: str = "") -> OSError:
    """The ``OSError`` for a Linux errno. ``words`` are the server's text, if it sent one that adds
    to the number.
    """
    try:
        name = Errno(code).name
    except ValueError:
        return OSError(host_errno.EIO, f"error {code} from the server")
    number: int | None = getattr(host_errno, name, None)
    if number is None:
        return OSError(host_errno.EIO, words or name)
    return OSError(number, words or os.strerror(number))


def refusal_in_words(words: bytes, code: int = 0) -> OSError:
    """The ``OSError`` for an Rerror: by its number (9P2000.u), otherwise by its text."""
    text = words.decode("utf-8", "replace")
    errno = _errno_of_part(text)
    if code and not (code == Errno.EIO and errno):  # servers without errno values send EIO
        return refusal(code)
    return (
        UnknownErrorText(host_errno.EIO, text or os.strerror(host_errno.EIO)) if errno is None else refusal(errno, text)
    )


@contextmanager
def named_timeout(timeout: float | None) -> Iterator[None]:
    """Give a ``TimeoutError`` without a message its text: no connection within ``timeout``
    seconds.
    """
    try:
        yield
    except TimeoutError as error:
        if error.errno is not None or timeout is None:
            raise
        raise TimeoutError(host_errno.ETIMEDOUT, f"no connection within {timeout:g} s") from None


@contextmanager
def about(path: str, other: str | None = None) -> Iterator[None]:
    """Set ``filename`` (and ``filename2``) of an ``OSError`` raised in the block to paths of the
    server, except for broken connections.
    """
    try:
        yield
    except ConnectionError:
        raise
    except OSError as error:
        _name(error, ServerPath(path), None if other is None else ServerPath(other))
        raise


@contextmanager
def about_local(path: str) -> Iterator[None]:
    """As ``about``, for a path of this host."""
    try:
        yield
    except OSError as error:
        _name(error, path)
        raise


def _name(error: OSError, path: str, other: str | None = None) -> None:
    if error.filename is None and error.errno is not None:
        error.filename = path
        if other is not None:
            error.filename2 = other


# What ninep's server adds to the words of the error (``server.handlers.attach``).
_THERE_ARE: Final = re.compile(r": (there (?:is|are) (.+)|the export has no name; leave the aname out)", re.DOTALL)
_EXPORT: Final = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|one without a name")


def no_such_export(aname: str, error: OSError, words: str) -> NoSuchExport:
    """The error of an attach that was refused with ENOENT. ``words``: those of the server, or empty:
    9P2000.L sends only the number.
    """
    found = _THERE_ARE.search(words)
    sentence = (
        f"the server has no export {aname!r}"
        if aname
        else "the server has no export without a name; choose one by its name (aname)"
    )
    if found is not None:
        sentence = f"{sentence}: {found[1]}"
    elif error.strerror != os.strerror(host_errno.ENOENT):
        sentence = error.strerror or sentence
    raised = NoSuchExport(host_errno.ENOENT, sentence)
    if found is not None:
        raised.exports = tuple(map(_unquoted, _EXPORT.findall(found[2] or "one without a name")))
    return raised


def _unquoted(name: str) -> str:
    try:
        return str(ast.literal_eval(name)) if name[0] in "'\"" else ""
    except (ValueError, SyntaxError):  # an escape that is none
        return name[1:-1]
