"""The NT calls by ctypes: ``api.NtCalls`` on a running Windows.

Importable everywhere (so that type checkers and tests see it), usable on Windows only: ntdll is
loaded when ``SystemCalls`` is made. ctypes releases the GIL during a call, so worker threads do
overlap. This module knows neither layouts nor policy.
"""

from __future__ import annotations

import ctypes
import sys
from ctypes import POINTER, Structure, byref, c_char_p, c_int64, c_size_t, c_ubyte, c_uint16, c_uint32, c_void_p
from typing import Any

from ninep.host.windows import api as nt
from ninep.host.windows.names import from_units, units
from ninep.host.windows.status import NtError, Status, failed


class _UnicodeString(Structure):
    _fields_ = (("length", c_uint16), ("maximum", c_uint16), ("buffer", c_char_p))


class _ObjectAttributes(Structure):
    _fields_ = (
        ("length", c_uint32),
        ("root", c_void_p),
        ("name", POINTER(_UnicodeString)),
        ("attributes", c_uint32),
        ("security", c_void_p),
        ("quality", c_void_p),
    )


class _IoStatus(Structure):
    # The union of a status and a pointer is as wide as a pointer.
    _fields_ = (("status", c_void_p), ("information", c_size_t))


_IO = POINTER(_IoStatus)
_UNICODE = POINTER(_UnicodeString)
_U32 = c_uint32
_NTSTATUS = c_uint32
_EVENT_APC_CONTEXT = (c_void_p, c_void_p, c_void_p)
_DATA = (c_void_p, _U32)
_FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "NtCreateFile": (
        _NTSTATUS,
        (POINTER(c_void_p), _U32, POINTER(_ObjectAttributes), _IO, c_void_p, _U32, _U32, _U32, _U32, *_DATA),
    ),
    "NtClose": (_NTSTATUS, (c_void_p,)),
    "NtDuplicateObject": (_NTSTATUS, (c_void_p, c_void_p, c_void_p, POINTER(c_void_p), _U32, _U32, _U32)),
    "NtReadFile": (_NTSTATUS, (c_void_p, *_EVENT_APC_CONTEXT, _IO, *_DATA, POINTER(c_int64), c_void_p)),
    "NtWriteFile": (_NTSTATUS, (c_void_p, *_EVENT_APC_CONTEXT, _IO, *_DATA, POINTER(c_int64), c_void_p)),
    "NtFlushBuffersFile": (_NTSTATUS, (c_void_p, _IO)),
    "NtQueryInformationFile": (_NTSTATUS, (c_void_p, _IO, *_DATA, _U32)),
    "NtSetInformationFile": (_NTSTATUS, (c_void_p, _IO, *_DATA, _U32)),
    "NtQueryDirectoryFile": (
        _NTSTATUS,
        (c_void_p, *_EVENT_APC_CONTEXT, _IO, *_DATA, _U32, c_ubyte, _UNICODE, c_ubyte),
    ),
    "NtQueryVolumeInformationFile": (_NTSTATUS, (c_void_p, _IO, *_DATA, _U32)),
    "NtFsControlFile": (_NTSTATUS, (c_void_p, *_EVENT_APC_CONTEXT, _IO, _U32, *_DATA, *_DATA)),
    "NtQueryEaFile": (_NTSTATUS, (c_void_p, _IO, *_DATA, c_ubyte, *_DATA, c_void_p, c_ubyte)),
    "NtSetEaFile": (_NTSTATUS, (c_void_p, _IO, *_DATA)),
    "RtlDosPathNameToNtPathName_U": (c_ubyte, (c_void_p, _UNICODE, c_void_p, c_void_p)),
    "RtlFreeUnicodeString": (None, (_UNICODE,)),
}


def _library() -> ctypes.CDLL:
    if sys.platform != "win32":
        raise OSError("NT calls need Windows")
    return ctypes.WinDLL("ntdll")


def _pointer(data: bytes | bytearray | memoryview) -> Any:
    """What ctypes passes as a pointer, without a copy where the buffer allows it."""
    if isinstance(data, bytes):
        return data
    view = memoryview(data)
    return bytes(view) if view.readonly else (ctypes.c_char * view.nbytes).from_buffer(view)


_THIS_PROCESS = -1
_SAME_ACCESS = 2  # DUPLICATE_SAME_ACCESS
_EXPOSE_PLACEHOLDERS = 2  # PHCM_EXPOSE_PLACEHOLDERS: reparse tags and recall attributes of cloud files as they are
_FILE_CREATED = 2  # IoStatusBlock.Information of NtCreateFile


