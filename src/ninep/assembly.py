"""A server from a configuration: the one place where drivers, layers, limits and options meet."""

from __future__ import annotations

from collections.abc import Sequence

from ninep import host
from ninep.config import ExportConfig, ServerConfig
from ninep.drivers.local import LocalDriver
from ninep.layers.read_only import read_only
from ninep.server.access import Access
from ninep.server.exports import Export, Layer
from ninep.server.limits import Limits
from ninep.server.server import Server


def exports_of(settings: ServerConfig) -> list[Export]:
    """Open what is to be served. ``OSError`` with a sentence if a folder cannot be."""
    return [_export(export) for export in settings.exports]


def limits_of(settings: ServerConfig) -> Limits:
    """The limits of one process: its share of what all have together, and no more handles than the system gives it."""
    return settings.limits.share(settings.workers).fit(host.raise_handle_limit())


def server_of(settings: ServerConfig, exports: Sequence[Export]) -> Server:
    """A server (one process of it) that listens nowhere yet."""
    return Server(exports, limits_of(settings), access=settings.access)


def _export(settings: ExportConfig) -> Export:
    driver = LocalDriver(
        settings.path,
        security_model=settings.security_model,
        fmode=settings.fmode,
        dmode=settings.dmode,
        multidevs=settings.multidevs,
    )
    layers: Sequence[Layer] = [read_only] if settings.read_only else []
    return Export(settings.name, driver, layers, access=Access(settings.allow, closed=True))
