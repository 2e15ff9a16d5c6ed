"""Services of Windows: what the service control manager (SCM) is asked. Names and numbers are those of
winsvc.h.
"""

from __future__ import annotations

import ctypes
import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ctypes import Structure, byref, c_int32, c_uint32, c_wchar_p
from enum import IntEnum
from typing import Any, Final, NamedTuple

from ninep.host.windows.win32 import ERROR_INSUFFICIENT_BUFFER, code_of, win32


class State(IntEnum):
    """dwCurrentState."""

    STOPPED = 1
    START_PENDING = 2
    STOP_PENDING = 3
    RUNNING = 4
    CONTINUE_PENDING = 5
    PAUSE_PENDING = 6
    PAUSED = 7


class Control(IntEnum):
    """What a service can be told."""

    STOP = 1
    INTERROGATE = 4
    SHUTDOWN = 5
    PARAMCHANGE = 6


class Start(IntEnum):
    """When the system starts a service."""

    AUTO = 2
    MANUAL = 3


class Status(Structure):
    """SERVICE_STATUS."""

    _fields_ = tuple(
        (name, c_uint32)
        for name in ("kind", "state", "accepted", "exit_code", "specific_exit_code", "check_point", "wait_hint")
    )


class _StatusProcess(Structure):
    _fields_ = (("status", Status), ("pid", c_uint32), ("flags", c_uint32))


class _Config(Structure):
    _fields_ = (
        ("kind", c_uint32),
        ("start", c_uint32),
        ("error_control", c_uint32),
        ("command", c_wchar_p),
        ("group", c_wchar_p),
        ("tag", c_uint32),
        ("dependencies", c_wchar_p),
        ("account", c_wchar_p),
        ("shown", c_wchar_p),
    )


class _Description(Structure):
    _fields_ = (("text", c_wchar_p),)


class _Action(Structure):
    _fields_ = (("kind", c_uint32), ("delay", c_uint32))


class _FailureActions(Structure):
    _fields_ = (
        ("reset", c_uint32),
        ("message", c_wchar_p),
        ("command", c_wchar_p),
        ("count", c_uint32),
        ("actions", ctypes.POINTER(_Action)),
    )


class _FailureFlag(Structure):
    _fields_ = (("on_exit_code", c_int32),)


class Found(NamedTuple):
    """A service as it is."""

    state: State
    pid: int
    """0: it does not run."""
    exit_code: int
    """Of the last run: 0, a code of winerror.h, or 1066 with ``specific``."""
    specific: int
    command: str
    account: str
    start: int


OWN_PROCESS: Final = 0x10
ERROR_SERVICE_DOES_NOT_EXIST: Final = 1060
_ALL: Final = 0xF01FF
_CONNECT, _CONNECT_CREATE = 0x1, 0x3
_QUERY, _START, _STOP, _PAUSE_CONTINUE, _DELETE = 0x5, 0x10, 0x20, 0x40, 0x10000
_ERROR_NORMAL: Final = 1
_ERROR_INVALID_LEVEL: Final = 124
_RESTART: Final = 1
_DESCRIPTION, _FAILURE_ACTIONS, _FAILURE_FLAG = 1, 2, 4
_RESTART_AFTER: Final = 5000
_FORGOTTEN_AFTER: Final = 86400
_LOOK_EVERY: Final = 0.1


@contextmanager
def _manager(access: int) -> Iterator[int]:
    handle = win32.OpenSCManagerW(None, None, access)
    try:
        yield handle
    finally:
        win32.CloseServiceHandle(handle)


@contextmanager
def _service(name: str, access: int) -> Iterator[int]:
    with _manager(_CONNECT) as manager:
        try:
            handle = win32.OpenServiceW(manager, name, access)
        except OSError as error:
            if code_of(error) == ERROR_SERVICE_DOES_NOT_EXIST:
                raise FileNotFoundError(errno.ENOENT, f"there is no service {name!r}: ninep service install") from error
            raise
    try:
        yield handle
    finally:
        win32.CloseServiceHandle(handle)


def install(
    name: str, shown: str, description: str, command: str, account: str, password: str | None, start: Start
) -> None:
    """Make a service that is started again when it fails. ``OSError``."""
    with _manager(_CONNECT_CREATE) as manager:
        handle = win32.CreateServiceW(
            manager, name, shown, _ALL, OWN_PROCESS, start, _ERROR_NORMAL, command, None, None, None, account, password
        )
    try:
        _describe(handle, description)
    except OSError:
        with suppress(OSError):
            win32.DeleteService(handle)
        raise
    finally:
        win32.CloseServiceHandle(handle)


def _describe(handle: int, description: str) -> None:
    actions = (_Action * 1)(_Action(_RESTART, _RESTART_AFTER))
    for level, what in (
        (_DESCRIPTION, _Description(description)),
        (_FAILURE_ACTIONS, _FailureActions(_FORGOTTEN_AFTER, None, None, len(actions), actions)),
        (_FAILURE_FLAG, _FailureFlag(1)),
    ):
        try:
            win32.ChangeServiceConfig2W(handle, level, byref(what))
        except OSError as error:
            if code_of(error) != _ERROR_INVALID_LEVEL:  # Wine starts no service again
                raise


def remove(name: str) -> None:
    """Remove a service that is stopped; one that runs goes when it has ended."""
    with _service(name, _DELETE) as handle:
        win32.DeleteService(handle)


def start(name: str) -> None:
    """Begin to start it."""
    with _service(name, _START) as handle:
        win32.StartServiceW(handle, 0, None)


def control(name: str, what: Control) -> None:
    """Tell it something."""
    access = _STOP if what == Control.STOP else _PAUSE_CONTINUE
    with _service(name, access) as handle:
        win32.ControlService(handle, what, byref(Status()))


def query(name: str) -> Found:
    """What it is doing, and how it is set up."""
    with _service(name, _QUERY) as handle:
        status, needed = _StatusProcess(), c_uint32()
        win32.QueryServiceStatusEx(handle, 0, byref(status), ctypes.sizeof(status), byref(needed))
        config = _config(handle)
    now: Any = status.status
    return Found(
        State(now.state),
        status.pid,
        now.exit_code,
        now.specific_exit_code,
        config.command,
        config.account,
        config.start,
    )


def _config(handle: int) -> Any:
    needed = c_uint32()
    try:
        win32.QueryServiceConfigW(handle, None, 0, byref(needed))
    except OSError as error:
        if code_of(error) != ERROR_INSUFFICIENT_BUFFER:
            raise
    space = ctypes.create_string_buffer(needed.value)
    win32.QueryServiceConfigW(handle, space, len(space), byref(needed))
    return _Config.from_buffer(space)


def wait_for(name: str, state: State, within: float) -> Found:
    """Wait until it is in a state, or in one that leads to no other: the SCM is asked again and again."""
    deadline = time.monotonic() + within
    while True:
        found = query(name)
        settled = found.state in {State.STOPPED, State.RUNNING}
        if found.state == state or (settled and state == State.RUNNING) or time.monotonic() > deadline:
            return found
        time.sleep(_LOOK_EVERY)
