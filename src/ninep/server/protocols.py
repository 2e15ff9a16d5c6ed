"""Protocols other than 9P that a transport may carry, by name (``TransportType.protocol``). A row is
called with the address and the exports, and returns what makes a connection: called like
``connection.Connection``.
"""

from __future__ import annotations

from typing import Any, Final

from ninep.registry import Registry
from ninep.server.exports import Exports
from ninep.transport import Address, transport_of

PROTOCOLS: Final[Registry[Any]] = Registry(
    "ninep.protocols", "a protocol", {"fuse": "ninep.fuse.serving:serve"}, callable
)


def check_protocol(address: Address, exports: Exports) -> None:
    """``ValueError`` with a sentence if the exports cannot be served at an address by what its transport
    carries.
    """
    protocol = transport_of(address).protocol
    if protocol:
        PROTOCOLS.get(protocol)(address, exports)
