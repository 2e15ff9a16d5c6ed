"""Whether this process has a controlling terminal (credentials(7)): SIGHUP means that it is gone, or,
to a process that has it still or never had one, what the program makes of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

_path: Final[Callable[[], str] | None] = getattr(os, "ctermid", None)


def controlling_terminal() -> bool:
    """Whether there is one: it can be opened by the name that stands for it (tty(4)). None on
    Windows.
    """
    if _path is None:
        return False
    no_wait: Any = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
    try:
        os.close(os.open(_path(), os.O_RDWR | no_wait))
    except OSError:
        return False
    return True
