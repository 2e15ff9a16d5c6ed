"""What the server asks for when an address carries FUSE: the row ``fuse`` of ``server.protocols``."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
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
    export = _export(exports, options.export)
    place = getattr(address, "place", None)
    if place is not None:
        _check_place(place, export)

    def connect(*args: Any, **named: Any) -> FuseConnection:
        # The export of that name may have become another one since.
        return FuseConnection(*args, export=_export(exports, options.export), options=options, **named)

    return connect


def _check_place(mountpoint: str, export: Export) -> None:
    """``BadAddress`` for a mountpoint inside the folder that is mounted: each level of it would be found
    again in the next one, by requests of which each waits for another. The folder itself may be: what
    is served is below the mount then.
    """
    source = export.driver.source()
    if source is None:
        return
    above = os.path.dirname(os.path.realpath(mountpoint))
    while True:
        with suppress(OSError):
            found = os.stat(above)
            if (found.st_dev, found.st_ino) == source.above[0]:
                raise BadAddress(f"{mountpoint} is inside {source.path}, which would be mounted there: choose another")
        above, last = os.path.dirname(above), above
        if above == last:
            return
