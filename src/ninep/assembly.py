"""Exports from a configuration: the one place where drivers, layers and options meet."""

from __future__ import annotations

from collections.abc import Sequence

from ninep.config import ExportConfig, ServerConfig
from ninep.drivers.local import LocalDriver
from ninep.layers.read_only import read_only
from ninep.server.exports import Export, Layer


def exports_of(settings: ServerConfig) -> list[Export]:
    """Open what is to be served. ``ExportError`` with a sentence if a folder cannot be."""
    return [_export(export) for export in settings.exports]


def _export(settings: ExportConfig) -> Export:
    driver = LocalDriver(
        settings.path,
        security_model=settings.security_model,
        fmode=settings.fmode,
        dmode=settings.dmode,
        multidevs=settings.multidevs,
    )
    layers: Sequence[Layer] = [read_only] if settings.read_only else []
    return Export(settings.name, driver, layers)
