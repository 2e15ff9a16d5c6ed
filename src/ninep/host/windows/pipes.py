"""Named pipes that only their owner, Administrators and SYSTEM may open: how programs of a user talk to
his server where there are no unix sockets.

* The system refuses all others, by the descriptor that the pipe is made with, and who comes over the
  network (PIPE_REJECT_REMOTE_CLIENTS). A name that exists is not joined (FILE_FLAG_FIRST_PIPE_INSTANCE).
* Any user can make a pipe of any name. So who connects looks whose it is, and does not let the server act
  as the client (SECURITY_IDENTIFICATION).
* All calls are overlapped: each wait has a limit, and ends when the server does.
"""

from __future__ import annotations

import ctypes
import errno
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from ctypes import byref, c_uint32, c_void_p
from types import TracebackType
from typing import Any, Final, Self

from ninep.host.windows import security
from ninep.host.windows.win32 import (
    ERROR_BROKEN_PIPE,
    ERROR_FILE_NOT_FOUND,
    ERROR_IO_PENDING,
    ERROR_NO_DATA,
    ERROR_PIPE_BUSY,
    ERROR_PIPE_CONNECTED,
    INFINITE,
    WAIT_FIRST,
    WAIT_TIMEOUT,
    Overlapped,
    code_of,
    win32,
)

PREFIX: Final = "\\\\.\\pipe\\"
INSTANCES: Final = 32
_BUFFER: Final = 1 << 16
_PIECE: Final = 1 << 16
_DUPLEX_OVERLAPPED: Final = 0x3 | 0x40000000
_FIRST_INSTANCE: Final = 0x80000
_BYTES_LOCAL: Final = 0x8
"""PIPE_TYPE_BYTE, PIPE_READMODE_BYTE, PIPE_WAIT, PIPE_REJECT_REMOTE_CLIENTS."""
_READ_WRITE: Final = 0xC0000000
_OPEN_EXISTING: Final = 3
_IDENTIFICATION_OVERLAPPED: Final = 0x100000 | 0x10000 | 0x40000000
"""SECURITY_SQOS_PRESENT, SECURITY_IDENTIFICATION, FILE_FLAG_OVERLAPPED."""
_GONE: Final = frozenset({ERROR_BROKEN_PIPE, ERROR_NO_DATA, 233})


class Closed(OSError):
    """The server is closed."""

    def __init__(self) -> None:
        super().__init__(errno.ECONNABORTED, "the server is closed")


class Event:
    """An event of the system, which is set once or by an overlapped call."""

    def __init__(self) -> None:
        self.handle: int = win32.CreateEventW(None, True, False, None)

    def set(self) -> None:
        """For good."""
        win32.SetEvent(self.handle)

    def __del__(self) -> None:
        with suppress(OSError):
            win32.CloseHandle(self.handle)