class SystemCalls:
    """``NtCalls`` on the system itself."""

    def __init__(self) -> None:
        library = _library()
        self._functions: dict[str, Any] = {}
        for name, (answer, arguments) in _FUNCTIONS.items():
            function = self._functions[name] = getattr(library, name)
            function.restype = answer
            function.argtypes = arguments
        # Windows decides by the program's name whether it sees placeholders; the mode is the
        # process's, since Windows 10 1803.
        expose = getattr(library, "RtlSetProcessPlaceholderCompatibilityMode", None)
        if expose is not None:
            expose.argtypes = (ctypes.c_byte,)
            expose.restype = ctypes.c_byte
            expose(_EXPOSE_PLACEHOLDERS)

    def _status(self, name: str, *arguments: Any) -> int:
        status: int = self._functions[name](*arguments)
        return status

    def _call(self, name: str, *arguments: Any) -> None:
        status = self._status(name, *arguments)
        if failed(status):
            raise NtError(status, name)

    def dos_path(self, path: str) -> str:
        """RtlDosPathNameToNtPathName_U."""
        answer = _UnicodeString()
        if not self._functions["RtlDosPathNameToNtPathName_U"](units(path) + b"\0\0", byref(answer), None, None):
            raise NtError(Status.OBJECT_PATH_INVALID, "RtlDosPathNameToNtPathName_U")
        try:
            return from_units(
                ctypes.string_at(c_void_p.from_buffer(answer, _UnicodeString.buffer.offset).value or 0, answer.length)
            )
        finally:
            self._functions["RtlFreeUnicodeString"](byref(answer))

    def create(
        self,
        root: int,
        name: str,
        access: int,
        options: int,
        *,
        share: int = nt.Share.ALL,
        disposition: int = nt.Disposition.OPEN,
        attributes: int = 0,
        object_attributes: int = nt.OBJ_CASE_INSENSITIVE | nt.OBJ_DONT_REPARSE,
    ) -> tuple[int, bool]:
        """NtCreateFile."""
        raw = units(name)
        string = _UnicodeString(len(raw), len(raw), raw)
        target = _ObjectAttributes(
            ctypes.sizeof(_ObjectAttributes), root or None, ctypes.pointer(string), object_attributes, None, None
        )
        handle, io = c_void_p(), _IoStatus()
        access |= nt.Access.SYNCHRONIZE
        options |= nt.Options.SYNCHRONOUS_IO_NONALERT
        self._call(
            "NtCreateFile",
            *(byref(handle), access, byref(target), byref(io)),
            *(None, attributes, share, disposition, options, None, 0),
        )
        return handle.value or 0, io.information == _FILE_CREATED

    def close(self, handle: int) -> None:
        """NtClose."""
        self._call("NtClose", handle)

    def duplicate(self, handle: int) -> int:
        """NtDuplicateObject."""
        copy = c_void_p()
        self._call("NtDuplicateObject", _THIS_PROCESS, handle, _THIS_PROCESS, byref(copy), 0, 0, _SAME_ACCESS)
        return copy.value or 0

    def read(self, handle: int, count: int, offset: int) -> bytes:
        """NtReadFile."""
        buffer, io = ctypes.create_string_buffer(count or 1), _IoStatus()
        at = byref(c_int64(offset))
        status = self._status("NtReadFile", handle, None, None, None, byref(io), buffer, count, at, None)
        if status == Status.END_OF_FILE:
            return b""
        if failed(status):
            raise NtError(status, "NtReadFile")
        return ctypes.string_at(buffer, io.information)

    def write(self, handle: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        """NtWriteFile."""
        io, at = _IoStatus(), byref(c_int64(offset))
        raw = _pointer(data)
        self._call("NtWriteFile", handle, None, None, None, byref(io), raw, len(data), at, None)
        return int(io.information)

    def flush(self, handle: int) -> None:
        """NtFlushBuffersFile."""
        self._call("NtFlushBuffersFile", handle, byref(_IoStatus()))

    def query(self, handle: int, kind: int, size: int, *, partial: bool = False) -> bytes:
        """NtQueryInformationFile."""
        return self._ask("NtQueryInformationFile", handle, kind, size, partial=partial)

    def _ask(self, name: str, handle: int, kind: int, size: int, *, partial: bool) -> bytes:
        buffer, io = ctypes.create_string_buffer(size), _IoStatus()
        status = self._status(name, handle, byref(io), buffer, size, kind)
        if status == Status.BUFFER_OVERFLOW and partial:
            return buffer.raw
        if failed(status):
            raise NtError(status, name)
        return ctypes.string_at(buffer, io.information)

    def change(self, handle: int, kind: int, data: bytes) -> None:
        """NtSetInformationFile."""
        self._call("NtSetInformationFile", handle, byref(_IoStatus()), data, len(data), kind)

    def query_directory(self, handle: int, size: int, pattern: str | None = None) -> bytes:
        """NtQueryDirectoryFile."""
        buffer, io = ctypes.create_string_buffer(size), _IoStatus()
        wanted, raw = None, units(pattern or "")
        if pattern is not None:
            wanted = byref(_UnicodeString(len(raw), len(raw), raw))
        status = self._status(
            "NtQueryDirectoryFile",
            *(handle, None, None, None, byref(io), buffer, size),
            *(nt.Info.ID_BOTH_DIRECTORY, 0, wanted, 0),
        )
        # NO_SUCH_FILE is the answer of a first scan that finds nothing (the root of an empty
        # volume, a pattern).
        if status in {Status.NO_MORE_FILES, Status.NO_SUCH_FILE}:
            return b""
        if failed(status):
            raise NtError(status, "NtQueryDirectoryFile")
        return ctypes.string_at(buffer, io.information)

    def query_volume(self, handle: int, kind: int, size: int) -> bytes:
        """NtQueryVolumeInformationFile."""
        return self._ask("NtQueryVolumeInformationFile", handle, kind, size, partial=True)

    def control(self, handle: int, code: int, data: bytes, size: int) -> bytes:
        """NtFsControlFile."""
        buffer, io = ctypes.create_string_buffer(size or 1), _IoStatus()
        out = buffer if size else None
        self._call(
            "NtFsControlFile",
            *(handle, None, None, None, byref(io), code),
            *(data or None, len(data), out, size),
        )
        return ctypes.string_at(buffer, io.information) if size else b""

    def query_ea(self, handle: int, names: bytes, size: int) -> bytes:
        """NtQueryEaFile."""
        buffer, io = ctypes.create_string_buffer(size), _IoStatus()
        self._call("NtQueryEaFile", handle, byref(io), buffer, size, 0, names, len(names), None, 1)
        return ctypes.string_at(buffer, io.information)

    def change_ea(self, handle: int, data: bytes) -> None:
        """NtSetEaFile."""
        self._call("NtSetEaFile", handle, byref(_IoStatus()), data, len(data))
