"""Exports that are served no more: their clients are ended, then their drivers are closed.

A client is a connection that has attached one of them, whatever else it has attached. It gets the
replies that it is owed, as at the end of the server, for at most ``GRACE``; then it is cut off.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from ninep.server.connection import Connection
from ninep.server.exports import Export, close_driver

log = logging.getLogger("ninep.server")

GRACE: Final = 10.0


class Retiring:
    """Some exports that were removed, and those who have them. In the event loop."""

    def __init__(
        self, exports: Sequence[Export], connections: Iterable[Connection], done: Callable[[Retiring], None]
    ) -> None:
        """``connections``: all of the server. ``done`` is called at the end."""
        self._exports = exports
        self._done = done
        for export in exports:  # first: who attaches in a thread looks at this after it has noted what it visited
            export.remove()
        self._clients = {connection for connection in connections if connection.visited(exports)}
        self._timer = asyncio.get_running_loop().call_later(GRACE, self._cut_off)

    def begin(self) -> None:
        """End the clients; what follows may come at once."""
        if self._clients:
            names = ", ".join(repr(export.name) for export in self._exports)
            log.warning("exports removed: %s; ending %d connections", names, len(self._clients))
        for connection in list(self._clients):
            connection.stop()
        self._close_if_idle()

    def ended(self, connection: Connection) -> None:
        """A connection of the server has ended."""
        if connection in self._clients:
            self._clients.discard(connection)
            self._close_if_idle()

    def close(self) -> None:
        """The server ends, and waits for no client."""
        self._clients.clear()
        self._close_if_idle()

    def _cut_off(self) -> None:
        for connection in list(self._clients):
            log.warning("%s still had requests in flight after %g s", connection.peer, GRACE)
            connection.abort()

    def _close_if_idle(self) -> None:
        if self._clients or self._timer.cancelled():
            return
        self._timer.cancel()
        for export in self._exports:
            close_driver(export)
        self._done(self)
