"""What a connection is at the moment: for admission, retiring, status and metrics, which read it."""

from __future__ import annotations

from collections.abc import Collection

from ninep.server.dispatcher import Dispatcher
from ninep.server.exports import Export
from ninep.server.flow import Flow, Reason
from ninep.server.observer import Resources
from ninep.server.session import UNKNOWN_PEER, Session
from ninep.server.usage import Activity, SessionInfo, activity_of, resources_of, session_info
from ninep.wire.dialect import Dialect


class ConnectionState:
    """The part of a ``Connection`` that others read."""

    def __init__(self, dispatcher: Dispatcher, flow: Flow) -> None:
        self.peer = UNKNOWN_PEER
        self._dispatcher = dispatcher
        self._flow = flow
        self._owed = dispatcher.tags.owed
        self._served = self._drained = 0
        self._placed = 0
        """Served since they were last accounted for, and not among the others."""

    @property
    def session(self) -> Session:
        """The session there is now."""
        return self._dispatcher.session

    @property
    def negotiated(self) -> bool:
        """A version was agreed on."""
        return self.session.dialect is not Dialect.UNKNOWN

    @property
    def attached(self) -> bool:
        """A Tattach succeeded since the last version."""
        return self.session.attached

    def visited(self, exports: Collection[Export]) -> bool:
        """It attached one of these, in this session or in one whose last requests still run."""
        sessions = {self.session, *(request.session for request in self._dispatcher.requests.running)}
        return any(export in session.visited for session in sessions for export in exports)

    @property
    def progress(self) -> tuple[int, int] | None:
        """Changes with each whole request and reply taken; None while a request is in flight or waits."""
        return (
            None
            if self._owed or Reason.THROTTLED in self._flow.reasons
            else (self._served + self._placed, self._drained)
        )

    @property
    def in_flight(self) -> int:
        """Requests that are not answered yet."""
        return len(self._owed)

    @property
    def resources(self) -> Resources:
        """What its session has of the server's budgets."""
        return resources_of(self.session)

    @property
    def in_threads(self) -> int:
        """Those of them that worker threads are busy with."""
        return len(self._dispatcher.requests.running)

    def session_info(self, files: int) -> SessionInfo:
        """What it is, with at most so many of its open files."""
        return session_info(self.session, files)

    @property
    def activity(self) -> Activity:
        """What it has done, and what it waits for."""
        running = [(one.entry.row.message.__name__, one.future) for one in list(self._dispatcher.requests.running)]
        return activity_of(self._served + self._placed, self._flow.reasons, running)

    @property
    def slow(self) -> bool:
        """Its storage answered so slowly that everything goes to worker threads for a while."""
        return not (self.session.inline or self.session.slow_driver)
