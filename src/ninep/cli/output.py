r"""Standard output, in one place: text and bytes go out here, whatever the encoding of the output is and whether or not it is open.

Names come from servers and can hold anything. Into a pipe they go as they came, byte for byte; what the encoding of the output does not have
(a POSIX locale, cp1252 on a redirected Windows console) is written as ``\xNN`` or ``\uNNNN``. That an output is closed or full is not the
fault of the file at hand, so it is an error of its own, ``OutputGone``, which ends the command.
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
    """The output takes nothing any more; ``cause`` says why."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause

    @property
    def closed(self) -> bool:
        """Its reader has gone, or there never was one: no failure to tell of."""
        return isinstance(self.cause, BrokenPipeError) or self.cause.errno in {errno.EPIPE, errno.EINVAL}  # Windows


def _escape(error: UnicodeError) -> tuple[bytes, int]:
    """An error handler for encoders: bytes that were no UTF-8 as they came, characters that the encoding lacks escaped."""
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
    """Make the standard streams fit for use. Once, at the start, before anything is opened.

    A program can be started without them (``>&-``). Their descriptors would then be those of the first sockets and files, so they are
    taken: standard output by a pipe without a reader, which refuses what is written to it, the others by the null device.
    """
    closed = [number for number in range(3) if not _is_open(number)]
    for _ in closed:
        os.open(os.devnull, os.O_RDWR)  # the lowest free number
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
    """Standard output is a terminal."""
    return sys.stdout.isatty()


def line(text: str = "") -> None:
    """A line of text."""
    try:
        sys.stdout.write(f"{text}\n")
    except OSError as error:
        raise OutputGone(error) from None


def raw(data: bytes) -> None:
    """Bytes, as they are."""
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
    except OSError as error:
        raise OutputGone(error) from None


def flush() -> None:
    """All of it is out, or ``OutputGone``."""
    try:
        sys.stdout.flush()
    except OSError as error:
        raise OutputGone(error) from None


def give_up() -> None:
    """What is still in the buffer must not fail once more when Python flushes it at the end."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
