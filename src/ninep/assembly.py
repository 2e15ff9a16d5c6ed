"""A server from a configuration: the one place where drivers, layers, limits and options meet."""

from __future__ import annotations

from collections.abc import Sequence

from ninep import host
from ninep.config import ExportConfig, ServerConfig
from ninep.drivers.local import LocalDriver
from ninep.layers.id_map import IdMap, Squash
from ninep.layers.read_only import read_only
from ninep.layers.run_as import Identity, RunAs
from ninep.node import Node, User
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
    return Server(
        exports, limits_of(settings), access=settings.access, owns_loop=True, counted=settings.metrics is not None
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
    uid, gid = settings.anon
    if settings.run_as_user:
        layers.append(_run_as(settings.squash, Identity(uid, gid, ())))
    elif settings.squash in {"root", "all"}:
        layers.append(Squash(uid, gid, root_only=settings.squash == "root"))
    if settings.map_uids is not None and settings.map_gids is not None:
        layers.append(IdMap(settings.map_uids, settings.map_gids))
    if settings.read_only:
        layers.append(read_only)
    return layers


def _run_as(squash: str, anon: Identity) -> Layer:
    """Requests run as the user, or as ``anon`` for those who are squashed."""
    as_user, as_anon = RunAs(), RunAs(always=anon)

    def layer(root: Node, user: User) -> Node:
        squashed = squash == "all" or (squash == "root" and (user.uid == 0 or user.uname == b"root"))
        return (as_anon if squashed else as_user)(root, user)

    return as_anon if squash == "all" else as_user if squash in {"none", "peer"} else layer
