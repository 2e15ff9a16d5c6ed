"""The order in which the processor lets others see what it stores."""

from __future__ import annotations

import platform
from typing import Final

IN_ORDER: Final = platform.machine().lower() in {"x86_64", "amd64", "i386", "i486", "i586", "i686"}
"""Stores are seen in the order of the program, and loads are made in it. Only a load may pass an
older store (Intel SDM volume 3, 9.2; AMD64 manual volume 2, 7.2). On others, all may be reordered.
"""
