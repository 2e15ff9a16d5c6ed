"""A server from its configuration: exports opened and checked for overlap, limits fitted to what
the system allows.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from ninep import host
from ninep.app.config import ServerConfig
from ninep.app.exports import build
from ninep.options import BadOption
from ninep.server import overlap
from ninep.server.exports import Export, Exports, close_driver
from ninep.server.limits import Limits
from ninep.server.pcap import PcapFile
from ninep.server.protocols import check_protocol
from ninep.server.server import Server

HANDLES = 24
"""Descriptors of a process that serves a few clients: its event loop, its listeners and exports,
and some for files.
"""
HANDLES_A_WORKER = 2


def exports_of(settings: ServerConfig) -> list[Export]:
    """Open what is to be served. ``OSError`` with a sentence if a folder cannot be, ``BadOption``
    for two that contradict each other.
    """
    exports: list[Export] = []
    try:
        for config in settings.exports:
            exports.append(build(config, settings.workers))  # noqa: PERF401 - what is open is to be known if one fails
        check_together(settings, exports)
    except (OSError, ValueError):
        for export in exports:
            close_driver(export)
        raise
    return exports


def check_together(settings: ServerConfig, exports: Sequence[Export]) -> None:
    """``BadOption`` for exports that contradict each other, or an address."""
    try:
        overlap.check(exports, permitted=settings.allow_overlap)
        for address in settings.listen:
            check_protocol(address, Exports(exports))
    except ValueError as error:
        hint = ", or permit it with --allow-overlap" if isinstance(error, overlap.Overlap) else ""
        raise BadOption(f"{error}{hint}") from error


def check_handles(settings: ServerConfig) -> None:
    """``OSError`` with a sentence if the system allows this process too few handles to serve a
    client.
    """
    given = host.raise_handle_limit()
    needed = HANDLES + (HANDLES_A_WORKER * settings.workers if settings.workers > 1 else 0)
    if given < needed:
        raise OSError(errno.EMFILE, f"too few open files are allowed: {given}, and {needed} are needed (ulimit -n)")


def limits_of(settings: ServerConfig) -> Limits:
    """The limits of one process: its share of the limits for all, and no more handles than the
    system allows.
    """
    return settings.limits.share(settings.workers).fit(host.raise_handle_limit())


def server_of(settings: ServerConfig, exports: Sequence[Export]) -> Server:
    """A server (one process of it) that listens nowhere yet."""
    server = Server(
        exports,
        limits_of(settings),
        access=settings.access,
        owns_loop=True,
        instrumented=settings.metrics is not None,
        allow_overlap=True,  # exports_of has checked
    )
    if settings.pcap is not None:
        server.observing.append(PcapFile(settings.pcap).observer)
    return server
