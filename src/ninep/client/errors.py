"""What a server refuses, as the ``OSError`` a Python program expects; and the one error for a server that breaks the protocol.

9P2000.L and .u name errors by Linux number, plain 9P2000 by words. Both become an ``OSError`` with the number that *this host* has for
the error of that name, so that ``FileNotFoundError``, ``PermissionError`` and ``error.errno == errno.ENOTEMPTY`` mean what they say on
every host. ``filename`` is set by the calls that were given a path.
"""

from __future__ import annotations

import errno as host_errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ninep.errors import TEXTS
from ninep.linux import Errno


class ProtocolError(ConnectionError):
    """The server said what no 9P server may say (a mistyped, duplicate, oversized or torn reply). The connection is closed."""


class DialectError(ConnectionError):
    """The server speaks none of the dialects that were asked for."""


class Unclear(OSError):
    """A refusal whose words are not known (plain 9P2000): EIO, with the words. What is missing is told so by many a server."""


# What servers of plain 9P2000 say, beside the words of ``errors.TEXTS`` and of errno(3): Plan 9's kernel and file servers (9front
# sys/src/9/port/error.h, lib9p), u9fs, and the table of the Linux client (net/9p/error.c). First match wins; parts of a text count,
# because servers put the name before or after ("'x' file does not exist").
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
    """The Linux errno of a plain 9P2000 error text; EIO if it says nothing known."""
    return _known(words) or Errno.EIO


def _known(words: str) -> Errno | None:
    lowered = words.lower()
    if lowered in _EXACT:
        return _EXACT[lowered]
    for part, code in _WORDS:
        if part in lowered:
            return code
    return None


def may_be_missing(error: OSError) -> bool:
    """Whether the refusal of a walk to the last name of a path may mean that there is nothing of that name. Then it can be tried to
    make it: the server says with that whether it was so.
    """
    return isinstance(error, (FileNotFoundError, Unclear))


def refusal(code: int, words: str = "") -> OSError:
    """The error for a Linux errno. ``words`` are the server's own, if it sent any that say more than the number does."""
    try:
        name = Errno(code).name
    except ValueError:
        return OSError(host_errno.EIO, f"error {code} from the server")
    number: int | None = getattr(host_errno, name, None)
    if number is None:
        return OSError(host_errno.EIO, words or name)
    return OSError(number, words or os.strerror(number))


def refusal_in_words(words: bytes, code: int = 0) -> OSError:
    """The error for an Rerror: by its number where there is one (9P2000.u), else by its words."""
    text = words.decode("utf-8", "replace")
    known = _known(text)
    if code and not (code == Errno.EIO and known):  # EIO is what servers send that have words only
        return refusal(code)
    return Unclear(host_errno.EIO, text or os.strerror(host_errno.EIO)) if known is None else refusal(known, text)


@contextmanager
def named_timeout(timeout: float | None) -> Iterator[None]:
    """Say what a ``TimeoutError`` without a number and words is: no connection was made in time."""
    try:
        yield
    except TimeoutError as error:
        if error.errno is not None or timeout is None:
            raise
        raise TimeoutError(host_errno.ETIMEDOUT, f"no connection within {timeout:g} s") from None


@contextmanager
def about(path: str, other: str | None = None) -> Iterator[None]:
    """Name the path (or both) in any ``OSError`` that a server's refusal becomes. Broken connections stay nameless."""
    try:
        yield
    except ConnectionError:
        raise
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = path
            if other is not None:
                error.filename2 = other
        raise
