"""The user and group that this process acts as; 0 on systems where they have no numbers (Windows)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

own_uid: Final[Callable[[], int]] = getattr(os, "geteuid", int)
own_gid: Final[Callable[[], int]] = getattr(os, "getegid", int)
