"""A process that the service control manager has started: it says what it is doing, and is told what to do.

* It has to say so within 30 seconds, before the import of all that a server needs (``begin``).
* The dispatcher has a thread of its own, so that the main thread serves as it does without a manager.
* Controls are accepted while the service runs, not while it starts or ends.
"""

from __future__ import annotations

import ctypes
import errno
import threading
from collections.abc import Callable, Mapping
from ctypes import Structure, byref, c_uint32, c_void_p, c_wchar_p
from typing import Any, Final

from ninep.host.windows.services import OWN_PROCESS, Control, State, Status
from ninep.host.windows.win32 import ERROR_CALL_NOT_IMPLEMENTED, ERROR_SERVICE_SPECIFIC_ERROR, code_of, win32

NOT_STARTED_BY_IT: Final = 1063
"""ERROR_FAILED_SERVICE_CONTROLLER_CONNECT."""
_ACCEPTED: Final = 0x1 | 0x4 | 0x8
"""SERVICE_ACCEPT_STOP, _SHUTDOWN, _PARAMCHANGE."""
_WAIT: Final = 30_000
"""Milliseconds that starting and ending may take."""
_function: Any = getattr(ctypes, "WINFUNCTYPE", ctypes.CFUNCTYPE)
_MAIN: Any = _function(None, c_uint32, c_void_p)
_HANDLER: Any = _function(c_uint32, c_uint32, c_uint32, c_void_p, c_void_p)


class _Entry(Structure):
    _fields_ = (("name", c_wchar_p), ("main", c_void_p))


class Service:
    """This process as a service, the only one of it."""

    def __init__(self) -> None:
        self._controls: Mapping[Control, Callable[[], None]] = {}
        self._handle: int | None = None
        self._failed: OSError | None = None
        self._begun, self._ended = threading.Event(), threading.Event()
        self._main, self._handler = _MAIN(self._service_main), _HANDLER(self._told)
        threading.Thread(target=self._dispatch, name="ninep-service", daemon=True).start()

    def check(self) -> None:
        """``OSError`` if the SCM has not started it."""
        self._begun.wait()
        if self._failed is not None:
            raise self._failed

    def hear(self, controls: Mapping[Control, Callable[[], None]]) -> None:
        """What to call, in a thread of the SCM's, for each control; they return at once."""
        self._controls = controls

    def _dispatch(self) -> None:
        main = ctypes.cast(self._main, c_void_p)
        entries = (_Entry * 2)(_Entry("", main), _Entry(None, None))
        try:
            win32.StartServiceCtrlDispatcherW(entries)
        except OSError as error:
            self._failed = error
            if code_of(error) == NOT_STARTED_BY_IT:
                self._failed = OSError(errno.EPERM, "this is what the system starts: ninep service start")
        self._begun.set()

    def _service_main(self, _count: int, _words: Any) -> None:
        try:
            handler = ctypes.cast(self._handler, c_void_p)
            self._handle = win32.RegisterServiceCtrlHandlerExW("", handler, None)
            self._say(State.START_PENDING, _WAIT)
        except OSError as error:
            self._failed = error
        self._begun.set()
        self._ended.wait()

    def _told(self, control: int, _kind: int, _data: Any, _context: Any) -> int:
        if control == Control.INTERROGATE:
            return 0
        act = self._controls.get(Control(control)) if control in set(Control) else None
        if act is None:
            return ERROR_CALL_NOT_IMPLEMENTED
        if control in {Control.STOP, Control.SHUTDOWN}:
            self.ending()
        act()
        return 0

    def running(self) -> None:
        """It serves."""
        self._say(State.RUNNING, accepted=_ACCEPTED)

    def ending(self) -> None:
        """It is about to end."""
        self._say(State.STOP_PENDING, _WAIT)

    def ended(self, status: int) -> None:
        """The last thing that this process says. ``status``: not 0 if it failed."""
        code = ERROR_SERVICE_SPECIFIC_ERROR if status else 0
        self._say(State.STOPPED, code=code, specific=status)
        self._ended.set()

    def _say(self, state: State, wait: int = 0, accepted: int = 0, code: int = 0, specific: int = 0) -> None:
        status = Status(OWN_PROCESS, state, accepted, code, specific, 1 if wait else 0, wait)
        win32.SetServiceStatus(self._handle, byref(status))


class _Current:
    service: Service | None = None


def begin() -> None:
    """Tell the SCM that the process it has started is there."""
    _Current.service = Service()


def current() -> Service:
    """This process as a service. ``OSError`` if the SCM has not started it."""
    if _Current.service is None:
        begin()
    assert _Current.service is not None  # noqa: S101 - it was made
    _Current.service.check()
    return _Current.service
