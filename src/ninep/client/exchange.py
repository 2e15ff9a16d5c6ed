"""The client's side of a connection, without I/O: requests to bytes, bytes to checked replies.

Rules

* ``request`` and ``abandon`` append bytes to ``outgoing``; the I/O code sends and removes them.
  Bytes from the server go into ``room()``; ``received()`` returns the calls that they answered.
* A reply is accepted only if its tag is in flight, its type belongs to the request (or is the
  dialect's error), its body is complete, and it does not exceed the request (``CHECKS``). Otherwise
  ``ProtocolError`` is raised, and the connection must be closed, because the meaning of further
  bytes is unknown.
* A tag is free after its reply. An abandoned call gets a Tflush, and its tag is free only after the
  Rflush (flush(5)). Tags are reused as late as possible, so that a duplicate reply matches no
  request.
* A call may have an ``undo``: a message to be sent if the call was abandoned but the server
  performed it (a walk that created its newfid after the task was cancelled).
* A fid's number is free when the reply to its Tclunk or Tremove arrived, whatever the reply is, so
  that no request can refer to a fid that still denotes its former file at the server.

* With a ``state``, what the server has of this client is noted, so that ``recovery`` can make it again
  on another connection: ``restart`` takes the requests in flight out, ``queue`` sends those of the
  recovery, ``resume`` sends what is safe to repeat and fails the others.

It has no sockets, no clock, and no paths.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

from ninep.client.errors import ProtocolError, refusal, refusal_in_words
from ninep.client.state import ServerState, outcome_unknown
from ninep.linux import LOCK_GRACE
from ninep.protocol.framing import BadFrame, Receiver
from ninep.wire.codec import HEADER_SIZE, Malformed, codec
from ninep.wire.dialect import Dialect
from ninep.wire.messages import (
    NOFID,
    NOTAG,
    Message,
    Rerror,
    Rgetlock,
    Rlerror,
    Rlock,
    Rread,
    Rreaddir,
    Rversion,
    Rwalk,
    Rwrite,
    Tattach,
    Tclunk,
    Tflush,
    Tgetlock,
    Tlock,
    Tread,
    Treaddir,
    Tremove,
    Tversion,
    Twalk,
    Twrite,
    Txattrwalk,
)
from ninep.wire.modes import EXTENDED, PLAIN
from ninep.wire.types import Buffer

MIN_MSIZE: Final = 256
"""A smaller msize does not fit a stat record with a reasonable name; 9front has the same limit."""
JOIN_BELOW: Final = 16384
"""A payload smaller than this is joined with its head: a small copy is cheaper than a second system
call."""

_ERRORS: Final = {
    Dialect.LINUX: {Rlerror.number},
    Dialect.UNIX: {Rerror.number},
    Dialect.BASE: {Rerror.number},
    # before a version is agreed, servers use either
    Dialect.UNKNOWN: {Rerror.number, Rlerror.number},
}
# bytes that the reply to a Tversion may take, whatever msize is requested
_FIRST_FRAMES: Final = 8192
_PAYLOADS: Final = {Rread.number, Rreaddir.number}


class Call:
    """A request in flight. ``reply`` is None until the server answers, and stays None if the call
    was flushed first.
    """

    __slots__ = ("abandoned", "failure", "reply", "request", "tag", "undo", "waiter")

    def __init__(self, request: Message, tag: int, undo: Message | None) -> None:
        self.request = request
        self.tag = tag
        self.undo = undo
        self.reply: Message | None = None
        self.failure: OSError | None = None
        """Instead of a reply: why there is none, though the connection works."""
        self.abandoned = False
        self.waiter: Any = None
        """For the I/O code: the object that it waits for."""

    def wait_by(self, waiter: Any) -> None:
        """The I/O code waits by this."""
        self.waiter = waiter

    @property
    def done(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self.reply is not None or self.failure is not None

    @property
    def refused(self) -> bool:
        """Whether the reply is an error."""
        return isinstance(self.reply, (Rlerror, Rerror))


R = TypeVar("R", bound=Message)


def answer_of(call: Call, expected: type[R]) -> R:
    """The reply of a finished call; an error reply is raised as ``OSError``. The undo is dropped,
    because the caller now has the result.
    """
    reply = call.reply
    call.undo = None
    if call.failure is not None:
        raise call.failure
    if isinstance(reply, Rlerror):
        raise refusal(reply.ecode)
    if isinstance(reply, Rerror):
        raise refusal_in_words(reply.ename, reply.errno)
    if isinstance(reply, expected):
        return reply
    raise ProtocolError(f"no {expected.__name__} came")


# -- what a reply may claim --------------------------------------------------------------------------------------------


def _check_walk(asked: Twalk, got: Rwalk) -> str:
    if len(got.qids) > len(asked.wnames):
        return f"{len(got.qids)} qids for {len(asked.wnames)} names"
    return "no qid and no error either" if asked.wnames and not got.qids else ""


def _check_data(asked: Tread | Treaddir, got: Rread | Rreaddir) -> str:
    return f"{len(got.data)} bytes, asked for {asked.count}" if len(got.data) > asked.count else ""


def _check_write(asked: Twrite, got: Rwrite) -> str:
    return f"{got.count} bytes written of {len(asked.data)}" if got.count > len(asked.data) else ""


def _check_version(asked: Tversion, got: Rversion) -> str:
    if got.version == Dialect.UNKNOWN.value:
        return ""
    return "" if MIN_MSIZE <= got.msize <= asked.msize else f"msize {got.msize}, asked for {asked.msize}"


def _check_lock(_asked: Tlock, got: Rlock) -> str:
    return f"status {got.status}" if got.status > LOCK_GRACE else ""


def _check_getlock(_asked: Tgetlock, got: Rgetlock) -> str:
    return f"lock type {got.type}" if got.type > 2 else ""


def _partial(asked: Twalk, got: Message | None) -> bool:
    return isinstance(got, Rwalk) and len(got.qids) < len(asked.wnames)


CHECKS: Final[dict[type[Message], Callable[[Any, Any], str]]] = {
    Tversion: _check_version,
    Twalk: _check_walk,
    Tread: _check_data,
    Treaddir: _check_data,
    Twrite: _check_write,
    Tlock: _check_lock,
    Tgetlock: _check_getlock,
}
"""For requests whose reply can be inconsistent with them: a function that returns what is wrong, or
an empty text."""


class Fids:
    """Allocates fid numbers. Freed numbers are reused as late as possible."""

    __slots__ = ("_free", "_next", "in_use")

    def __init__(self) -> None:
        self._next = 0
        self._free: deque[int] = deque()
        self.in_use = 0

    def allocate(self) -> int:
        """A number that is not in use at the server."""
        self.in_use += 1
        if len(self._free) > 1024 or (self._next >= NOFID and self._free):
            return self._free.popleft()
        number = self._next
        self._next += 1
        return number

    def free(self, number: int) -> None:
        """The server has released this fid."""
        self.in_use -= 1
        self._free.append(number)


class Exchange:
    """The requests and replies of one connection."""

    def __init__(self, state: ServerState | None = None) -> None:
        self.state = state
        """None: nothing is kept, and a lost connection is the end."""
        self.msize = _FIRST_FRAMES
        self.dialect = Dialect.UNKNOWN
        self.fids = Fids()
        self.outgoing: list[Buffer] = []
        """Bytes to send, in order. The I/O code removes what it sent."""
        self.calls: dict[int, Call] = {}
        """The requests in flight, by tag."""
        self.lost = False
        """There is no connection; a recovery is due or at work."""
        self.answered = 0
        """How many requests were, without those of recoveries; with a ``state``."""
        self._codec = codec(EXTENDED)
        self._receiver = Receiver(_FIRST_FRAMES)
        self._free_tags: deque[int] = deque()
        self._next_tag = 0
        self.interrupted: list[Call] = []
        """In flight when the connection was lost; they wait for ``resume``."""
        self._restoring = False

    # -- sending -------------------------------------------------------------------------------------------------------

    def request(self, message: Message, undo: Message | None = None) -> Call:
        """Queue a request. ``Malformed`` if a field does not fit; nothing is queued then.

        The call is ``done`` at once if its fid did not survive the loss of a connection.
        """
        if self.state is not None and self.state.troubled and (refused := self.state.refusal(message)) is not None:
            return self._fail(Call(message, NOTAG, undo), refused)
        return self.queue(message, undo)

    def queue(self, message: Message, undo: Message | None = None) -> Call:
        """As ``request``, whatever became of its fid."""
        call = Call(message, NOTAG, undo)
        self._put(call)
        return call

    def _put(self, call: Call) -> None:
        message = call.request
        tag = NOTAG if isinstance(message, Tversion) else self._allocate_tag()
        try:
            frame = self._codec.encode(tag, message)
        except Malformed:
            self._free_tags.append(tag)
            raise
        if len(frame) > 1 and len(frame[1]) < JOIN_BELOW:
            frame = [b"".join(frame)]
        self.outgoing += frame
        call.tag = tag
        self.calls[tag] = call
        if self.state is not None:
            self.state.sent(message)

    def _fail(self, call: Call, failure: OSError) -> Call:
        """It ends without a reply. A fid that the server has is released; its number is free then."""
        call.failure = failure
        request = call.request
        if isinstance(request, (Tclunk, Tremove)):
            self.forget(request)
        else:
            self._free_newfid(call)
        return call

    def forget(self, request: Message) -> None:
        """A fid is given up of which the server may know nothing any more."""
        fid, state = getattr(request, "fid", NOFID), self.state
        held = None if state is None else state.fids.get(fid)
        if state is None or held is None or not isinstance(request, (Tclunk, Tremove)):
            return
        if held.lost is None and not self.lost:
            self.queue(Tclunk(fid))  # its reply ends it
            return
        state.forget(fid)
        self.fids.free(fid)

    def take_outgoing(self) -> list[Buffer]:
        """The bytes to send, which the I/O code sends now."""
        taken, self.outgoing = self.outgoing, []
        return taken

    def abandon(self, call: Call) -> Call | None:
        """Give up waiting for the reply. Returns the Tflush that was queued, or None if nothing has
        to be flushed.
        """
        if call.abandoned:
            return None
        call.abandoned = True
        if self.lost:
            if call.undo is not None and call.reply is not None and not call.refused:
                self.later(call.undo)
            return None
        if self.calls.get(call.tag) is call:
            return None if isinstance(call.request, (Tversion, Tflush)) else self.request(Tflush(call.tag))
        if call.undo is not None and call.reply is not None and not call.refused:
            self.request(call.undo)  # the reply arrived but was not used
        return None

    # -- another connection --------------------------------------------------------------------------------------------

    def lose(self) -> None:
        """The connection is lost: what is abandoned or forgotten from now on sends nothing."""
        if not self.lost:
            self.interrupted += self.calls.values()
        self.lost = True
        self.outgoing.clear()

    def restart(self) -> None:
        """Another connection, for the requests of a recovery."""
        self.calls.clear()
        self.outgoing.clear()
        self._receiver = Receiver(self.msize)
        self._free_tags.clear()
        self._next_tag = 0
        self._restoring = True

    def resume(self, done: list[Call]) -> None:
        """The server has all again that there is a way to give it. Requests that were in flight are
        sent again, in their order; those that may not be end, and are appended to ``done``.
        """
        self._restoring = self.lost = False
        interrupted, self.interrupted = self.interrupted, []
        for call in interrupted:
            if call.abandoned or isinstance(call.request, Tflush):
                self._discard(call)
                continue
            failure = self._obstacle(call.request)
            if failure is None:
                self._put(call)
            else:
                done.append(self._fail(call, failure))

    def later(self, request: Message) -> None:
        """Queue a request at ``resume``; its reply is ignored."""
        self.interrupted.append(Call(request, NOTAG, None))

    def _discard(self, call: Call) -> None:
        """The reply to a request that was in flight is of no interest."""
        if isinstance(call.request, (Tclunk, Tremove)):
            self.forget(call.request)
        elif call.reply is None:
            self._free_newfid(call)
        elif not call.refused and call.undo is not None:
            self.request(call.undo)  # what it made was made again

    def _obstacle(self, request: Message) -> OSError | None:
        state = self.state
        if state is None:
            return None
        if state.unrepeatable(request):
            return outcome_unknown(type(request).__name__)
        return state.refusal(request) if state.troubled else None

    def agree(self, dialect: Dialect, msize: int) -> None:
        """Use a negotiated version."""
        self.dialect = dialect
        self.msize = msize
        self._receiver.set_msize(msize)
        self._codec = dialect.codec

    def _allocate_tag(self) -> int:
        # some freed tags are held back; see the rules above
        if len(self._free_tags) > 64 or self._next_tag >= NOTAG:
            return self._free_tags.popleft()
        tag = self._next_tag
        self._next_tag += 1
        return tag

    # -- receiving -----------------------------------------------------------------------------------------------------

    def room(self) -> memoryview:
        """The buffer for the next bytes from the server."""
        return self._receiver.space()

    def received(self, count: int, done: list[Call]) -> None:
        """``count`` bytes were written to ``room()``: appends the calls that are finished to
        ``done``.

        ``ProtocolError`` if the server violates the protocol; ``done`` then has the calls finished
        before.
        """
        try:
            for size, number, tag, buffer, start in self._receiver.received(count):
                self._handle_frame(number, tag, memoryview(buffer)[start : start + size], done)
        except (BadFrame, Malformed) as error:
            raise ProtocolError(f"the server sent {error}") from None

    def feed(self, data: Buffer, done: list[Call]) -> None:
        """``room`` and ``received`` in one call, for I/O with its own buffers."""
        position = 0
        while position < len(data):
            room = self.room()
            count = min(len(room), len(data) - position)
            room[:count] = data[position : position + count]
            position += count
            self.received(count, done)

    def _handle_frame(self, number: int, tag: int, frame: memoryview, done: list[Call]) -> None:
        call = self.calls.get(tag)
        if call is None:
            raise ProtocolError(f"the server answered tag {tag}, which is not in flight")
        if call.reply is not None:
            raise ProtocolError(f"the server answered tag {tag} twice")
        request = call.request
        if number != request.number + 1 and number not in _ERRORS[self.dialect]:
            raise ProtocolError(f"the server answered {type(request).__name__} with message type {number}")
        reply = self._decode(number, frame)
        if number == request.number + 1 and (check := CHECKS.get(type(request))) and (wrong := check(request, reply)):
            raise ProtocolError(f"the server answered {type(request).__name__} with {wrong}")
        call.reply = reply
        if self._restoring:
            self._remove(call)
            done.append(call)
            return
        if self.state is not None:
            self.answered += 1
            self.state.note(request, None if call.refused else reply)
        if isinstance(request, Tflush):
            self._flushed(request.oldtag, done)
        self._free_fids(call)
        if call.abandoned and not isinstance(request, Tflush):
            return  # the tag is in use until the Rflush
        self._remove(call)
        done.append(call)

    def _decode(self, number: int, frame: memoryview) -> Message:
        if self.dialect is Dialect.UNKNOWN and number == Rerror.number:
            # before the version is agreed, an Rerror may have an errno at its end; its length tells
            extended = len(frame) != HEADER_SIZE + 2 + int.from_bytes(frame[7:9], "little")
            return codec(EXTENDED if extended else PLAIN).decode(bytes(frame))[1]
        if number in _PAYLOADS:
            reply = self._codec.decode(frame)[1]
            if isinstance(reply, (Rread, Rreaddir)):
                return type(reply)(bytes(reply.data))  # the only copy, because the buffer is reused
            return reply
        return self._codec.decode(bytes(frame))[1]

    def _remove(self, call: Call) -> None:
        del self.calls[call.tag]
        if call.tag != NOTAG:
            self._free_tags.append(call.tag)

    def _flushed(self, oldtag: int, done: list[Call]) -> None:
        old = self.calls.get(oldtag)
        if old is None or not old.abandoned:
            return
        if old.reply is None:
            self._free_newfid(old)
        elif not old.refused and old.undo is not None:
            self.request(old.undo)
        self._remove(old)
        done.append(old)

    def _free_fids(self, call: Call) -> None:
        """Free the fid numbers that the server released or never created."""
        request = call.request
        if isinstance(request, (Tclunk, Tremove)):
            self.fids.free(request.fid)
        elif isinstance(request, (Twalk, Tattach, Txattrwalk)) and call.refused:
            self._free_newfid(call)
        elif isinstance(request, Twalk) and request.newfid != request.fid and _partial(request, call.reply):
            # diod keeps newfid after a partial walk; the Linux client also clunks it
            # (net/9p/client.c)
            self.request(Tclunk(request.newfid))
            call.undo = None

    def _free_newfid(self, call: Call) -> None:
        request = call.request
        if isinstance(request, Tattach):
            self.fids.free(request.fid)
        elif isinstance(request, Txattrwalk) or (isinstance(request, Twalk) and request.newfid != request.fid):
            self.fids.free(request.newfid)
