"""The host: one module for each operating system, with the names that ``_api`` lists.
``host.stat(handle)`` and so on.

This is the only place in the program that asks which system it runs on.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ninep.host._api import (
    LISTING_SIZE,
    NO_HANDLE,
    Entry,
    Handle,
    HostModule,
    Listing,
    ObjectRef,
    Stat,
    Volume,
    iterate,
)

if sys.platform == "win32":
    from ninep.host.windows import system as _system
    from ninep.host.windows.system import *  # noqa: F403 - its __all__ is the list of _api, which mypy checks below
elif sys.platform == "darwin":
    from ninep.host import _darwin as _system
    from ninep.host._darwin import *  # noqa: F403
else:
    from ninep.host import _linux as _system
    from ninep.host._linux import *  # noqa: F403

if TYPE_CHECKING:
    _conforms: HostModule = _system

__all__ = [
    "LISTING_SIZE",
    "NO_HANDLE",
    "Entry",
    "Handle",
    "HostModule",
    "Listing",
    "ObjectRef",
    "Stat",
    "Volume",
    "iterate",
]
__all__ += _system.__all__
