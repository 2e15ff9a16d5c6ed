"""What one client is answered: frames in, replies out. Knows no transport, no thread and no clock.

What comes out, for ``connection`` to take:

* ``out``: replies, in order;
* ``requests.ready``: requests that have to wait, for worker threads, which come back by ``finish``;
* ``over``: sessions that have ended, and have to be closed.

``dispatch`` is the whole of it. For most requests ``connection`` takes a shorter way that does the
same (see there). Every failure becomes an error reply at one place, ``refusals``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from ninep.errors import Refused
from ninep.linux import Errno
from ninep.node import WouldBlock
from ninep.protocol.framing import Receiver
from ninep.protocol.tags import Tags
from ninep.server.budgets import PROMISED_REQUESTS, Allowance, Budgets
from ninep.server.exports import Exports
from ninep.server.limits import MIN_MSIZE, SMALLEST_LINUX_MSIZE, SMALLEST_MSIZE, Limits
from ninep.server.refusals import refusal
from ninep.server.requests import Request, Requests
from ninep.server.session import UNKNOWN_PEER, Session
from ninep.server.table import TABLES, Entry
from ninep.transport.peers import Peer
from ninep.wire.codec import HEADER_SIZE, codec
from ninep.wire.dialect import Dialect, negotiate
from ninep.wire.messages import Rflush, Rversion, Tflush, Tversion
from ninep.wire.modes import PLAIN
from ninep.wire.types import Buffer

T = TypeVar("T")
log = logging.getLogger("ninep.server")

SLOW_MSIZE: Final = 8192
"""A client that asks for no more is told in the log that it will be slow."""


class Dispatcher:
    """The requests and replies of one connection, over all its sessions."""

    __slots__ = (
        "_budgets",
        "_exports",
        "_flush_reply",
        "_limits",
        "_peer",
        "_replies_wait",
        "out",
        "over",
        "receiver",
        "requests",
        "room",
        "session",
        "table",
        "tags",
    )

    def __init__(self, *, exports: Exports, limits: Limits, budgets: Budgets) -> None:
        self._exports = exports
        self._limits = limits
        self._budgets = budgets
        self._peer = UNKNOWN_PEER
        self._replies_wait = False
        self.receiver = Receiver(limits.msize)
        self.tags = Tags()
        self.requests = Requests()
        self.out: list[Buffer] = []
        self.over: list[Session] = []
        self.room = self._room_for(limits.msize)
        """How many requests may be in flight at the moment."""
        self._begin(Dialect.UNKNOWN, limits.msize)

    def meet(self, peer: Peer, export: str = "") -> None:
        """The client is known, before its first frame, and which export an empty aname means to
        it.
        """
        self._peer = peer
        if export:
            self._exports = self._exports.preferring(export)
        self.session.meet(peer, self._exports)

    def replies_wait(self, wait: bool) -> None:
        """The client takes no replies at the moment, or does so again."""
        self._replies_wait = wait

    def has_room(self) -> bool:
        """One more request may be in flight."""
        count = len(self.tags)
        return count < self.room.granted or self.room.grow(count + 1)

    def end(self) -> None:
        """The connection is over: give back what it was granted."""
        self.room.end()

    # -- requests ----------------------------------------------------------------------------------------------------------

    def dispatch(self, size: int, number: int, tag: int, buffer: Buffer, start: int) -> bool | None:
        """Serve one frame, or make it wait. True: what waits for fids may go on
        (``requests.free``).
        """
        return self._answering(self.session, tag, number, self._dispatch, size, number, tag, buffer, start)

    def _answering(self, session: Session, tag: int, number: int, call: Callable[..., T], *args: Any) -> T | None:
        """Call, and answer the request with an error if that fails, whatever it is."""
        try:
            return call(*args)
        except Exception as error:  # noqa: BLE001 - the one exit: see refusals
            self.out.append(refusal(session, tag, number, error))
            error.__traceback__ = (
                None  # it may lead to a future that has the error: a reference cycle, with handles in it
            )
            return None

    def _dispatch(self, size: int, number: int, tag: int, buffer: Buffer, start: int) -> bool:
        end = start + size
        start += HEADER_SIZE
        session = self.session
        if number == Tversion.number:
            self._version(tag, *session.dialect.codec.table[number].unpack(buffer, start, end))
            return False
        if number == Tflush.number:
            return self._flush(tag, *session.dialect.codec.table[number].unpack(buffer, start, end))
        entry = self._entry(number, tag)
        request = Request(tag, entry, entry.unpack(buffer, start, end), session)
        if self.requests.conflicts(request):
            self._enter(request)
            self.requests.wait(request)
        elif not self._at_once(request):
            self._enter(request)
            self.requests.hold(request)
        return False

    def _entry(self, number: int, tag: int) -> Entry:
        entry = self.table[number]
        if self.session.dialect is Dialect.UNKNOWN:
            raise Refused(Errno.EPROTO, "a session begins with Tversion")
        if entry is None:
            raise Refused(Errno.EOPNOTSUPP, f"message type {number} in {self.session.dialect.value.decode()}")
        self._check_tag(tag)
        return entry

    def _check_tag(self, tag: int) -> None:
        if tag in self.tags:
            raise Refused(Errno.EINVAL, f"tag {tag} is in flight")

    def passes(self, tag: int, entry: Entry, fields: Sequence[Any]) -> bool:
        """Whether a new request may be served although others are in flight: it conflicts with
        none. ``Refused`` if its tag is one of theirs.
        """
        self._check_tag(tag)
        return not self.requests.conflicts(Request(tag, entry, fields, self.session))

    def defer(self, tag: int, entry: Entry, fields: Sequence[Any]) -> None:
        """A request that conflicts with none has to wait for a device."""
        request = Request(tag, entry, fields, self.session)
        self._enter(request)
        self.requests.hold(request)

    def _enter(self, request: Request) -> None:
        self.tags.enter(request)
        if isinstance(request.fields[-1], memoryview):
            self.receiver.keep()

    def _at_once(self, request: Request) -> bool:
        """Serve without waiting, if that is possible."""
        inline = request.entry.inline
        if inline is None or not request.session.inline:
            return False
        try:
            reply = inline(request.session, *request.fields)
        except WouldBlock:
            return False
        self._answer(request, reply)
        return True

    def _answer(self, request: Request, reply: tuple[Any, ...]) -> None:
        entry = request.entry
        frame = entry.pack(request.tag, *reply)
        if entry.payload:
            self.out += frame
        else:
            self.out.append(frame)

    # -- requests that waited ----------------------------------------------------------------------------------------------

    def finish(self, request: Request, result: Callable[[], tuple[Any, ...]]) -> bool:
        """A worker thread is done with a request: answer it, and the Tflush requests that waited
        for it. False if it was withdrawn before.
        """
        if not self.requests.leave(request):
            return False
        if request.abandoned:
            self._end(request.session)
        else:
            self._reply(request, lambda: self._answer(request, result()))
            self._settle(request)
        return True

    def go_on(self, request: Request) -> None:
        """Serve one of ``requests.free()``: at once where that is possible, as if it came now."""
        if self._reply(request, lambda: self._at_once(request)) is False:
            self.requests.hold(request)
        else:
            self.requests.leave(request)
            self._settle(request)

    def _reply(self, request: Request, call: Callable[[], T]) -> T | None:
        return self._answering(request.session, request.tag, request.entry.row.message.number, call)

    def _settle(self, request: Request) -> None:
        for waiting in self.tags.leave(request):
            self.out.append(self._flush_reply(waiting))

    # -- version, flush ----------------------------------------------------------------------------------------------------

    def _version(self, tag: int, msize: int, version: bytes) -> None:
        """Begin a session. Whatever was in flight is forgotten, all fids are gone, before the
        string is even looked at.
        """
        self.abandon()
        dialect = negotiate(version)
        known = dialect is not Dialect.UNKNOWN
        agreed = min(msize, self._limits.msize)
        smallest = SMALLEST_LINUX_MSIZE if dialect is Dialect.LINUX else SMALLEST_MSIZE
        too_small = known and agreed < smallest
        self._begin(dialect, agreed if known and not too_small else self._limits.msize)
        if too_small:
            why = Refused(Errno.EMSGSIZE, f"msize {msize}; at least {smallest} is needed")
            self.out.append(refusal(self.session, tag, Tversion.number, why))  # in the words of the dialect
            self._begin(Dialect.UNKNOWN, self._limits.msize)
            return
        if known and agreed <= SLOW_MSIZE:
            log.warning(
                "%s asked for msize %d: large files will be slow; mount with a larger msize", self._peer, agreed
            )
        pack = codec(PLAIN).table[Rversion.number].pack
        self.out.append(pack(tag, agreed if known else msize, dialect.value))  # type: ignore[arg-type]

    def _begin(self, dialect: Dialect, msize: int) -> None:
        self.session = Session(self._exports, self._limits, dialect, msize, self._peer, self._budgets)
        self.requests.begin(self.session)
        self.table = TABLES[dialect]
        self.receiver.set_msize(msize)
        self.room.end()
        self.room = self._room_for(max(msize, MIN_MSIZE))
        self._flush_reply: Callable[[int], bytes] = dialect.codec.table[Rflush.number].pack  # type: ignore[assignment]

    def _room_for(self, msize: int) -> Allowance:
        """Each request in flight counts as a whole message. Two are always possible: one that waits
        must not keep out the Tflush for it.
        """
        most = max(PROMISED_REQUESTS, min(self._limits.in_flight, self._limits.bytes_in_flight // msize))
        return Allowance(self._budgets.bytes_in_flight, PROMISED_REQUESTS, most, 8, self._in_use, unit=msize)

    def _in_use(self) -> int:
        """Replies that the client does not take stay in memory: until it does, no other connection
        gets what it was granted.
        """
        return self.room.granted if self._replies_wait else len(self.tags)

    def abandon(self) -> None:
        """The session is over: nothing that is in flight will be answered, what has not begun will
        not be done.
        """
        self.tags.abandon()
        for request in list(self.requests.running):
            self.requests.withdraw(request)
        self.requests.begin(None)
        self._end(self.session)

    def _end(self, session: Session) -> None:
        """A session is to be closed, unless one of its requests is still in a thread: then when
        that comes back.
        """
        if not self.requests.of(session):
            self.over.append(session)

    def _flush(self, tag: int, oldtag: int) -> bool:
        self._check_tag(tag)
        old = self.tags.get(oldtag)
        if isinstance(old, Request) and self.requests.withdraw(old):
            # Not begun: it gets no reply. Tflush requests that waited for it are answered, and what
            # it stood in the way of goes on.
            self._settle(old)
            self.out.append(self._flush_reply(tag))
            return True
        if self.tags.flush(tag, oldtag):
            self.out.append(self._flush_reply(tag))
        return False
