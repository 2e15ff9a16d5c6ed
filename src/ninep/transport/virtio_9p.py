"""A 9P device of virtio (device id 9): a descriptor chain carries one T-message, and has the place
for its R-message.

Rules

* A T-message is copied before it is looked at, because the driver may change it at any moment. The
  data of a large Twrite stay where they are.
* An R-message finds its chain by its tag and is written along the writable buffers. The count of a
  Tread or Treaddir is cut to the room there is; what does not fit otherwise becomes an error.
* A connection begins with a Tversion. What comes without one (from a guest whose server was
  restarted, say) is refused here: a mount that is years old must not count as a client that does
  not negotiate.
* A request that will get no reply returns its chain with length 0, which Linux's driver reads as
  cancelled: one that was flushed, before the Rflush; all that are left, before an Rversion.
* Guest memory is used in the event loop only. What worker threads bring while the ring is stopped
  is kept until it goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from ninep.errors import text_of
from ninep.linux import Errno
from ninep.protocol.framing import BadFrame
from ninep.transport import nothing
from ninep.transport.peers import Peer
from ninep.transport.stream import Connection, MakeConnection
from ninep.transport.virtqueue import Virtqueue
from ninep.virtio.device import Profile
from ninep.virtio.ring import Chain, RingError, SplitQueue
from ninep.wire.buffers import behind, first, scatter
from ninep.wire.codec import HEADER_SIZE, READ_HEADER, WRITE_HEADER, header
from ninep.wire.dialect import Dialect, negotiate
from ninep.wire.messages import Rflush, Tflush, Tread, Treaddir, Tversion, Twrite
from ninep.wire.types import Buffer

DEVICE_ID: Final = 9
"""Of the virtio specification, section 5: 9P transport."""
MOUNT_TAG: Final = 1 << 0
"""VIRTIO_9P_MOUNT_TAG: Linux's driver takes no device without it."""
MAX_CHAINS: Final = 128
"""VIRTQUEUE_NUM of Linux's driver, which has as many buffers for one message."""
LARGEST_MSIZE: Final = 4096 * (MAX_CHAINS - 3)
"""What Linux's driver takes: pages of 4 KiB, less three for the headers (net/9p/trans_virtio.c)."""
COPIED: Final = 4096
"""Bytes up to which the data of a Twrite are copied with it."""
LARGEST_COPY: Final = 1 << 22
"""Bytes of a message that is not a Twrite: beyond the 16 names of a Twalk."""
_VERSION, _FLUSH = Tversion.number, Tflush.number
LINUX_ONLY: Final = 100
"""Message types below are 9P2000.L's, those from here on the base protocol's."""
COUNTED: Final = frozenset({Tread.number, Treaddir.number})
COUNT, COUNT_END = 19, 23
"""Messages of the form size[4] type[1] tag[2] fid[4] offset[8] count[4]: the place of count."""
VERSION: Final = 13
"""The place of a Tversion's string: size[4] type[1] tag[2] msize[4] version[s]."""
NOT_LINUX: Final = frozenset({112, 114, 124, 126})
"""Topen, Tcreate, Tstat and Twstat, in whose place 9P2000.L has messages of its own."""


def profile(tag: bytes, queue_size: int) -> Profile:
    """The device: config space and features."""
    return Profile(MOUNT_TAG, len(tag).to_bytes(2, "little") + tag, 1, queue_size)


