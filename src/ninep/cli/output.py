r"""Standard output, for text and bytes, whatever its encoding is, and if it is closed.

Names come from servers and can be any bytes. On a pipe they are written unchanged; characters that
the encoding of the output lacks (a POSIX locale, cp1252 on a redirected Windows console) are
written as ``\xNN`` or ``\uNNNN``. A closed or full output is not a failure of the current file, so
it has an exception of its own, ``OutputGone``, which ends the command.
"""

from __future__ import annotations

import codecs
import errno
import os
import sys
from contextlib import suppress
from typing import Final

ENCODING_ERRORS: Final = "ninep.escape"


class OutputGone(Exception):
    """Standard output is not writable any more; ``cause`` is the reason."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause

    @property
    def closed(self) -> bool:
        """The reader has closed it, or there was none: not an error to report."""
        return isinstance(self.cause, BrokenPipeError) or self.cause.errno in {errno.EPIPE, errno.EINVAL}  # Windows


def _escape(error: UnicodeError) -> tuple[bytes, int]:
    """An error handler for encoders: bytes that are not UTF-8 unchanged, characters that the
    encoding lacks escaped.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    pieces = []
    for character in error.object[error.start : error.end]:
        code = ord(character)
        if 0xDC80 <= code <= 0xDCFF:
            pieces.append(bytes([code - 0xDC00]))
        else:
            pieces.append(character.encode("ascii", "backslashreplace"))
    return b"".join(pieces), error.end


codecs.register_error(ENCODING_ERRORS, _escape)


def prepare() -> None:
    """Make the standard streams usable. To be called once, at the start, before any file is opened.

    A program can be started with closed standard streams (``>&-``). The first sockets and files
    would then get their descriptors, so these are occupied: standard output by a pipe without a
    reader, which fails at a write, the others by the null device.
    """
    closed = [number for number in range(3) if not _is_open(number)]
    for number in closed:
        opened = os.open(os.devnull, os.O_RDWR)  # the lowest free number
        if opened != number:  # a service of Windows: the number is taken, by nothing
            os.dup2(opened, number)
            os.close(opened)
    if 1 in closed:
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, 1)
        os.close(writer)
        sys.stdout = open(1, "w", encoding="utf-8", errors=ENCODING_ERRORS, closefd=False)  # noqa: SIM115
    if 2 in closed:
        sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    if 0 in closed:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors=ENCODING_ERRORS)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def is_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout.isatty()


def line(text: str = "") -> None:
    """Write a line of text."""
    try:
        sys.stdout.write(f"{text}\n")
    except OSError as error:
        raise OutputGone(error) from None


def raw(data: bytes) -> None:
    """Write bytes unchanged."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
    except OSError as error:
        raise OutputGone(error) from None


def flush() -> None:
    """Write the buffer. ``OutputGone`` if that fails."""
    try:
        sys.stdout.flush()
    except OSError as error:
        raise OutputGone(error) from None


def give_up() -> None:
    """Discard the buffer, so that Python's flush at exit does not fail again."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
