"""ninep: serve folders over 9P, and talk to any 9P server.

The floors, each importing only what is below it, are told in ``docs/design.md``. The names here are loaded when they are first used:
``import ninep`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ninep.client.aio import AsyncClient, AsyncFile
    from ninep.client.aio import connect as aconnect
    from ninep.client.blocking import Client, File, connect
    from ninep.client.errors import DialectError, ProtocolError
    from ninep.drivers.local import LocalDriver
    from ninep.drivers.memory import MemoryDriver
    from ninep.drivers.synthetic import SyntheticDriver
    from ninep.server.exports import Export
    from ninep.server.server import Server

__version__ = "0.1.0"

__all__ = [
    "AsyncClient",
    "AsyncFile",
    "Client",
    "DialectError",
    "Export",
    "File",
    "LocalDriver",
    "MemoryDriver",
    "ProtocolError",
    "Server",
    "SyntheticDriver",
    "aconnect",
    "connect",
]

_WHERE: Final = {
    "AsyncClient": ("ninep.client.aio", "AsyncClient"),
    "AsyncFile": ("ninep.client.aio", "AsyncFile"),
    "Client": ("ninep.client.blocking", "Client"),
    "DialectError": ("ninep.client.errors", "DialectError"),
    "Export": ("ninep.server.exports", "Export"),
    "File": ("ninep.client.blocking", "File"),
    "LocalDriver": ("ninep.drivers.local", "LocalDriver"),
    "MemoryDriver": ("ninep.drivers.memory", "MemoryDriver"),
    "ProtocolError": ("ninep.client.errors", "ProtocolError"),
    "Server": ("ninep.server.server", "Server"),
    "SyntheticDriver": ("ninep.drivers.synthetic", "SyntheticDriver"),
    "aconnect": ("ninep.client.aio", "connect"),
    "connect": ("ninep.client.blocking", "connect"),
}


def __getattr__(name: str) -> Any:
    where = _WHERE.get(name)
    if where is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(where[0]), where[1])
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
