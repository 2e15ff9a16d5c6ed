"""Requests of a transport that has a place for each reply: memory of a virtual machine, say.

* The message itself is the server's own copy, because the other side may change what is in shared
  memory at any moment. Only the data of a Twrite may still be where the client put it.
* Data are read into the place of the reply and written from where they are (``Row.in_place``), in
  the event loop and nowhere else: a request that has to wait is copied first, so that no thread has
  the transport's memory. Its reply goes by ``Transport.write``, as does one that the place does not
  fit.
* A read that fails half way may have put something in the place already. That does no harm: the
  error reply takes the first bytes, and says with its size that nothing follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ninep.node import WouldBlock
from ninep.protocol.framing import PAYLOADS, BadFrame, RawFrame
from ninep.server.dispatcher import Dispatcher
from ninep.server.refusals import refusal
from ninep.server.table import Entry
from ninep.wire.buffers import behind, length, scatter
from ninep.wire.codec import HEADER_SIZE, READ_HEADER, WRITE_HEADER, Frame, header, io_reply

VIEWED: Final = 4096
"""Bytes from which on the data of a request is a view of its frame and not another copy."""


def impossible(size: int, msize: int, said: int | None = None) -> BadFrame:
    """What is wrong with a message of a size that is not what it says, or beyond msize."""
    if said is not None:
        return BadFrame(f"a message of {size} bytes that says {said}")
    return BadFrame(f"a message of {size} bytes; {HEADER_SIZE} to {msize} are possible")


def joined(frame: bytes, payload: Sequence[memoryview] | None, size: int) -> RawFrame:
    """The whole message, copied, as it comes out of ``protocol.framing``."""
    whole = frame if payload is None else b"".join((frame, *payload))
    _, number, tag = header(frame, 0)
    viewed = size >= VIEWED and number in PAYLOADS
    return size, number, tag, memoryview(whole) if viewed else whole, 0


def leaves_data(entry: Entry, frame: bytes) -> bool:
    """Whether what is missing of a message may be left where it is: the data of a Twrite."""
    return len(frame) == WRITE_HEADER and entry.row.in_place is not None and not entry.payload


def serve(
    dispatcher: Dispatcher,
    entry: Entry,
    size: int,
    tag: int,
    frame: bytes,
    payload: Sequence[memoryview] | None,
    reply: Sequence[memoryview],
) -> int:
    """Serve a request of an inline session as ``Dispatcher.dispatch`` would, if it is none of the
    special ones. The first buffer of ``reply`` has room for the head of an Rread.

    Returns how many bytes of ``reply`` were written; 0 if the R-message is in ``Dispatcher.out``,
    or comes later.
    """
    session = dispatcher.session
    fixed, fixed_size, unpack, inline, pack, data_back, row = entry
    fields: Sequence[Any] = ()
    try:
        # Without its data, a Twrite is unpacked as if they were there: their size is checked, and
        # the last field is empty.
        fields = fixed(frame, HEADER_SIZE) if size == fixed_size else unpack(frame, HEADER_SIZE, size)  # type: ignore[misc]
        if dispatcher.tags.owed and not dispatcher.passes(tag, entry, fields):
            dispatcher.dispatch(*joined(frame, payload, size))
            return 0
        if (data_back or payload is not None) and row.in_place is not None:
            if payload is None:
                head, *places = reply
                if len(head) > READ_HEADER:
                    places = [head[READ_HEADER:], *places]
                count = row.in_place(session, *fields, places)
                written = READ_HEADER + count
            else:
                count = row.in_place(session, *fields[:2], size - WRITE_HEADER, payload)
                written = READ_HEADER
            reply[0][:READ_HEADER] = io_reply(written, frame[4] + 1, tag, count)
            return written
        if inline is None:
            dispatcher.defer(tag, entry, fields)
            return 0
        answer = pack(tag, *inline(session, *fields))
    except WouldBlock:
        dispatcher.defer(tag, entry, fields if payload is None else (*fields[:-1], b"".join(payload)))
        return 0
    except Exception as error:  # noqa: BLE001 - the one exit: see refusals
        answer = refusal(session, tag, frame[4], error)
    if isinstance(answer, bytes) and (written := len(answer)) <= len(place := reply[0]):
        place[:written] = answer
        return written
    return _place(dispatcher, answer, reply)


def _place(dispatcher: Dispatcher, answer: Frame, reply: Sequence[memoryview]) -> int:
    """Copy an R-message into its place, which has several buffers, or leave it to be sent."""
    if isinstance(answer, bytes):
        dispatcher.out.append(answer)
    else:
        head, data = answer
        if len(head) + len(data) <= length(reply):
            return scatter(reply, head) + scatter(behind(reply, len(head)), data)
        dispatcher.out.extend(answer)
    return 0