class Virtio9P:
    """One device: the role of its ring, and the transport of the connection that it carries.

    Args:
        make: makes the connection.
        peer: the process of the virtual machine.
        export: the one that an empty aname means; empty: the usual one.
    """

    def __init__(self, make: MakeConnection, peer: Peer, export: str) -> None:
        self._make = make
        self._peer = peer
        self._export = export
        self._connection: Connection | None = None
        self._closing = False
        self._dialect = Dialect.LINUX
        """What the guest speaks, as far as is known: for errors outside of a session."""
        self._chains: dict[int, Chain] = {}
        """By tag: the requests that are not answered."""
        self._again: dict[int, deque[Chain]] = {}
        """More of them with a tag of ``_chains``, as no honest client has."""
        self._flushes: dict[int, int] = {}
        """The oldtag of each Tflush among them, by its tag."""
        self._held: list[tuple[Chain, bytes]] = []
        """Replies that came while the ring was stopped."""
        self._queue = Virtqueue(self._serve, self._took, self._break, self._idle)
        self.broken: Callable[[int, RingError], None] = lambda *_: None
        """Called when the driver broke the rules: ``Device.broken``."""
        self.session_ended: Callable[[], None] = nothing
        """Called when a connection has ended: ``FrontEnd.session_ended``."""

    # -- the device's calls (virtio.device.Role) -----------------------------------------------------------------------

    def start(self, index: int, queue: SplitQueue, kick: int, call: Callable[[], None], *, resumed: bool) -> None:
        """The ring runs."""
        del index
        self._queue.start(queue, kick, call)
        if resumed:
            held, self._held = self._held, []
            for chain, frame in held:
                self._return(chain, (frame,), len(frame))
        else:
            try:
                for chain in queue.recover():
                    self._recover(chain)
            except RingError as error:
                self._queue.fail(error)
        self._queue.flush()

    def stop(self, index: int) -> None:
        """The ring is stopped."""
        del index
        self._queue.stop()

    def end(self) -> None:
        """The guest has begun anew, or is gone."""
        self._forget()
        self._lose()

    def _break(self, error: RingError) -> None:
        self.broken(0, error)
        self.end()

    def _forget(self) -> None:
        self._chains.clear()
        self._again.clear()
        self._flushes.clear()
        self._held.clear()

    # -- requests ------------------------------------------------------------------------------------------------------

    def _serve(self, chain: Chain) -> int | None:
        size, readable, payload = chain.readable_size, chain.readable, None
        if (
            HEADER_SIZE <= size <= COPIED
            and size != COUNT_END
            and len(readable) == 1
            and chain.writable_size >= HEADER_SIZE
        ):
            frame = readable[0].tobytes()  # as _message, for most
        else:
            frame, payload = _message(chain)
        number, tag = frame[4], frame[5] | frame[6] << 8
        connection = self._connection
        if number == _VERSION:
            connection = self._version(frame)
        if connection is None:
            self._refuse(chain, frame, Errno.EACCES if number == _VERSION else Errno.ENOTCONN)
            return None
        if number == _FLUSH and len(frame) >= HEADER_SIZE + 2:
            self._flushes[tag] = frame[7] | frame[8] << 8
        if self._chains.setdefault(tag, chain) is not chain:
            self._again.setdefault(tag, deque()).append(chain)
        try:
            written = connection.message(frame, payload, chain.writable)
        except BadFrame as error:
            raise RingError(str(error)) from None
        if not written:
            return None
        taken = self._take(tag, chain) if self._again else self._chains.pop(tag, None)
        return None if taken is None else written

    def _took(self, seconds: float) -> None:
        if self._connection is not None:
            self._connection.took(seconds)

    def _version(self, frame: bytes) -> Connection | None:
        """A session begins, nothing of the one before will be answered. None: the client may not
        connect.
        """
        self._dialect = _spoken(frame[VERSION:]) or self._dialect
        for _, chain in self._outstanding():
            self._queue.push(chain.head, 0)
        self._forget()
        if self._connection is None and not self._closing:
            self._connection = self._make(self)
            self._connection.made(self._peer, self._export)
        return self._connection

    def _refuse(self, chain: Chain, frame: bytes, code: Errno = Errno.ENOTCONN) -> None:
        """Answer a request that is not part of a session."""
        number, tag = frame[4], frame[5] | frame[6] << 8
        if number < LINUX_ONLY:
            self._dialect = Dialect.LINUX
        elif number in NOT_LINUX and self._dialect is Dialect.LINUX:
            self._dialect = Dialect.UNIX
        reply = _flush_reply(tag) if number == _FLUSH else self._error(tag, code)
        self._return(chain, (reply,), len(reply))

    def _recover(self, chain: Chain) -> None:
        """A request that an earlier server took and did not answer."""
        try:
            frame, _ = _message(chain)
        except RingError:
            self._queue.push(chain.head, 0)
            return
        if frame[4] == _VERSION:
            written = self._serve(chain)
            if written is not None:
                self._queue.push(chain.head, written)
        else:
            self._refuse(chain, frame)

    def _outstanding(self) -> list[tuple[int, Chain]]:
        again = [(tag, chain) for tag, chains in self._again.items() for chain in chains]
        return [*self._chains.items(), *again]

    # -- replies (transport.writer.Transport) --------------------------------------------------------------------------

    def write(self, buffer: Buffer) -> None:
        """One or several R-messages."""
        if header(buffer, 0)[0] == len(buffer):
            self._reply((buffer,), len(buffer))
            self._queue.flush()
        else:
            self.write_all((buffer,))

    def write_all(self, buffers: Sequence[Buffer]) -> None:
        """R-messages, each in one buffer or more."""
        for parts, size in _messages(buffers):
            self._reply(parts, size)
        self._queue.flush()

    def _reply(self, parts: Sequence[Buffer], size: int) -> None:
        number, tag = header(parts[0], 0)[1:]
        chain = self._take(tag)
        if chain is None:
            return  # of a session that is over
        if self._flushes:
            self._flushed(number, tag)
        self._return(chain, parts, size)

    def _return(self, chain: Chain, parts: Sequence[Buffer], size: int) -> None:
        """Write a reply into its chain."""
        if size > chain.writable_size:
            error = self._error(header(parts[0], 0)[2], Errno.EMSGSIZE)
            parts, size = (error,), len(error)
            if size > chain.writable_size:
                self._queue.fail(RingError(f"a reply of {size} bytes has room for {chain.writable_size}"))
                return
        if not self._queue.running:
            self._held.append((chain, b"".join(parts)))
            return
        written = 0
        for part in parts:
            written += scatter(behind(chain.writable, written), part)
        self._queue.push(chain.head, size)

    def _error(self, tag: int, code: Errno) -> bytes:
        reply, fields = self._dialect.errors
        frame = self._dialect.codec.table[reply.number].pack(tag, *fields(code, text_of(code)))
        assert isinstance(frame, bytes)  # noqa: S101 - neither has a payload
        return frame

    def _take(self, tag: int, chain: Chain | None = None) -> Chain | None:
        """The chain of a reply, out of the table: the one that was written to, or the oldest."""
        found = self._chains.pop(tag, None)
        more = self._again.get(tag)
        if more:
            if chain is not None and chain is not found and found is not None:
                more.remove(chain)
                self._chains[tag] = found
                found = chain
            else:
                self._chains[tag] = more.popleft()
            if not more:
                del self._again[tag]
        return found

    def _flushed(self, number: int, tag: int) -> None:
        """A reply is about to go: if it is an Rflush, its request gets no reply any more."""
        oldtag = self._flushes.pop(tag, None)
        if oldtag is not None and number == Rflush.number:
            old = self._take(oldtag)
            if old is not None:
                self._return(old, (), 0)

    # -- flow and end --------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Take no more messages until ``resume``."""
        self._queue.pause()

    def resume(self) -> None:
        """Take them again."""
        self._queue.resume()

    def close(self) -> None:
        """End the connection: what is written is sent already. The device waits for the next
        Tversion.
        """
        self.abort()

    def abort(self) -> None:
        """As ``close``."""
        outstanding = self._outstanding()
        self._forget()
        for tag, chain in outstanding:
            reply = self._error(tag, Errno.ENOTCONN)
            self._return(chain, (reply,), len(reply))
        self._queue.flush()
        self._lose()

    def _lose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.lost()
            self._queue.resume()  # whatever reason it had not to
            self.session_ended()

    def shut(self) -> bool:
        """Begin no more connections. True: there is none."""
        self._closing = True
        return self._connection is None

    def _idle(self) -> bool:
        return not self._chains and self._connection is not None and self._connection.alone()


