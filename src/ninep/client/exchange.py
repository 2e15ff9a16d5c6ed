"""The client's side of a connection without I/O: requests to bytes, bytes to checked replies.

Rules

* ``request`` and ``abandon`` put bytes into ``outgoing``; the I/O takes them from there. Bytes from the server go into ``room()``;
  ``received()`` says which calls they answered.
* A reply is believed only after it was checked: its tag is in flight, its type is the one that belongs to the request (or the
  dialect's error), its body is whole, and it does not claim more than was asked for (``CHECKS``). Anything else is a
  ``ProtocolError``, and the connection must be closed: nobody knows what the next byte means.
* A tag is free again after its reply. A call that was abandoned gets a Tflush, and its tag is free after the Rflush only (flush(5)).
  Tags are reused as late as possible, so that a reply that comes twice meets no request.
* A call may carry an ``undo``: a message sent if the call was abandoned and the server did it all the same (a walk that made its
  newfid after nobody wanted it).
* A fid's number is free again when the reply to its Tclunk or Tremove arrived, whatever that says; so nothing can be
  asked of a fid that the server still knows under its former file.

It knows no sockets, no clock, no paths.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

from ninep.client.errors import ProtocolError, refusal, refusal_in_words
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
from ninep.wire.types import Buffer

MIN_MSIZE: Final = 256
"""Less than this cannot carry a stat record with a reasonable name; 9front refuses it as well."""
JOIN_BELOW: Final = 16384
"""A payload smaller than this is joined with its head: one small copy is cheaper than a second system call."""

_ERRORS: Final = {
    Dialect.LINUX: {Rlerror.number},
    Dialect.UNIX: {Rerror.number},
    Dialect.BASE: {Rerror.number},
    Dialect.UNKNOWN: {Rerror.number, Rlerror.number},  # before a version was agreed on servers answer as they like
}
_FIRST_FRAMES: Final = 8192  # what the reply to a Tversion may take, whatever msize is asked for
_PAYLOADS: Final = {Rread.number, Rreaddir.number}


class Call:
    """A request in flight. ``reply`` is None until the server answered; it stays None if the call was flushed first."""

    __slots__ = ("abandoned", "reply", "request", "tag", "undo", "waiter")

    def __init__(self, request: Message, tag: int, undo: Message | None) -> None:
        self.request = request
        self.tag = tag
        self.undo = undo
        self.reply: Message | None = None
        self.abandoned = False
        self.waiter: Any = None
        """For the I/O: whatever it waits on."""

    @property
    def refused(self) -> bool:
        """The reply is an error."""
        return isinstance(self.reply, (Rlerror, Rerror))


R = TypeVar("R", bound=Message)


def answer_of(call: Call, expected: type[R]) -> R:
    """The reply of a call that is over, or the ``OSError`` it is. From here on the reply belongs to the caller: no undo any more."""
    reply = call.reply
    call.undo = None
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
"""For each request that can be answered with a lie: what is wrong with the answer, or an empty text."""


class Fids:
    """Fid numbers. One that is free again is reused as late as possible."""

    __slots__ = ("_free", "_next", "in_use")

    def __init__(self) -> None:
        self._next = 0
        self._free: deque[int] = deque()
        self.in_use = 0

    def take(self) -> int:
        """A number that the server does not know."""
        self.in_use += 1
        if len(self._free) > 1024 or (self._next >= NOFID and self._free):
            return self._free.popleft()
        number = self._next
        self._next += 1
        return number

    def give(self, number: int) -> None:
        """The server has forgotten it."""
        self.in_use -= 1
        self._free.append(number)


class Exchange:
    """Requests and replies of one connection."""

    def __init__(self) -> None:
        self.msize = _FIRST_FRAMES
        self.dialect = Dialect.UNKNOWN
        self.fids = Fids()
        self.outgoing: list[Buffer] = []
        """Bytes to send, in order. The I/O empties it."""
        self.calls: dict[int, Call] = {}
        """What is in flight, by tag."""
        self._codec = codec(extended=True)
        self._receiver = Receiver(_FIRST_FRAMES)
        self._free_tags: deque[int] = deque()
        self._next_tag = 0

    # -- sending -------------------------------------------------------------------------------------------------------

    def request(self, message: Message, undo: Message | None = None) -> Call:
        """Send a request. ``Malformed`` if a field does not fit (nothing is sent then)."""
        tag = NOTAG if isinstance(message, Tversion) else self._take_tag()
        try:
            frame = self._codec.encode(tag, message)
        except Malformed:
            self._free_tags.append(tag)
            raise
        if len(frame) > 1 and len(frame[1]) < JOIN_BELOW:
            frame = [b"".join(frame)]
        self.outgoing += frame
        call = self.calls[tag] = Call(message, tag, undo)
        return call

    def abandon(self, call: Call) -> Call | None:
        """Nobody waits for the reply any more: the Tflush that says so, or None if there is nothing to flush."""
        if call.abandoned:
            return None
        call.abandoned = True
        if self.calls.get(call.tag) is call:
            return None if isinstance(call.request, (Tversion, Tflush)) else self.request(Tflush(call.tag))
        if call.undo is not None and call.reply is not None and not call.refused:
            self.request(call.undo)  # the reply came, but nobody had looked at it yet
        return None

    def agree(self, dialect: Dialect, msize: int) -> None:
        """A version was agreed on."""
        self.dialect = dialect
        self.msize = self._receiver.msize = msize
        self._codec = dialect.codec

    def _take_tag(self) -> int:
        # some tags rest between two uses; see the rules above
        if len(self._free_tags) > 64 or self._next_tag >= NOTAG:
            return self._free_tags.popleft()
        tag = self._next_tag
        self._next_tag += 1
        return tag

    # -- receiving -----------------------------------------------------------------------------------------------------

    def room(self) -> memoryview:
        """Where the next bytes from the server go."""
        return self._receiver.space()

    def received(self, count: int, done: list[Call]) -> None:
        """``count`` bytes are in the room: the calls that are over now are added to ``done``.

        ``ProtocolError`` if the server may not say that; ``done`` then has what it said before.
        """
        try:
            for size, number, tag, buffer, start in self._receiver.received(count):
                self._take(number, tag, memoryview(buffer)[start : start + size], done)
        except (BadFrame, Malformed) as error:
            raise ProtocolError(f"the server sent {error}") from None

    def feed(self, data: Buffer, done: list[Call]) -> None:
        """``room`` and ``received`` in one, for I/O that brings its own buffers."""
        position = 0
        while position < len(data):
            room = self.room()
            count = min(len(room), len(data) - position)
            room[:count] = data[position : position + count]
            position += count
            self.received(count, done)

    def _take(self, number: int, tag: int, frame: memoryview, done: list[Call]) -> None:
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
        if isinstance(request, Tflush):
            self._flushed(request.oldtag, done)
        self._settle(call)
        if call.abandoned and not isinstance(request, Tflush):
            return  # the tag stays taken until the Rflush
        self._forget(call)
        done.append(call)

    def _decode(self, number: int, frame: memoryview) -> Message:
        if self.dialect is Dialect.UNKNOWN and number == Rerror.number:
            # without a dialect an Rerror may have a number at its end or not; its length tells
            extended = len(frame) != HEADER_SIZE + 2 + int.from_bytes(frame[7:9], "little")
            return codec(extended=extended).decode(bytes(frame))[1]
        if number in _PAYLOADS:
            reply = self._codec.decode(frame)[1]
            if isinstance(reply, (Rread, Rreaddir)):
                reply.data = bytes(reply.data)  # the one copy: the room is used again
            return reply
        return self._codec.decode(bytes(frame))[1]

    def _forget(self, call: Call) -> None:
        del self.calls[call.tag]
        if call.tag != NOTAG:
            self._free_tags.append(call.tag)

    def _flushed(self, oldtag: int, done: list[Call]) -> None:
        old = self.calls.get(oldtag)
        if old is None or not old.abandoned:
            return
        if old.reply is None:
            self._unmade(old)
        elif not old.refused and old.undo is not None:
            self.request(old.undo)
        self._forget(old)
        done.append(old)

    def _settle(self, call: Call) -> None:
        """Fid numbers that the server does not know any more, or never did."""
        request = call.request
        if isinstance(request, (Tclunk, Tremove)):
            self.fids.give(request.fid)
        elif isinstance(request, (Twalk, Tattach, Txattrwalk)) and call.refused:
            self._unmade(call)
        elif isinstance(request, Twalk) and request.newfid != request.fid and _partial(request, call.reply):
            # diod keeps newfid after a partial walk; the Linux client clunks it as well (net/9p/client.c)
            self.request(Tclunk(request.newfid))
            call.undo = None

    def _unmade(self, call: Call) -> None:
        request = call.request
        if isinstance(request, Tattach):
            self.fids.give(request.fid)
        elif isinstance(request, Txattrwalk) or (isinstance(request, Twalk) and request.newfid != request.fid):
            self.fids.give(request.newfid)
