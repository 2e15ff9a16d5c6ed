"""Where the log goes, and in which form."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from ninep import audit, logs
from ninep.app.audit_file import AuditFile
from ninep.app.config import ServerConfig
from ninep.log_format import FORMATS


class _Several(logging.Handler):
    """Handlers that write the same records: a filter that counts them is asked once."""

    def __init__(self, *handlers: logging.Handler) -> None:
        super().__init__()
        self._handlers = handlers

    def emit(self, record: logging.LogRecord) -> None:
        for handler in self._handlers:
            if record.levelno >= handler.level:
                handler.handle(record)

    def flush(self) -> None:
        for handler in self._handlers:
            handler.flush()


def set_up(settings: ServerConfig, also: Sequence[logging.Handler] = ()) -> None:
    """Log to standard error and what is given, and the audit to its file. ``OSError`` if that cannot
    be opened.
    """
    file = None if settings.audit_log is None else AuditFile(settings.audit_log, settings.audit_size)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FORMATS[settings.log_format](settings.verbose or settings.trace))
    all_of_them = _Several(handler, *also) if also else handler
    all_of_them.addFilter(logs.RateLimit())
    logging.getLogger("ninep").addHandler(all_of_them)
    set_level(settings)
    if file is not None:
        audit.log.addHandler(file)
        audit.log.propagate = False


def set_level(settings: ServerConfig) -> None:
    """Log as much as the configuration says."""
    level = logging.DEBUG if settings.trace else logging.INFO if settings.verbose else logging.WARNING
    logging.getLogger("ninep").setLevel(level)
    audits = any(export.get("audit") != "off" for export in settings.exports)
    audit.log.setLevel(logging.INFO if audits else logging.WARNING)
