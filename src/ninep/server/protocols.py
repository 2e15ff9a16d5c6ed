"""Protocols other than 9P that a transport may carry, by name (``TransportType.protocol``). A row is
called with the address and the exports, and returns what makes a connection: called like
``connection.Connection``.
"""

from __future__ import annotations

from typing import Any, Final

from ninep.registry import Registry

PROTOCOLS: Final[Registry[Any]] = Registry(
    "ninep.protocols", "a protocol", {"fuse": "ninep.fuse.serving:serve"}, callable
)
