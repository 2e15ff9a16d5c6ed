"""ninep: serve folders over 9P, and use any 9P server.

The names in ``__all__`` are the public interface for embedding a server, writing a driver and using
a server. Each is imported from its module at first use (PEP 562), so that ``import ninep`` loads no
other module of the package. ``docs/design.md`` describes the packages and which may import which.
"""

from __future__ import annotations

TYPE_CHECKING = False  # for type checkers; typing itself is more than half of what the import would cost
if TYPE_CHECKING:
    from typing import Any, Final

    from ninep.app.config import ServerConfig
    from ninep.app.exports import ExportConfig
    from ninep.app.run import run
    from ninep.client.aio import AsyncClient, AsyncFile
    from ninep.client.aio import connect as aconnect
    from ninep.client.blocking import Client, File, connect
    from ninep.client.errors import DialectError, NotWritten, OutcomeUnknown, ProtocolError
    from ninep.drivers.local import LocalDriver
    from ninep.drivers.memory import MemoryDriver
    from ninep.drivers.synthetic import SyntheticDriver
    from ninep.errors import Refused
    from ninep.layers.id_map import IdMap, Ranges, Squash
    from ninep.layers.read_only import read_only
    from ninep.layers.run_as import RunAs
    from ninep.linux import Errno
    from ninep.node import Attributes, Changes, Dirent, Driver, Node, OpenDir, OpenFile, Qid, Statfs, User, WouldBlock
    from ninep.server.access import Access
    from ninep.server.exports import Export
    from ninep.server.limits import Limits
    from ninep.server.server import Server

__version__ = "0.1.0"

__all__ = [
    "Access",
    "AsyncClient",
    "AsyncFile",
    "Attributes",
    "Changes",
    "Client",
    "DialectError",
    "Dirent",
    "Driver",
    "Errno",
    "Export",
    "ExportConfig",
    "File",
    "IdMap",
    "Limits",
    "LocalDriver",
    "MemoryDriver",
    "Node",
    "NotWritten",
    "OpenDir",
    "OpenFile",
    "OutcomeUnknown",
    "ProtocolError",
    "Qid",
    "Ranges",
    "Refused",
    "RunAs",
    "Server",
    "ServerConfig",
    "Squash",
    "Statfs",
    "SyntheticDriver",
    "User",
    "WouldBlock",
    "aconnect",
    "connect",
    "read_only",
    "run",
]

_MODULES: Final = {
    "Access": "ninep.server.access",
    "AsyncClient": "ninep.client.aio",
    "AsyncFile": "ninep.client.aio",
    "Attributes": "ninep.node",
    "Changes": "ninep.node",
    "Client": "ninep.client.blocking",
    "DialectError": "ninep.client.errors",
    "Dirent": "ninep.node",
    "Driver": "ninep.node",
    "Errno": "ninep.linux",
    "Export": "ninep.server.exports",
    "ExportConfig": "ninep.app.exports",
    "File": "ninep.client.blocking",
    "IdMap": "ninep.layers.id_map",
    "Limits": "ninep.server.limits",
    "LocalDriver": "ninep.drivers.local",
    "MemoryDriver": "ninep.drivers.memory",
    "Node": "ninep.node",
    "OpenDir": "ninep.node",
    "OpenFile": "ninep.node",
    "NotWritten": "ninep.client.errors",
    "OutcomeUnknown": "ninep.client.errors",
    "ProtocolError": "ninep.client.errors",
    "Qid": "ninep.node",
    "Ranges": "ninep.layers.id_map",
    "Refused": "ninep.errors",
    "RunAs": "ninep.layers.run_as",
    "Server": "ninep.server.server",
    "ServerConfig": "ninep.app.config",
    "Squash": "ninep.layers.id_map",
    "Statfs": "ninep.node",
    "SyntheticDriver": "ninep.drivers.synthetic",
    "User": "ninep.node",
    "WouldBlock": "ninep.node",
    "aconnect": "ninep.client.aio",
    "connect": "ninep.client.blocking",
    "read_only": "ninep.layers.read_only",
    "run": "ninep.app.run",
}
_NAMES: Final = {"aconnect": "connect"}
"""Names that differ from those in their modules."""


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - not part of what the import costs

    value = getattr(import_module(module), _NAMES.get(name, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
