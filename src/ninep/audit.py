"""Records for an audit: who did what to which path, and what was refused.

A record is a line of the logger ``ninep.audit``, with its fields in ``record.fields``; the program
decides where it goes (``app.logging``). Nothing is made of a record while no log wants any.
"""

from __future__ import annotations

import logging
from typing import Any, Final

log: Final = logging.getLogger("ninep.audit")
log.setLevel(logging.WARNING)  # a program that wants records sets INFO
OK: Final = "ok"


def text(name: bytes) -> str:
    r"""A name as text; bytes that are not UTF-8 as ``\xNN``."""
    return name.decode("utf-8", "backslashreplace")


def record(action: str, result: str = OK, **fields: Any) -> None:
    """One record. Fields that are None are left out."""
    if not log.isEnabledFor(logging.INFO):
        return
    given = {"action": action, "result": result, **{key: value for key, value in fields.items() if value is not None}}
    words = " ".join(f"{key}={value!r}" for key, value in given.items())
    # asked_for: no limit of a flood leaves it out (``logs.RateLimit``)
    log.info("audit %s", words, extra={"fields": given, "asked_for": True})
