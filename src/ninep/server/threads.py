"""What worker threads do for one connection: requests that have to wait for a device, and the
closing of sessions with many fids.

Everything here is called in the event loop; what comes back from a thread is brought there. Knows
no reply and no transport.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

from ninep.server.fids import Fid
from ninep.server.offload import Workers
from ninep.server.requests import Request, Requests
from ninep.server.session import Session

Finished: TypeAlias = list[tuple[Request, Future[tuple[Any, ...]]]]
Done: TypeAlias = Callable[[Finished], None]
Parts: TypeAlias = list[tuple[Hashable, list[Fid]]]

AT_ONCE = 1000
"""Fids that are closed in the event loop in one go: a millisecond ..."""
SOME = 250
"""... and of a driver that can be called nowhere else, of which less is known."""


class Threads:
    """The threads of one connection: ``most`` requests at a time run in ``workers``, which it
    shares with others.

    What to call at an end comes with each call: a connection that its own threads knew would be a
    reference cycle.
    """

    def __init__(self, workers: Workers, most: int, requests: Requests) -> None:
        self._loop = asyncio.get_running_loop()
        self._workers = workers
        self._most = most
        self._requests = requests
        self._closing = 0
        self._finished: Finished = []
        """Requests that came back from threads. What appends the first one wakes the loop: those that
        follow until then are taken together, and their replies leave in one write.
        """
        self._guard = threading.Lock()

    @property
    def busy(self) -> bool:
        """A request is running, or a session is being closed."""
        return bool(self._requests.running or self._closing)

    def run(self, done: Done) -> None:
        """Hand over the requests that are ready, as many as the connection may have in threads.
        ``done`` is called with those that came back, several at a time.
        """
        requests = self._requests
        while requests.ready and len(requests.running) < self._most:
            request = requests.next()
            future = self._workers.submit(
                request.storage(), request.entry.row.handler, request.session, *request.fields
            )
            request.run(future)
            future.add_done_callback(partial(self._came_back, done, request))

    def _came_back(self, done: Done, request: Request, future: Future[tuple[Any, ...]]) -> None:
        with self._guard:
            self._finished.append((request, future))
            first = len(self._finished) == 1
        if first:
            self._soon(self._take, done)

    def _take(self, done: Done) -> None:
        with self._guard:
            finished, self._finished = self._finished, []
        done(finished)

    def leave_behind(self) -> None:
        """Wait no longer for the requests that are running."""
        self._requests.running.clear()

    def close(self, session: Session, ended: Callable[[], None]) -> None:
        """Close a session whose fids are many, or slow to close; ``ended`` is called when it is
        done. What is on storage that hangs does not keep the rest.
        """
        self._closing += 1
        # To sort them takes long as well, but waits for nothing: so it is on no storage.
        future = self._workers.submit(session, session.by_storage)
        future.add_done_callback(partial(self._soon, self._close_parts, session, ended))

    def _close_parts(self, session: Session, ended: Callable[[], None], found: Future[Parts]) -> None:
        for storage, fids in found.result():
            self._closing += 1
            future = self._workers.submit(storage, session.drop, fids)
            future.add_done_callback(partial(self._soon, self._closed, ended))
        self._closed(ended)

    def close_here(self, session: Session, ended: Callable[[], None]) -> None:
        """The same for a driver that can be called in the event loop only: some fids at a time."""
        self._closing += 1
        self._close_some(session, session.take_all(), ended)

    def _close_some(self, session: Session, fids: list[Fid], ended: Callable[[], None]) -> None:
        session.drop(fids[-SOME:])
        del fids[-SOME:]
        if fids:
            self._loop.call_soon(self._close_some, session, fids, ended)
        else:
            self._loop.call_soon(self._closed, ended)

    def _closed(self, ended: Callable[[], None], _: object = None) -> None:
        self._closing -= 1
        ended()

    def _soon(self, call: Callable[..., None], *args: object) -> None:
        """From a thread. One that hung and comes back after the server's end finds the loop closed:
        RuntimeError.
        """
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *args)
