"""The client's core without I/O: requests, and the check of replies."""

from __future__ import annotations

import errno

import pytest
from tests.client.expect import refused

from ninep.client.errors import ProtocolError
from ninep.client.exchange import Call, Exchange, answer_of
from ninep.wire.codec import Malformed, codec
from ninep.wire.dialect import Dialect
from ninep.wire.messages import (
    NOFID,
    NOTAG,
    Message,
    Rattach,
    Rclunk,
    Rerror,
    Rflush,
    Rgetlock,
    Rlerror,
    Rlock,
    Rread,
    Rreaddir,
    Rremove,
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
from ninep.wire.types import Qid

QID = Qid(0, 1, 2)


@pytest.fixture
def exchange():
    exchange = Exchange()
    exchange.agree(Dialect.LINUX, 8192)
    return exchange


def said(exchange: Exchange) -> list[tuple[int, Message]]:
    """The client's queued messages, as (tag, message)."""
    data = b"".join(exchange.outgoing)
    exchange.outgoing.clear()
    messages = []
    while data:
        size = int.from_bytes(data[:4], "little")
        messages.append(codec(EXTENDED if exchange.dialect is not Dialect.BASE else PLAIN).decode(data[:size]))
        data = data[size:]
    return messages


def feed(exchange: Exchange, data: bytes) -> list[Call]:
    """The calls that are finished after these bytes."""
    done: list[Call] = []
    exchange.feed(data, done)
    return done


def answer(tag: int, message: Message, *, extended: bool = True) -> bytes:
    return b"".join(codec(EXTENDED if extended else PLAIN).encode(tag, message))


# -- bytes


def test_a_request_and_its_reply_as_bytes(exchange):
    call = exchange.request(Tread(fid=7, offset=0x10, count=5))
    assert b"".join(exchange.outgoing) == bytes.fromhex("17000000 74 0000 07000000 1000000000000000 05000000")
    assert feed(exchange, bytes.fromhex("0e000000 75 0000 03000000 616263")) == [call]
    assert answer_of(call, Rread) == Rread(b"abc")
    assert exchange.calls == {}


def test_version_goes_with_no_tag():
    exchange = Exchange()
    call = exchange.request(Tversion(8192, b"9P2000.L"))
    assert b"".join(exchange.outgoing) == bytes.fromhex("15000000 64 ffff 00200000 0800") + b"9P2000.L"
    assert feed(exchange, bytes.fromhex("15000000 65 ffff 00100000 0800") + b"9P2000.L") == [call]
    assert answer_of(call, Rversion) == Rversion(4096, b"9P2000.L")


def test_a_large_payload_is_not_copied(exchange):
    data = bytes(50_000)
    exchange.request(Twrite(1, 0, data))
    head, payload = exchange.outgoing
    assert len(head) == 23
    assert payload is data


def test_replies_may_be_split_and_glued_in_any_way(exchange):
    stream = b"".join(answer(tag, Rread(bytes([65 + tag]) * tag)) for tag in range(20))
    for step in (1, 2, 3, 7, 50, len(stream)):
        calls = [exchange.request(Tread(1, 0, 100)) for _ in range(20)]
        renumbered = {call.tag: place for place, call in enumerate(calls)}
        stream = b"".join(answer(call.tag, Rread(b"x" * renumbered[call.tag])) for call in reversed(calls))
        done = []
        for start in range(0, len(stream), step):
            done += feed(exchange, stream[start : start + step])
        assert done == calls[::-1]
        assert [len(answer_of(call, Rread).data) for call in calls] == list(range(20))


def test_a_reply_outlives_the_room_it_came_in(exchange):
    calls = [exchange.request(Tread(1, 0, 8000)) for _ in range(3)]
    for call in calls:
        feed(exchange, answer(call.tag, Rread(bytes([call.tag]) * 8000)))
    assert [bytes(answer_of(call, Rread).data[:2]) for call in calls] == [bytes([call.tag]) * 2 for call in calls]


# -- errors that the server means


def test_errors_of_each_dialect():
    for dialect, reply in (
        (Dialect.LINUX, Rlerror(39)),
        (Dialect.UNIX, Rerror(b"directory not empty", 39)),
        (Dialect.BASE, Rerror(b"directory not empty")),
    ):
        exchange = Exchange()
        exchange.agree(dialect, 8192)
        call = exchange.request(Tremove(5))
        feed(exchange, answer(call.tag, reply, extended=dialect.encoding.unix_fields))
        assert call.refused
        with refused(errno.ENOTEMPTY):
            answer_of(call, Rremove)


def test_errors_before_there_is_a_dialect():
    for frame in (
        answer(NOTAG, Rlerror(5)),
        answer(NOTAG, Rerror(b"i/o error", 5)),
        answer(NOTAG, Rerror(b"i/o error"), extended=False),
    ):
        exchange = Exchange()
        call = exchange.request(Tversion(8192, b"9P2000.L"))
        feed(exchange, frame)
        with refused(errno.EIO):
            answer_of(call, Rversion)


# -- what no server may say

WRONG_REPLIES = {
    "a tag that is not in flight": (Tclunk(1), answer(9, Rclunk())),
    "another type": (Tclunk(1), answer(0, Rremove())),
    "its own request": (Tclunk(1), answer(0, Tclunk(1))),
    "the error of another dialect": (Tclunk(1), answer(0, Rerror(b"no", 1))),
    "a type that there is not": (Tclunk(1), bytes.fromhex("07000000 fe 0000")),
    "more data than asked for": (Tread(1, 0, 3), answer(0, Rread(b"1234"))),
    "more entries than asked for": (Treaddir(1, 0, 3), answer(0, Rreaddir(b"1234"))),
    "more written than sent": (Twrite(1, 0, b"123"), answer(0, Rwrite(4))),
    "more qids than names": (Twalk(1, 2, [b"a"]), answer(0, Rwalk([QID, QID]))),
    "no qid and no error": (Twalk(1, 2, [b"a"]), answer(0, Rwalk([]))),
    "a lock status that there is not": (Tlock(1, 0, 0, 0, 0, 1, b""), answer(0, Rlock(4))),
    "a lock type that there is not": (Tgetlock(1, 0, 0, 0, 1, b""), answer(0, Rgetlock(3, 0, 0, 0, b""))),
    "a size below the header": (Tclunk(1), bytes.fromhex("06000000 79 0000")),
    "a size beyond msize": (Tclunk(1), bytes.fromhex("01200000 79 0000")),
    "a size of four gigabytes": (Tclunk(1), bytes.fromhex("ffffffff 79 0000")),
    "a body too short": (Twrite(1, 0, b"1"), bytes.fromhex("0a000000 77 0000 010000")),
    "a body too long": (Tclunk(1), bytes.fromhex("08000000 79 0000 00")),
    "a wrong count": (Tread(1, 0, 9), bytes.fromhex("0e000000 75 0000 04000000 616263")),
}


@pytest.mark.parametrize("case", WRONG_REPLIES)
def test_a_wrong_reply_ends_the_connection(exchange, case):
    request, reply = WRONG_REPLIES[case]
    exchange.request(request)
    with pytest.raises(ProtocolError):
        feed(exchange, reply)


def test_replies_before_a_wrong_one_are_accepted(exchange):
    call = exchange.request(Tclunk(1))
    done: list[Call] = []
    with pytest.raises(ProtocolError):
        exchange.feed(answer(call.tag, Rclunk()) + answer(call.tag, Rclunk()), done)
    assert done == [call]


def test_a_reply_that_comes_twice(exchange):
    call = exchange.request(Tclunk(1))
    feed(exchange, answer(call.tag, Rclunk()))
    later = exchange.request(Tclunk(2))
    assert later.tag != call.tag
    with pytest.raises(ProtocolError, match="not in flight"):
        feed(exchange, answer(call.tag, Rclunk()))


@pytest.mark.parametrize(
    ("msize", "good"), [(255, False), (256, True), (8192, True), (8193, False), (0xFFFFFFFF, False)]
)
def test_the_msize_that_a_server_may_answer(msize, good):
    exchange = Exchange()
    exchange.request(Tversion(8192, b"9P2000.L"))
    frame = answer(NOTAG, Rversion(msize, b"9P2000.L"))
    if good:
        assert len(feed(exchange, frame)) == 1
    else:
        with pytest.raises(ProtocolError, match="msize"):
            feed(exchange, frame)


def test_every_cut_of_a_reply_waits_for_the_rest(exchange):
    frame = answer(0, Rwalk([QID, QID]))
    for end in range(len(frame)):
        fresh = Exchange()
        fresh.agree(Dialect.LINUX, 8192)
        fresh.request(Twalk(1, 2, [b"a", b"b"]))
        assert feed(fresh, frame[:end]) == []
        assert len(feed(fresh, frame[end:])) == 1


def test_no_byte_of_a_reply_can_be_changed_into_a_crash(exchange):
    frame = answer(0, Rwalk([QID]))
    for place in range(len(frame)):
        for value in (0, 1, 0x7F, 0xFF):
            fresh = Exchange()
            fresh.agree(Dialect.LINUX, 8192)
            call = fresh.request(Twalk(1, 2, [b"a"]))
            changed = frame[:place] + bytes([value]) + frame[place + 1 :]
            try:
                done = feed(fresh, changed)
            except ProtocolError:
                continue
            assert done in ([], [call])


# -- tags


def test_tags_are_reused_as_late_as_possible(exchange):
    used = []
    for _ in range(200):
        call = exchange.request(Tclunk(1))
        used.append(call.tag)
        feed(exchange, answer(call.tag, Rclunk()))
    assert max(used) < 100
    assert all(len(set(used[start : start + 60])) == 60 for start in range(140))


def test_a_request_that_cannot_be_sent_takes_no_tag(exchange):
    with pytest.raises(Malformed):
        exchange.request(Tread(-1, 0, 0))
    assert exchange.calls == {}
    assert exchange.outgoing == []


# -- flush


def test_an_abandoned_call_is_flushed_and_its_tag_rests(exchange):
    call = exchange.request(Tread(1, 0, 3))
    said(exchange)
    flush = exchange.abandon(call)
    assert said(exchange) == [(flush.tag, Tflush(call.tag))]
    assert exchange.abandon(call) is None
    assert feed(exchange, answer(flush.tag, Rflush())) == [call, flush]
    assert call.reply is None
    assert exchange.calls == {}


def test_a_reply_before_the_rflush_frees_nothing_yet(exchange):
    call = exchange.request(Tread(1, 0, 3))
    flush = exchange.abandon(call)
    assert feed(exchange, answer(call.tag, Rread(b"1"))) == []
    assert call.tag in exchange.calls
    with pytest.raises(ProtocolError, match="twice"):
        feed(exchange, answer(call.tag, Rread(b"1")))
    assert feed(exchange, answer(flush.tag, Rflush())) == [call, flush]


def test_what_was_done_in_spite_of_a_flush_is_undone(exchange):
    newfid = exchange.fids.allocate()
    call = exchange.request(Twalk(1, newfid, [b"a"]), Tclunk(newfid))
    flush = exchange.abandon(call)
    said(exchange)
    feed(exchange, answer(call.tag, Rwalk([QID])))
    feed(exchange, answer(flush.tag, Rflush()))
    [(tag, undo)] = said(exchange)
    assert undo == Tclunk(newfid)
    assert exchange.fids.in_use == 1
    feed(exchange, answer(tag, Rclunk()))
    assert exchange.fids.in_use == 0


@pytest.mark.parametrize("reply", [None, Rlerror(2)])
def test_what_was_not_done_is_not_undone(exchange, reply):
    newfid = exchange.fids.allocate()
    call = exchange.request(Twalk(1, newfid, [b"a"]), Tclunk(newfid))
    flush = exchange.abandon(call)
    said(exchange)
    if reply is not None:
        feed(exchange, answer(call.tag, reply))
    feed(exchange, answer(flush.tag, Rflush()))
    assert said(exchange) == []
    assert exchange.fids.in_use == 0


def test_an_unused_reply_is_undone_at_once(exchange):
    call = exchange.request(Twalk(1, 2, [b"a"]), Tclunk(2))
    said(exchange)
    feed(exchange, answer(call.tag, Rwalk([QID])))
    assert exchange.abandon(call) is None
    assert [message for _, message in said(exchange)] == [Tclunk(2)]


def test_a_reply_that_was_taken_is_not_undone(exchange):
    call = exchange.request(Twalk(1, 2, [b"a"]), Tclunk(2))
    feed(exchange, answer(call.tag, Rwalk([QID])))
    answer_of(call, Rwalk)
    said(exchange)
    exchange.abandon(call)
    assert said(exchange) == []


def test_tversion_is_not_flushed():
    exchange = Exchange()
    call = exchange.request(Tversion(8192, b"9P2000.L"))
    assert exchange.abandon(call) is None


# -- fid numbers

MADE = {
    "attach": lambda fid: (Tattach(fid, NOFID, b"", b""), Rattach(QID)),
    "walk": lambda fid: (Twalk(99, fid, [b"a"]), Rwalk([QID])),
    "copy": lambda fid: (Twalk(99, fid, []), Rwalk([])),
}


@pytest.mark.parametrize("how", MADE)
def test_a_fid_lives_from_its_making_to_the_reply_of_its_clunk(exchange, how):
    fid = exchange.fids.allocate()
    request, reply = MADE[how](fid)
    feed(exchange, answer(exchange.request(request).tag, reply))
    assert exchange.fids.in_use == 1
    clunk = exchange.request(Tclunk(fid))
    assert exchange.fids.in_use == 1
    feed(exchange, answer(clunk.tag, Rlerror(5)))  # the fid is gone in any case
    assert exchange.fids.in_use == 0


@pytest.mark.parametrize("request_", [Tattach(0, NOFID, b"", b""), Twalk(99, 0, [b"a"]), Txattrwalk(99, 0, b"")])
def test_a_fid_that_was_not_made_is_free(exchange, request_):
    assert exchange.fids.allocate() == 0
    feed(exchange, answer(exchange.request(request_).tag, Rlerror(2)))
    assert exchange.fids.in_use == 0


def test_a_partial_walk_is_clunked_for_servers_that_keep_its_fid(exchange):
    fid = exchange.fids.allocate()
    call = exchange.request(Twalk(99, fid, [b"a", b"b"]))
    said(exchange)
    feed(exchange, answer(call.tag, Rwalk([QID])))
    [(tag, clunk)] = said(exchange)
    assert clunk == Tclunk(fid)
    feed(exchange, answer(tag, Rlerror(9)))
    assert exchange.fids.in_use == 0


def test_a_failed_walk_in_place_keeps_the_fid(exchange):
    fid = exchange.fids.allocate()
    for reply in (Rlerror(2), Rwalk([QID])):
        call = exchange.request(Twalk(fid, fid, [b"a", b"b"]))
        said(exchange)
        feed(exchange, answer(call.tag, reply))
        assert said(exchange) == []
        assert exchange.fids.in_use == 1


def test_numbers_of_fids_are_reused_late(exchange):
    numbers = []
    for _ in range(3000):
        fid = exchange.fids.allocate()
        numbers.append(fid)
        feed(exchange, answer(exchange.request(Tremove(fid)).tag, Rremove()))
    assert max(numbers) < 1100
    assert all(len(set(numbers[start : start + 1000])) == 1000 for start in range(0, 2000, 100))
