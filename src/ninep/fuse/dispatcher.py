"""What a kernel is answered: a request in, a reply out, now or later. Knows no transport, no thread
and no clock.

What comes out, for ``connection`` to take:

* ``out``: replies, each a list of buffers;
* ``ready``: requests that have to wait, for worker threads, which come back by ``finish``;
* ``waiting``: SETLKW requests whose range another has, to be tried again (``retry``);
* ``over``: sessions that have ended, and have to be closed; ``forgotten``: node ids that are to be
  forgotten, some at a time.

Requests may be answered in any order; FUSE knows no other. A failure becomes an error reply here,
whatever it is: see ``server.refusals`` for the rules.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Any, Final

from ninep.errors import Refused
from ninep.fuse.handlers.locks import Conflict
from ninep.fuse.session import Entry, Opened, Session, storage_of
from ninep.fuse.table import ABSENT, INIT, SILENT, TABLE, TABLE_SETXATTR_EXT, Compiled
from ninep.linux import Errno
from ninep.node import WouldBlock
from ninep.server.budgets import PROMISED_REQUESTS, Allowance, Budgets
from ninep.server.exports import Export
from ninep.server.limits import Limits, OverLimit
from ninep.server.refusals import errno_of
from ninep.transport.fuse import DEFAULT, MountOptions
from ninep.transport.peers import Peer
from ninep.wire import fuse as f
from ninep.wire import fuse_codec as codec
from ninep.wire.buffers import behind, length, scatter
from ninep.wire.fuse import Malformed, Opcode
from ninep.wire.types import Buffer

LATER: Final = 0
"""Of ``dispatch``: the reply comes by ``out``, now or later."""
NEVER: Final = -1
"""There is no reply."""
MAX_WAITING: Final = 256
"""SETLKW requests that wait. More are refused with ENOLCK: they take places in the ring, and one must
be left for the unlock.
"""
FORGET_AT_ONCE: Final = 256

Room = Sequence[memoryview]
"""Where a reply may be put at once: the buffers of the kernel; empty: nowhere."""


class Request:
    """A request that was not answered at once."""

    __slots__ = (
        "entries",
        "fields",
        "future",
        "gid",
        "interrupted",
        "nodeid",
        "opened",
        "session",
        "target",
        "uid",
        "unique",
    )

    def __init__(
        self, session: Session, target: Compiled, unique: int, nodeid: int, uid: int, gid: int, fields: tuple[Any, ...]
    ) -> None:
        self.session = session
        self.target = target
        self.unique = unique
        self.nodeid = nodeid
        self.uid = uid
        self.gid = gid
        self.fields = fields
        self.future: Future[Buffer] | None = None
        self.interrupted = False  # it waits for no lock any more
        row = target.row
        nodes = [session.nodes.get(nodeid)] + [session.nodes.get(fields[at]) for at in row.nodes]
        self.entries: list[Entry] = [entry for entry in nodes if entry is not None]
        handles = [session.opened.get(fields[at]) for at in row.handles]
        self.opened: list[Opened] = [opened for opened in handles if opened is not None]

    def run(self, future: Future[Buffer]) -> None:
        """A thread has it, and this is to be its result."""
        self.future = future

    def returned(self) -> None:
        """It came back."""
        self.future = None

    def reference(self) -> None:
        """Keep what it uses, but for what a FORGET or RELEASE in a thread has taken away since."""
        self.entries = [entry for entry in self.entries if self.session.reference(entry)]
        self.opened = [opened for opened in self.opened if self.session.reference_handle(opened)]

    def unreference(self) -> None:
        """Keep it no longer."""
        for opened in self.opened:
            self.session.unreference_handle(opened)
        for entry in self.entries:
            self.session.unreference(entry)

    @property
    def storage(self) -> Hashable:
        """What it may have to wait for."""
        if self.opened:
            return self.opened[0].storage
        export = self.session.export
        return storage_of(self.entries[0], export) if self.entries else export

    def call(self) -> Buffer:
        """Serve it, in a thread."""
        return self.target.row.handler(self.session, self.nodeid, self.uid, self.gid, *self.fields)


class Dispatcher:
    """The requests and replies of one kernel, over all its sessions."""

    __slots__ = (
        "_budgets",
        "_export",
        "_limits",
        "_options",
        "_peer",
        "_table",
        "forgotten",
        "in_flight",
        "out",
        "over",
        "ready",
        "room",
        "running",
        "session",
        "waiting",
    )

    def __init__(self, *, export: Export, limits: Limits, budgets: Budgets, options: MountOptions = DEFAULT) -> None:
        self._export = export
        self._limits = limits
        self._budgets = budgets
        self._options = options
        self._peer = Peer()
        self.out: list[list[Buffer]] = []
        self.over: list[Session] = []
        self.ready: dict[Request, None] = {}
        self.running: set[Request] = set()
        self.waiting: dict[Request, None] = {}
        self.in_flight: dict[int, Request] = {}
        """Those of this session that are not answered, by ``unique``."""
        self.forgotten: deque[tuple[Session, int, int]] = deque()
        self._begin()
        size = self.session.max_write
        most = max(PROMISED_REQUESTS, min(limits.in_flight, limits.bytes_in_flight // size))
        self.room = Allowance(budgets.bytes_in_flight, PROMISED_REQUESTS, most, 8, self._in_use, unit=size)

    def meet(self, peer: Peer) -> None:
        """The process at the other end."""
        self._peer = peer
        self.session.meet(peer)

    def _in_use(self) -> int:
        """Requests that take memory for their data, or threads. Those that wait for locks do not, and
        must not keep out the unlock.
        """
        return len(self.in_flight) - len(self.waiting)

    def has_room(self) -> bool:
        """One more request may be in flight."""
        count = self._in_use()
        return count < self.room.granted or self.room.grow(count + 1)

    def end(self) -> None:
        """The connection is over: give back what it was granted."""
        self.room.end()

    # -- requests ----------------------------------------------------------------------------------------------------------

    def dispatch(self, frame: bytes, payload: Sequence[memoryview] | None = None, room: Room = ()) -> int:
        """Serve one request. ``payload`` is the data of a WRITE that was left where it is: then frame is
        the 80 bytes before it. How many bytes of ``room`` the reply takes; ``LATER`` or ``NEVER``.
        Malformed for a message that is not even a header.
        """
        if len(frame) < f.IN_HEADER_SIZE:
            raise Malformed(f"a request of {len(frame)} bytes")
        size, opcode, unique, nodeid, uid, gid, _, _, _ = codec.unpack_header(frame)
        if size != len(frame) + (length(payload) if payload is not None else 0):
            raise Malformed(f"a request of {len(frame)} bytes says that it has {size}")
        session = self.session
        target = self._table.get(opcode)
        try:
            if target is None or not session.minor:
                return self._special(opcode, unique, nodeid, frame, room)
            fields = target.unpack(frame)
            if (payload is not None or (target.into is not None and room)) and session.inline:
                try:
                    return self._in_place(target, unique, (nodeid, uid, gid, *fields), payload, room)
                except WouldBlock:
                    pass
            if payload is not None:
                fields = (*fields[:-1], b"".join(payload))
            return self._serve(target, unique, nodeid, uid, gid, fields, room)
        except Exception as error:  # noqa: BLE001 - the one exit
            return self._refuse(opcode, unique, error, room)

    def _in_place(
        self, target: Compiled, unique: int, fields: tuple[Any, ...], payload: Sequence[memoryview] | None, room: Room
    ) -> int:
        """Data from where they are, or to where they belong. ``WouldBlock`` if that is not possible
        now.
        """
        if payload is not None:
            if target.source is None:
                raise WouldBlock
            return self._reply(unique, target.source(self.session, *fields[:-1], payload), room)
        if target.into is None or length(room) < f.OUT_HEADER_SIZE:
            raise WouldBlock
        count = target.into(self.session, *fields, behind(room, f.OUT_HEADER_SIZE))
        scatter(room, codec.pack_out_header(unique, count))
        return f.OUT_HEADER_SIZE + count

    def _serve(
        self, target: Compiled, unique: int, nodeid: int, uid: int, gid: int, fields: tuple[Any, ...], room: Room
    ) -> int:
        session, inline = self.session, target.inline
        if inline is not None and session.inline:
            try:
                body = inline(session, nodeid, uid, gid, *fields)
            except WouldBlock:
                pass
            except Conflict:
                return self._wait(Request(session, target, unique, nodeid, uid, gid, fields))
            else:
                return self._reply(unique, body, room)
        if unique in self.in_flight:
            raise Refused(Errno.EINVAL, f"request {unique} is in flight")
        request = Request(session, target, unique, nodeid, uid, gid, fields)
        request.reference()
        self.in_flight[unique] = request
        self.ready[request] = None
        return LATER

    def _reply(self, unique: int, body: Buffer, room: Room) -> int:
        if not room:
            self.out.append([codec.pack_out_header(unique, len(body)), body])
            return LATER
        size = len(body)
        header = codec.pack_out_header(unique, size)
        first = room[0]
        if len(first) == f.OUT_HEADER_SIZE and (not size or (len(room) > 1 and size <= len(room[1]))):
            first[:] = header  # as Linux has it: a buffer for the header, another for the body
            if size:
                room[1][:size] = body
            return f.OUT_HEADER_SIZE + size
        return place(room, (header, body)) or place(room, (codec.pack_error(unique, Errno.EIO),)) or NEVER

    def _refuse(self, opcode: int, unique: int, error: Exception, room: Room) -> int:
        reply = codec.pack_error(unique, errno_of(self.session, opcode, error, codec.name_of, Malformed))
        error.__traceback__ = None  # see server.dispatcher
        if opcode in SILENT:
            return NEVER
        if not room:
            self.out.append([reply])
            return LATER
        return place(room, (reply,)) or NEVER

    # -- requests of the protocol itself -----------------------------------------------------------------------------------

    def _special(self, opcode: int, unique: int, nodeid: int, frame: bytes, room: Room) -> int:
        session = self.session
        if opcode == Opcode.FORGET:
            lookups = codec.UNPACK[Opcode.FORGET](frame)[0]
            if session.inline:
                session.forget(nodeid, lookups)
            else:
                self.forgotten.append((session, nodeid, lookups))
            return NEVER
        if opcode == Opcode.BATCH_FORGET:
            count, _, data = codec.UNPACK[Opcode.BATCH_FORGET](frame)
            self.forgotten += [(session, *pair) for pair in codec.unpack_forgets(count, data)]
            return NEVER
        if opcode == Opcode.INTERRUPT:
            self._interrupt(*codec.UNPACK[Opcode.INTERRUPT](frame))
            return NEVER
        if opcode in SILENT:
            return NEVER
        if opcode == Opcode.INIT:
            fields = codec.UNPACK[Opcode.INIT](frame)
            self.abandon()  # what was there before is over
            self._begin()
            written = self._serve(INIT, unique, nodeid, 0, 0, fields, room)
            self._agreed()
            return written
        if opcode == Opcode.DESTROY:
            self.abandon()
            self._begin()
            return self._reply(unique, b"", room)
        if not session.minor:
            raise Refused(Errno.EIO, "a session begins with INIT")
        why = ABSENT[Opcode(opcode)] if opcode in ABSENT else "there is no such request"
        raise Refused(Errno.ENOSYS, why)

    def _begin(self) -> None:
        self.session = Session(self._export, self._limits, self._budgets, self._peer, self._options)
        self._table: dict[int, Compiled] = TABLE

    def _agreed(self) -> None:
        """INIT was answered, perhaps: from then on requests have the forms that were agreed on."""
        if self.session.flags & f.Init.SETXATTR_EXT:
            self._table = TABLE_SETXATTR_EXT

    def abandon(self) -> None:
        """The session is over: nothing that is in flight will be answered, what has not begun will not
        be done.
        """
        for request in [*self.ready, *self.waiting]:
            self._withdraw(request)
        for request in list(self.running):
            if request.future is not None and request.future.cancel():
                self.running.discard(request)
                request.unreference()
        self.in_flight.clear()
        self.session.over = True
        self._end(self.session)

    def _end(self, session: Session) -> None:
        if (
            session.nodes
            and session not in self.over
            and not any(request.session is session for request in self.running)
        ):
            self.over.append(session)

    def _withdraw(self, request: Request) -> None:
        self.ready.pop(request, None)
        self.waiting.pop(request, None)
        self.in_flight.pop(request.unique, None)
        request.unreference()

    def _interrupt(self, unique: int) -> None:
        """EINTR for a request that waits for a lock, or comes to. Any other is answered as if nothing
        were: programs know EINTR of waits (signal(7)), not of ftruncate(2) or msync(2), and whether
        the signal ends the process, no request says.
        """
        request = self.in_flight.get(unique)
        if request is None:
            return
        request.interrupted = True
        refusal = self._why_not_to_wait(request)
        if request in self.waiting and refusal is not None:
            self._withdraw(request)
            self._refuse(request.target.opcode, unique, refusal, ())

    # -- requests that waited ----------------------------------------------------------------------------------------------

    def next(self) -> Request:
        """The next of the ready ones: it is running from now on."""
        request = next(iter(self.ready))
        del self.ready[request]
        self.running.add(request)
        return request

    def finish(self, request: Request, result: Callable[[], Buffer]) -> None:
        """A worker thread is done with a request: answer it."""
        if request not in self.running:
            return
        self.running.discard(request)
        current = not request.session.over
        try:
            body = result()
        except Conflict:
            refusal = self._why_not_to_wait(request)
            if current and refusal is None:
                self.waiting[request] = None
                return
            if current and refusal is not None:
                self._refuse(request.target.opcode, request.unique, refusal, ())
        except Exception as error:  # noqa: BLE001 - the one exit
            if current:
                self._refuse(request.target.opcode, request.unique, error, ())
        else:
            if current:
                self._agreed()
                self._reply(request.unique, body, ())
        request.unreference()
        if current:
            self.in_flight.pop(request.unique, None)
        else:
            self._end(request.session)

    def _why_not_to_wait(self, request: Request) -> Refused | None:
        if request.interrupted:
            return Refused(Errno.EINTR, "the wait for a lock was interrupted")
        return _too_many_waiting() if len(self.waiting) >= MAX_WAITING else None

    def _wait(self, request: Request) -> int:
        if request.unique in self.in_flight:
            raise Refused(Errno.EINVAL, f"request {request.unique} is in flight")
        if len(self.waiting) >= MAX_WAITING:
            raise _too_many_waiting()
        request.reference()
        self.in_flight[request.unique] = request
        self.waiting[request] = None
        return LATER

    def retry(self) -> None:
        """Try the requests that wait for locks again, in the order in which they came."""
        self.session.set_unlocked(False)
        for request in list(self.waiting):
            try:
                inline = request.target.inline
                if inline is None or not request.session.inline:
                    raise WouldBlock  # noqa: TRY301 - as the handler would
                body = inline(request.session, request.nodeid, request.uid, request.gid, *request.fields)
            except Conflict:
                continue
            except WouldBlock:
                del self.waiting[request]
                self.ready[request] = None
                continue
            except Exception as error:  # noqa: BLE001 - the one exit
                self._refuse(request.target.opcode, request.unique, error, ())
            else:
                self._reply(request.unique, body, ())
            self._withdraw(request)

    def forget_some(self) -> bool:
        """Forget some of the node ids of BATCH_FORGET; whether there are more."""
        for _ in range(min(FORGET_AT_ONCE, len(self.forgotten))):
            session, nodeid, lookups = self.forgotten.popleft()
            session.forget(nodeid, lookups)
        return bool(self.forgotten)


def _too_many_waiting() -> OverLimit:
    return OverLimit("locks", Errno.ENOLCK, f"{MAX_WAITING} requests wait for locks")


def place(room: Room, buffers: Sequence[Buffer]) -> int:
    """Copy a reply into the kernel's buffers; its length, 0 if there is not room for all of it."""
    total = length(buffers)
    if length(room) < total:
        return 0
    for buffer in buffers:
        room = behind(room, scatter(room, buffer))
    return total
