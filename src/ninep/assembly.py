"""A server from a configuration: the one place where drivers, layers, limits and options meet."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import replace

from ninep import host
from ninep.config import BadConfig, ExportConfig, ServerConfig
from ninep.drivers.local import LocalDriver, model_of
from ninep.layers.id_map import IdMap, Squash, peer_ids
from ninep.layers.read_only import read_only
from ninep.layers.run_as import RunAs
from ninep.server import overlap
from ninep.server.access import Access
from ninep.server.exports import Export, Layer
from ninep.server.limits import Limits
from ninep.server.server import Server

HANDLES = 24
"""Descriptors of a process that serves a few clients: its event loop, its listeners and exports, and some for files."""
HANDLES_A_WORKER = 2


def with_models(settings: ServerConfig) -> ServerConfig:
    """With a security model for each export that leaves the choice to its filesystem. ``OSError`` with a sentence if there is none."""
    exports = [
        replace(export, security_model=model_of(export.path, export.security_model)) for export in settings.exports
    ]
    return replace(settings, exports=exports)


def exports_of(settings: ServerConfig) -> list[Export]:
    """Open what is to be served. ``OSError`` with a sentence if a folder cannot be, ``BadConfig`` for two that contradict each other."""
    exports = [_export(export) for export in settings.exports]
    try:
        overlap.check(exports, permitted=settings.allow_overlap)
    except overlap.Overlap as error:
        for export in exports:
            export.driver.close()
        raise BadConfig(f"{error}, or permit it with --allow-overlap") from error
    return exports


def check_handles(settings: ServerConfig) -> None:
    """``OSError`` with a sentence if the system gives this process too few handles to serve anybody."""
    given = host.raise_handle_limit()
    needed = HANDLES + (HANDLES_A_WORKER * settings.workers if settings.workers > 1 else 0)
    if given < needed:
        raise OSError(errno.EMFILE, f"too few open files are allowed: {given}, and {needed} are needed (ulimit -n)")


def limits_of(settings: ServerConfig) -> Limits:
    """The limits of one process: its share of what all have together, and no more handles than the system gives it."""
    return settings.limits.share(settings.workers).fit(host.raise_handle_limit())


def server_of(settings: ServerConfig, exports: Sequence[Export]) -> Server:
    """A server (one process of it) that listens nowhere yet."""
    return Server(
        exports,
        limits_of(settings),
        access=settings.access,
        owns_loop=True,
        counted=settings.metrics is not None,
        allow_overlap=True,  # exports_of has looked
    )


def _export(settings: ExportConfig) -> Export:
    driver = LocalDriver(
        settings.path,
        security_model=settings.security_model,
        fmode=settings.fmode,
        dmode=settings.dmode,
        multidevs=settings.multidevs,
        devices=settings.devices,
    )
    return Export(
        settings.name,
        driver,
        layers_of(settings),
        access=Access(settings.allow, closed=True),
        trusting=settings.squash != "peer",
    )


def layers_of(settings: ExportConfig) -> list[Layer]:
    """The policies of an export, from the driver outwards: the outermost hears of a request first."""
    layers: list[Layer] = []
    if settings.run_as_user:
        layers.append(RunAs())
    elif settings.squash == "peer":
        layers.append(peer_ids)
    if settings.squash in {"root", "all"}:
        layers.append(Squash(*settings.anon, root_only=settings.squash == "root"))
    if settings.map_uids is not None and settings.map_gids is not None:
        layers.append(IdMap(settings.map_uids, settings.map_gids))
    if settings.read_only:
        layers.append(read_only)
    return layers