class Pipe:
    """One end. Not for two threads at a time. ``stop`` ends every wait."""

    def __init__(self, handle: int, stop: Event | None = None, timeout: float | None = None) -> None:
        self._timeout = timeout
        self._handle = handle
        self._stop = stop
        self._done = Event()
        self._kept = b""
        self._open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection. What was written can still be read at the other end."""
        if self._open:
            self._open = False
            win32.CloseHandle(self._handle)

    def within(self, timeout: float | None) -> None:
        """The seconds that each call may wait from now on."""
        self._timeout = timeout

    def owner(self) -> str:
        """Whose pipe it is: the SID of who made it."""
        return security.owner(self._handle)

    def readline(self, limit: int) -> bytes:
        """Bytes to the next newline; without one if the other end is gone, or after ``limit`` bytes."""
        space = ctypes.create_string_buffer(_PIECE)
        while b"\n" not in self._kept and len(self._kept) < limit:
            try:
                count = self._transfer(win32.ReadFile, space, len(space))
            except BrokenPipeError:
                count = 0
            if not count:
                break
            self._kept += space.raw[:count]
        end = self._kept.find(b"\n") + 1 or len(self._kept)
        line, self._kept = self._kept[: min(end, limit)], self._kept[min(end, limit) :]
        return line

    def sendall(self, data: bytes) -> None:
        """Write. ``BrokenPipeError`` if the other end is gone."""
        for start in range(0, len(data), _PIECE):
            piece = data[start : start + _PIECE]
            while piece:
                piece = piece[self._transfer(win32.WriteFile, piece, len(piece)) :]

    def connected(self) -> None:
        """Wait until a client has connected."""
        self._transfer(lambda handle, _space, _size, _count, overlapped: win32.ConnectNamedPipe(handle, overlapped))

    def _transfer(self, call: Callable[..., Any], space: Any = None, size: int = 0) -> int:
        overlapped = Overlapped(event=self._done.handle)
        count = c_uint32()
        try:
            try:
                call(self._handle, space, size, None, byref(overlapped))
            except OSError as error:
                if code_of(error) == ERROR_PIPE_CONNECTED:
                    return 0
                if code_of(error) != ERROR_IO_PENDING:
                    raise
                self._wait(overlapped)
            win32.GetOverlappedResult(self._handle, byref(overlapped), byref(count), True)
        except OSError as error:
            if code_of(error) in _GONE:
                raise BrokenPipeError(errno.EPIPE, "the other end is gone") from error
            raise
        return count.value

    def _wait(self, overlapped: Overlapped) -> None:
        """For the end of a call; it is cancelled if it takes too long."""
        events = [self._done.handle, *([self._stop.handle] if self._stop else [])]
        limit = INFINITE if self._timeout is None else max(0, int(self._timeout * 1000))
        found = win32.WaitForMultipleObjects(len(events), (c_void_p * len(events))(*events), False, limit)
        if found == WAIT_FIRST:
            return
        with suppress(OSError):
            win32.CancelIoEx(self._handle, byref(overlapped))
        with suppress(OSError):  # the system writes there until then
            win32.GetOverlappedResult(self._handle, byref(overlapped), byref(c_uint32()), True)
        raise TimeoutError(errno.ETIMEDOUT, "it takes too long") if found == WAIT_TIMEOUT else Closed


class PipeServer:
    """A pipe that listens. ``OSError`` if there is one of that name."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._stop = Event()
        self._lock = threading.Lock()
        self._accepting = False
        self._next: Pipe | None = self._instance(_FIRST_INSTANCE)

    def _instance(self, flags: int = 0) -> Pipe:
        with security.attributes(security.owner_only(security.own_sid())) as attributes:
            handle = win32.CreateNamedPipeW(
                self.path,
                _DUPLEX_OVERLAPPED | flags,
                _BYTES_LOCAL,
                INSTANCES,
                _BUFFER,
                _BUFFER,
                0,
                byref(attributes),
            )
        return Pipe(handle, self._stop)

    def accept(self) -> Pipe:
        """The next client; for one thread. ``Closed``."""
        while True:
            waiting = self._begin()
            try:
                gone = _gone(waiting)
                self._follow()  # before this one goes: there is always one to connect to
            except BaseException:
                waiting.close()
                raise
            finally:
                self._accepting = False
            if not gone:
                return waiting
            waiting.close()

    def _begin(self) -> Pipe:
        with self._lock:
            if self._next is None:
                raise Closed
            self._accepting = True
            return self._next

    def _follow(self) -> None:
        following = self._instance()
        with self._lock:
            if self._next is not None:
                self._next = following
                return
        following.close()
        raise Closed

    def close(self) -> None:
        """Every wait of it ends, and of its clients."""
        self._stop.set()
        with self._lock:
            waiting, self._next = self._next, None
            if waiting is not None and not self._accepting:
                waiting.close()


def _gone(waiting: Pipe) -> bool:
    """Wait for a client: whether it is gone again."""
    try:
        waiting.connected()
    except BrokenPipeError:
        return True
    return False


def connect(path: str, timeout: float) -> Pipe:
    """A connection to a pipe of this user, or of who may do anything anyhow. ``OSError``:
    ``PermissionError`` of another's, ``FileNotFoundError``, ``TimeoutError`` if it takes no more.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            handle = win32.CreateFileW(path, _READ_WRITE, 0, None, _OPEN_EXISTING, _IDENTIFICATION_OVERLAPPED, None)
            break
        except OSError as error:
            if code_of(error) != ERROR_PIPE_BUSY:
                raise
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError(errno.ETIMEDOUT, "the server takes no more connections")
        with suppress(OSError):  # it says when one may be free, and another client may be first
            win32.WaitNamedPipeW(path, max(1, int(left * 1000)))
    pipe = Pipe(handle, timeout=timeout)
    owner = pipe.owner()
    if owner != security.own_sid() and owner not in security.TRUSTED:
        pipe.close()
        raise PermissionError(errno.EACCES, f"{owner} listens there, who is neither you nor an administrator")
    return pipe


def exists(path: str) -> bool:
    """Whether there is such a pipe, of whomever."""
    try:
        win32.WaitNamedPipeW(path, 1)
    except OSError as error:
        return code_of(error) != ERROR_FILE_NOT_FOUND
    return True


def process_ids() -> list[int]:
    """Of all processes of the system."""
    most = 1 << 10
    while True:
        space, length = (c_uint32 * most)(), c_uint32()
        win32.K32EnumProcesses(space, ctypes.sizeof(space), byref(length))
        if length.value < ctypes.sizeof(space):
            return list(space[: length.value // 4])
        most *= 2
