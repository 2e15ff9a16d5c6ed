"""The event log of Windows: events of a source, and what its viewer needs to show them."""

from __future__ import annotations

import sys
from contextlib import suppress
from ctypes import c_wchar_p
from enum import IntEnum
from typing import Final

from ninep.host.windows.win32 import win32

MESSAGES: Final = r"%SystemRoot%\System32\EventCreate.exe"
"""Part of Windows, whose messages 1 to 1000 are one text each: no library of our own is needed."""
EVENT: Final = 1
LONGEST: Final = 31_839
"""Characters of a text (ReportEvent)."""
_KEY: Final = r"SYSTEM\CurrentControlSet\Services\EventLog\Application"


class Kind(IntEnum):
    """wType of ReportEvent."""

    ERROR = 1
    WARNING = 2
    INFORMATION = 4


class EventLog:
    """Writes events of a source. ``OSError``."""

    def __init__(self, source: str) -> None:
        self._handle = win32.RegisterEventSourceW(None, source)

    def report(self, kind: Kind, text: str) -> None:
        """One event."""
        texts = (c_wchar_p * 1)(text[:LONGEST].replace("\0", ""))
        win32.ReportEventW(self._handle, kind, 0, EVENT, None, 1, 0, texts, None)


def add_source(name: str) -> None:
    """Say in the registry what the events of a source look like. ``OSError``."""
    if sys.platform != "win32":
        raise OSError("the registry needs Windows")
    import winreg  # noqa: PLC0415 - of Windows alone

    with winreg.CreateKey(winreg.HKEY_LOCAL_MACHINE, rf"{_KEY}\{name}") as key:
        winreg.SetValueEx(key, "EventMessageFile", 0, winreg.REG_EXPAND_SZ, MESSAGES)
        winreg.SetValueEx(key, "TypesSupported", 0, winreg.REG_DWORD, Kind.ERROR | Kind.WARNING | Kind.INFORMATION)


def remove_source(name: str) -> None:
    """The opposite; events that were written stay."""
    if sys.platform != "win32":
        raise OSError("the registry needs Windows")
    import winreg  # noqa: PLC0415 - of Windows alone

    with suppress(FileNotFoundError):
        winreg.DeleteKey(winreg.HKEY_LOCAL_MACHINE, rf"{_KEY}\{name}")
