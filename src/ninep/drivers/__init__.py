"""Drivers: where the files of an export come from. ``ninep.node`` is their specification.

A driver is a row of ``DRIVERS``, by the scheme of what it serves (``mem:``, ``s3:``): a
``DriverType`` in its module, or at an entry point ``ninep.drivers`` of another package. What has no
scheme is a folder of this computer.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from ninep.node import Driver
from ninep.options import OptionSet
from ninep.registry import Registry

__all__ = ["DRIVERS", "FOLDER", "DriverType", "find_driver"]


class DriverType(NamedTuple):
    """A row of ``DRIVERS``."""

    help: str
    """What is served: a clause."""
    options: type[OptionSet]
    open: Callable[[str, Any, Any], Driver]
    """Called with what stands behind the scheme, the options, and a ``ninep.security.Choice``.
    ``OSError`` with a sentence if it cannot be served.
    """
    models: bool = False
    """It keeps owners by a security model; for others the third argument is to be ignored, and
    naming a model is an error.
    """


DRIVERS: Final[Registry[DriverType]] = Registry(
    "ninep.drivers",
    "a driver",
    {
        "file": "ninep.drivers.local.options:DRIVER",
        "mem": "ninep.drivers.memory.options:DRIVER",
        "s3": "ninep.drivers.objects.options:DRIVER",
    },
    lambda thing: isinstance(thing, DriverType),
)
FOLDER: Final = "file"
"""The scheme of folders; it need not be written."""
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]+):(.*)", re.DOTALL)
"""At least two letters: one is a drive of Windows."""


def find_driver(target: str) -> tuple[str, str]:
    """The scheme of what is to be served, and the rest: ``mem:`` is one of ours, everything else is
    the path of a folder.
    """
    found = _SCHEME.fullmatch(target)
    if found is not None and found[1] in DRIVERS:
        return found[1], found[2].removeprefix("//") if found[1] == FOLDER else found[2]
    return FOLDER, target
