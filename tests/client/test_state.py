"""What is known of a server's state, from requests and replies."""

from __future__ import annotations

import pytest

from ninep.client.bounds import MAX_NAMES, NamesSeen
from ninep.client.state import EACH, KEPT_BYTES, ServerState
from ninep.linux import LOCK_RDLCK, LOCK_UNLCK, LOCK_WRLCK, O_CREAT, O_EXCL, O_RDWR, O_TRUNC, O_WRONLY, SETATTR_SIZE
from ninep.wire.messages import (
    Message,
    Rattach,
    Rclunk,
    Rfsync,
    Rlcreate,
    Rlock,
    Rlopen,
    Rrenameat,
    Rsetattr,
    Rwalk,
    Rwrite,
    Tattach,
    Tclunk,
    Tfsync,
    Tlcreate,
    Tlock,
    Tlopen,
    Trenameat,
    Tsetattr,
    Twalk,
    Twrite,
)
from ninep.wire.types import Qid

DIRECTORY, FILE = Qid(0x80, 0, 1), Qid(0, 0, 2)


@pytest.fixture
def state() -> ServerState:
    """Fid 0 is the root, 1 the new file d/f, open for reading and writing."""
    state = ServerState()
    granted: list[tuple[Message, Message]] = [
        (Tattach(0, 0xFFFFFFFF, b"u", b"", 0), Rattach(DIRECTORY)),
        (Twalk(0, 1, [b"x", b"..", b"d"]), Rwalk([DIRECTORY] * 3)),
        (Tlcreate(1, b"f", O_RDWR | O_CREAT | O_EXCL, 0o644, 0), Rlcreate(FILE, 0)),
    ]
    for request, reply in granted:
        state.sent(request)
        state.note(request, reply)
    return state


def test_a_file_that_was_created_is_opened_the_next_time(state: ServerState) -> None:
    assert state.fids[1].names == (b"d", b"f")
    assert state.fids[1].qid == FILE
    assert state.fids[1].opened == Tlopen(1, O_RDWR)


def test_a_renamed_directory(state: ServerState) -> None:
    state.note(Trenameat(0, b"d", 0, b"e"), Rrenameat())
    assert state.fids[1].names == (b"e", b"f")


def lock(kind: int, start: int, length: int, owner: int = 7) -> Tlock:
    return Tlock(1, kind, 0, start, length, owner, b"host")


@pytest.mark.parametrize(
    ("later", "left"),
    [
        (lock(LOCK_UNLCK, 0, 0), []),
        (lock(LOCK_UNLCK, 20, 10), [(10, 10), (30, 0)]),
        (lock(LOCK_UNLCK, 0, 15), [(15, 0)]),
        (lock(LOCK_RDLCK, 50, 0), [(10, 40), (50, 0)]),
        (lock(LOCK_UNLCK, 0, 0, owner=8), [(10, 0)]),
    ],
)
def test_locks_that_are_left(state: ServerState, later: Tlock, left: list[tuple[int, int]]) -> None:
    state.note(lock(LOCK_WRLCK, 10, 0), Rlock(0))
    state.note(later, Rlock(0))
    assert [(one.start, one.length) for one in state.fids[1].locks] == left


def written(state: ServerState, data: bytes) -> None:
    state.note(Twrite(1, 0, data), Rwrite(len(data)))


def test_an_fsync_is_about_what_was_written_before_it_was_sent(state: ServerState) -> None:
    written(state, b"first")
    early, late = Tfsync(1), Tfsync(1)
    state.sent(early)
    written(state, b"second")
    state.note(early, Rfsync())
    assert len(state.unsynced[b"", FILE.path].requests) == 2
    state.sent(late)
    state.note(late, Rfsync())
    assert not state.unsynced


def test_what_a_closed_file_wrote_is_not_kept(state: ServerState) -> None:
    written(state, b"data")
    state.note(Tclunk(1), Rclunk())
    assert not state.unsynced


def test_what_another_open_truncates_is_truncated_again_in_its_place(state: ServerState) -> None:
    written(state, b"longer")
    state.note(Twalk(0, 2, [b"d", b"f"]), Rwalk([DIRECTORY, FILE]))
    state.note(Tlopen(2, O_WRONLY | O_TRUNC), Rlopen(FILE, 0))
    state.note(Twrite(2, 0, b"short"), Rwrite(5))
    kept = state.unsynced[b"", FILE.path]
    assert [type(request) for request in kept.requests] == [Twrite, Tsetattr, Twrite]
    assert kept.fids == {1, 2}
    assert not kept.missing


def test_files_of_two_exports_with_one_number(state: ServerState) -> None:
    """What one wrote is not written to the other."""
    state.note(Tattach(7, 0xFFFFFFFF, b"u", b"other", 0), Rattach(DIRECTORY))
    state.note(Twalk(7, 8, [b"g"]), Rwalk([FILE]))
    written(state, b"data")
    state.note(Twrite(8, 0, b"more"), Rwrite(4))
    state.note(Tclunk(1), Rclunk())
    (left,) = state.unsynced.values()
    assert left.fids == {8}
    assert not left.requests
    assert left.missing


def test_small_requests_are_bounded_by_what_they_take(state: ServerState) -> None:
    truncate = Tsetattr(1, SETATTR_SIZE, 0, 0, 0, 0, 0, 0, 0, 0)
    written(state, b"x")
    for _ in range(KEPT_BYTES // EACH - 2):
        state.note(truncate, Rsetattr())
    assert not state.unsynced[b"", FILE.path].missing
    state.note(truncate, Rsetattr())
    assert state.unsynced[b"", FILE.path].missing
    assert not state.unsynced[b"", FILE.path].requests


def test_the_callers_buffer_may_change(state: ServerState) -> None:
    buffer = bytearray(b"data")
    state.note(Twrite(1, 0, memoryview(buffer)), Rwrite(3))
    buffer[:] = b"else"
    assert state.unsynced[b"", FILE.path].requests == [Twrite(1, 0, b"dat")]


def test_an_endless_listing_is_not_remembered() -> None:
    seen = NamesSeen()
    assert [seen.add(name) for name in (b"a", b"b", b"a")] == [True, True, False]
    for number in range(MAX_NAMES):
        seen.add(b"%d" % number)
    assert not seen.complete
    assert seen.add(b"a")
