"""Functions of Win32 by ctypes, for what is not about files: pipes, security, services, the event log.
A row each; what fails raises ``OSError`` with ``winerror``.

Importable everywhere, usable on Windows only: a library is loaded when the first of its functions is
used. Names and numbers are those of winbase.h, winnt.h, winsvc.h and winerror.h.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from ctypes import POINTER, Structure, c_int32, c_size_t, c_uint16, c_uint32, c_void_p, c_wchar_p
from typing import Any, Final, NamedTuple

INVALID_HANDLE: Final = c_void_p(-1).value
INFINITE: Final = 0xFFFFFFFF
WAIT_FIRST, WAIT_TIMEOUT = 0, 0x102

ERROR_FILE_NOT_FOUND: Final = 2
ERROR_INSUFFICIENT_BUFFER: Final = 122
ERROR_CALL_NOT_IMPLEMENTED: Final = 120
ERROR_SERVICE_SPECIFIC_ERROR: Final = 1066
ERROR_BROKEN_PIPE: Final = 109
ERROR_PIPE_BUSY: Final = 231
ERROR_NO_DATA: Final = 232
ERROR_PIPE_NOT_CONNECTED: Final = 233
ERROR_PIPE_CONNECTED: Final = 535
ERROR_IO_PENDING: Final = 997


class Overlapped(Structure):
    """OVERLAPPED, with an event that says when it is done."""

    _fields_ = (
        ("internal", c_size_t),
        ("internal_high", c_size_t),
        ("offset", c_uint32),
        ("offset_high", c_uint32),
        ("event", c_void_p),
    )


class SecurityAttributes(Structure):
    """SECURITY_ATTRIBUTES."""

    _fields_ = (("length", c_uint32), ("descriptor", c_void_p), ("inherit", c_int32))


def _false(result: Any) -> bool:
    return not result


def _no_handle(result: Any) -> bool:
    return result is None or result == INVALID_HANDLE


def _all_bits(result: Any) -> bool:
    return bool(result == INFINITE)


class Row(NamedTuple):
    """A function. ``failed`` says so of its result, None: it cannot fail, ``_code``: the result is the
    error.
    """

    library: str
    result: Any
    arguments: tuple[Any, ...]
    failed: Callable[[Any], bool] | None = _false


def _code(result: Any) -> bool:
    return bool(result)


_U32, _BOOL, _HANDLE, _TEXT = c_uint32, c_int32, c_void_p, c_wchar_p
_OVERLAPPED = POINTER(Overlapped)
_TRANSFER = (_HANDLE, c_void_p, _U32, c_void_p, _OVERLAPPED)
_KERNEL, _ADVAPI = "kernel32", "advapi32"

FUNCTIONS: Final[dict[str, Row]] = {
    "CloseHandle": Row(_KERNEL, _BOOL, (_HANDLE,)),
    "LocalFree": Row(_KERNEL, c_void_p, (c_void_p,), None),
    "GetCurrentProcess": Row(_KERNEL, _HANDLE, (), None),
    "K32EnumProcesses": Row(_KERNEL, _BOOL, (c_void_p, _U32, POINTER(_U32))),
    "CreateEventW": Row(_KERNEL, _HANDLE, (c_void_p, _BOOL, _BOOL, _TEXT), _no_handle),
    "SetEvent": Row(_KERNEL, _BOOL, (_HANDLE,)),
    "WaitForMultipleObjects": Row(_KERNEL, _U32, (_U32, POINTER(_HANDLE), _BOOL, _U32), _all_bits),
    "CreateNamedPipeW": Row(_KERNEL, _HANDLE, (_TEXT, *[_U32] * 6, POINTER(SecurityAttributes)), _no_handle),
    "ConnectNamedPipe": Row(_KERNEL, _BOOL, (_HANDLE, _OVERLAPPED)),
    "WaitNamedPipeW": Row(_KERNEL, _BOOL, (_TEXT, _U32)),
    "CreateFileW": Row(_KERNEL, _HANDLE, (_TEXT, _U32, _U32, c_void_p, _U32, _U32, _HANDLE), _no_handle),
    "ReadFile": Row(_KERNEL, _BOOL, _TRANSFER),
    "WriteFile": Row(_KERNEL, _BOOL, _TRANSFER),
    "GetOverlappedResult": Row(_KERNEL, _BOOL, (_HANDLE, _OVERLAPPED, POINTER(_U32), _BOOL)),
    "CancelIoEx": Row(_KERNEL, _BOOL, (_HANDLE, _OVERLAPPED)),
    "OpenProcessToken": Row(_ADVAPI, _BOOL, (_HANDLE, _U32, POINTER(_HANDLE))),
    "GetTokenInformation": Row(_ADVAPI, _BOOL, (_HANDLE, _U32, c_void_p, _U32, POINTER(_U32))),
    "ConvertSidToStringSidW": Row(_ADVAPI, _BOOL, (c_void_p, POINTER(c_void_p))),
    "ConvertStringSecurityDescriptorToSecurityDescriptorW": Row(
        _ADVAPI, _BOOL, (_TEXT, _U32, POINTER(c_void_p), c_void_p)
    ),
    "OpenSCManagerW": Row(_ADVAPI, _HANDLE, (_TEXT, _TEXT, _U32)),
    "CreateServiceW": Row(
        _ADVAPI,
        _HANDLE,
        (_HANDLE, _TEXT, _TEXT, _U32, _U32, _U32, _U32, _TEXT, _TEXT, c_void_p, _TEXT, _TEXT, _TEXT),
    ),
    "OpenServiceW": Row(_ADVAPI, _HANDLE, (_HANDLE, _TEXT, _U32)),
    "CloseServiceHandle": Row(_ADVAPI, _BOOL, (_HANDLE,)),
    "StartServiceW": Row(_ADVAPI, _BOOL, (_HANDLE, _U32, c_void_p)),
    "ControlService": Row(_ADVAPI, _BOOL, (_HANDLE, _U32, c_void_p)),
    "DeleteService": Row(_ADVAPI, _BOOL, (_HANDLE,)),
    "QueryServiceStatusEx": Row(_ADVAPI, _BOOL, (_HANDLE, _U32, c_void_p, _U32, POINTER(_U32))),
    "QueryServiceConfigW": Row(_ADVAPI, _BOOL, (_HANDLE, c_void_p, _U32, POINTER(_U32))),
    "ChangeServiceConfig2W": Row(_ADVAPI, _BOOL, (_HANDLE, _U32, c_void_p)),
    "StartServiceCtrlDispatcherW": Row(_ADVAPI, _BOOL, (c_void_p,)),
    "RegisterServiceCtrlHandlerExW": Row(_ADVAPI, _HANDLE, (_TEXT, c_void_p, c_void_p)),
    "SetServiceStatus": Row(_ADVAPI, _BOOL, (_HANDLE, c_void_p)),
    "RegisterEventSourceW": Row(_ADVAPI, _HANDLE, (_TEXT, _TEXT)),
    "ReportEventW": Row(
        _ADVAPI, _BOOL, (_HANDLE, c_uint16, c_uint16, _U32, c_void_p, c_uint16, _U32, POINTER(_TEXT), c_void_p)
    ),
    "GetSecurityInfo": Row(
        _ADVAPI, _U32, (_HANDLE, _U32, _U32, POINTER(c_void_p), c_void_p, c_void_p, c_void_p, POINTER(c_void_p)), _code
    ),
}


class _Win32:
    """The functions as attributes."""

    def __getattr__(self, name: str) -> Any:
        if sys.platform != "win32":
            raise OSError("functions of Win32 need Windows")
        row = FUNCTIONS.get(name)
        if row is None:
            raise AttributeError(name)
        function = getattr(ctypes.WinDLL(row.library, use_last_error=True), name)
        function.restype, function.argtypes = row.result, row.arguments
        if row.failed is not None:
            function.errcheck = _checker(row.failed)
        setattr(self, name, function)
        return function


def _checker(failed: Callable[[Any], bool]) -> Callable[[Any, Any, Any], Any]:
    def check(result: Any, _function: Any, _arguments: Any) -> Any:
        if failed(result):
            raise error_of(result if failed is _code else None)
        return result

    return check


def error_of(code: int | None = None) -> OSError:
    """The error of the last call of this thread, or of a code of winerror.h."""
    if sys.platform != "win32":
        raise OSError("functions of Win32 need Windows")
    return ctypes.WinError(ctypes.get_last_error() if code is None else code)


def code_of(error: OSError) -> int:
    """Its code of winerror.h."""
    return int(getattr(error, "winerror", None) or 0)


win32: Final = _Win32()
