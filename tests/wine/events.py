"""A program for Windows: writes to the event log as a service does, and looks at what describes its events."""

from __future__ import annotations

import logging
import sys

from ninep.app.service import EventLogHandler
from ninep.host.windows import event_log
from ninep.logs import ASKED_FOR

SOURCE = "ninep-test"
KEY = rf"SYSTEM\CurrentControlSet\Services\EventLog\Application\{SOURCE}"


def main() -> None:
    assert sys.platform == "win32"
    import winreg

    event_log.add_source(SOURCE)
    with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, KEY) as key:
        assert winreg.QueryValueEx(key, "EventMessageFile")[0] == event_log.MESSAGES
    for _ in range(2):  # also if it is gone already
        event_log.remove_source(SOURCE)
    log = logging.getLogger("ninep.test")
    log.setLevel(logging.INFO)
    log.addHandler(EventLogHandler(SOURCE))
    log.info("not for the event log")
    log.warning("refused %s", "x\ny")
    log.error("it failed")
    log.warning("reloaded", extra=ASKED_FOR)


if __name__ == "__main__":
    main()
