"""What the server asks for when an address carries FUSE: the row ``fuse`` of ``server.protocols``."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ninep.fuse.connection import FuseConnection
from ninep.server.exports import Export, Exports
from ninep.transport import Address, BadAddress
from ninep.transport.fuse import MountOptions


def _export(exports: Exports, name: str) -> Export:
    export = exports.find(os.fsencode(name))
    if export is None:
        there = ", ".join(repr(one.name) for one in exports)
        raise BadAddress(f"export={name}: the exports are {there}" if name else f"export= has to say which of {there}")
    for layer in export.layers:
        if hasattr(layer, "identify"):
            raise BadAddress(
                f"the export {export.name!r} runs requests with the rights of the user that attached, and a FUSE mount is one "
                "attach for all users of its kernel: leave run-as-user out, or serve it over 9P"
            )
    return export


def serve(address: Address, exports: Exports) -> Callable[..., FuseConnection]:
    """What makes the connections of an address. ``BadAddress`` for an export that there is not, or
    whose layers a FUSE mount cannot have.
    """
    options: Any = getattr(address, "options", None)
    if not isinstance(options, MountOptions):
        raise BadAddress(f"{address} has no options of a mount")
    _export(exports, options.export)

    def connect(*args: Any, **named: Any) -> FuseConnection:
        # The export of that name may have become another one since.
        return FuseConnection(*args, export=_export(exports, options.export), options=options, **named)

    return connect
