"""Who may use an object of the system, and whose it is: security identifiers (SIDs) as text, and
descriptors in SDDL [MS-DTYP 2.4.2.1, 2.5.1].
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import byref, c_uint32, c_void_p
from functools import cache
from typing import Final

from ninep.host.windows.win32 import SecurityAttributes, win32

SYSTEM: Final = "S-1-5-18"
ADMINISTRATORS: Final = "S-1-5-32-544"
TRUSTED: Final = frozenset({SYSTEM, ADMINISTRATORS})
"""Who can do anything to a process anyhow. What an elevated administrator makes is the group's."""
_TOKEN_QUERY: Final = 8
_TOKEN_USER: Final = 1
_KERNEL_OBJECT: Final = 6
_OWNER: Final = 1
_SDDL_REVISION: Final = 1


@cache
def own_sid() -> str:
    """The user of this process."""
    token = c_void_p()
    win32.OpenProcessToken(win32.GetCurrentProcess(), _TOKEN_QUERY, byref(token))
    try:
        space, length = ctypes.create_string_buffer(256), c_uint32()
        win32.GetTokenInformation(token, _TOKEN_USER, space, len(space), byref(length))
        return _text(c_void_p.from_buffer(space).value)  # TOKEN_USER begins with a pointer to the SID
    finally:
        win32.CloseHandle(token)


def _text(sid: int | None) -> str:
    found = c_void_p()
    win32.ConvertSidToStringSidW(sid, byref(found))
    try:
        return ctypes.wstring_at(found.value or 0)
    finally:
        win32.LocalFree(found)


def owner_only(sid: str) -> str:
    """A descriptor in SDDL: this user owns the object, and he, Administrators and SYSTEM may do anything to
    it, and no other; nothing is inherited.
    """
    return f"O:{sid}D:P" + "".join(f"(A;;GA;;;{one})" for one in dict.fromkeys((sid, ADMINISTRATORS, SYSTEM)))


@contextmanager
def attributes(descriptor: str) -> Iterator[SecurityAttributes]:
    """For a call that makes an object. ``OSError``."""
    found = c_void_p()
    win32.ConvertStringSecurityDescriptorToSecurityDescriptorW(descriptor, _SDDL_REVISION, byref(found), None)
    try:
        yield SecurityAttributes(ctypes.sizeof(SecurityAttributes), found, 0)
    finally:
        win32.LocalFree(found)


def owner(handle: int) -> str:
    """Whose an open object is. It was opened with READ_CONTROL, which GENERIC_READ has."""
    sid, descriptor = c_void_p(), c_void_p()
    win32.GetSecurityInfo(handle, _KERNEL_OBJECT, _OWNER, byref(sid), None, None, None, byref(descriptor))
    try:
        return _text(sid.value)
    finally:
        win32.LocalFree(descriptor)