# -- messages --------------------------------------------------------------------------------------------------------------


def _message(chain: Chain) -> tuple[bytes, Sequence[memoryview] | None]:
    """The T-message of a chain, copied, and the data of a large Twrite, which are not. ``RingError``
    if it cannot be one.
    """
    size, readable = chain.readable_size, chain.readable
    if size < HEADER_SIZE or chain.writable_size < HEADER_SIZE:
        raise RingError(f"a request of {size} bytes, with room for a reply of {chain.writable_size}")
    if size > WRITE_HEADER + COPIED:
        head = b"".join(first(readable, WRITE_HEADER))
        if head[4] == Twrite.number:
            return head, behind(readable, WRITE_HEADER)
        if size > LARGEST_COPY:
            raise RingError(f"a request of {size} bytes")
    frame = readable[0].tobytes() if len(readable) == 1 else b"".join(readable)
    if size == COUNT_END and frame[4] in COUNTED:
        room = max(chain.writable_size - READ_HEADER, 0)
        if int.from_bytes(frame[COUNT:COUNT_END], "little") > room:
            frame = frame[:COUNT] + room.to_bytes(4, "little")
    return frame, None


def _messages(buffers: Sequence[Buffer]) -> Iterator[tuple[list[Buffer], int]]:
    """Each R-message in its parts, and its size."""
    parts: list[Buffer] = []
    size = missing = 0
    for buffer in buffers:
        start = 0
        while start < len(buffer):
            if not missing:
                size = missing = header(buffer, start)[0]
            stop = min(start + missing, len(buffer))
            parts.append(memoryview(buffer)[start:stop])
            missing -= stop - start
            start = stop
            if not missing:
                yield parts, size
                parts = []


def _spoken(version: bytes) -> Dialect | None:
    dialect = negotiate(version)
    return None if dialect is Dialect.UNKNOWN else dialect


def _flush_reply(tag: int) -> bytes:
    return HEADER_SIZE.to_bytes(4, "little") + bytes((Rflush.number, tag & 0xFF, tag >> 8))
