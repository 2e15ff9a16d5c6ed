"""Conversations with a server, drawn at random, and what the dispatcher alone answers: what every
other way to serve is held against.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Any

from hypothesis import strategies as st
from tests.support.served import LAYERS

from ninep.drivers.memory import MemoryDriver
from ninep.linux import NO_ID
from ninep.server.budgets import Budgets
from ninep.server.dispatcher import Dispatcher
from ninep.server.exports import Export, Exports
from ninep.server.limits import Limits
from ninep.server.session import Session
from ninep.wire import messages as m
from ninep.wire.codec import codec
from ninep.wire.modes import DMDIR, EXTENDED, PLAIN
from ninep.wire.types import Buffer, Stat

MSIZE = 8193
FIDS = st.integers(0, 4)
NAMES = st.sampled_from([b"a", b"b", b"..", b"", b"a/b"])
SIZES = st.sampled_from([0, 1, 100, 5000])
LINUX = (
    st.builds(m.Twalk, FIDS, FIDS, st.lists(NAMES, max_size=3)),
    st.builds(m.Tclunk, FIDS),
    st.builds(m.Tremove, FIDS),
    st.builds(m.Tread, FIDS, SIZES, SIZES),
    st.builds(m.Twrite, FIDS, SIZES, st.binary(max_size=200)),
    st.builds(m.Tgetattr, FIDS, st.just(0x3FFF)),
    st.builds(m.Tlopen, FIDS, st.sampled_from([0, 1, 2, 0o1000])),
    st.builds(m.Tlcreate, FIDS, NAMES, st.sampled_from([0, 2]), st.just(0o644), st.just(NO_ID)),
    st.builds(m.Tmkdir, FIDS, NAMES, st.just(0o755), st.just(NO_ID)),
    st.builds(m.Treaddir, FIDS, st.just(0), st.sampled_from([0, 10, 4000])),
    st.builds(m.Tfsync, FIDS, st.just(0)),
    st.builds(m.Txattrwalk, FIDS, FIDS, st.sampled_from([b"", b"user.a"])),
    st.builds(m.Txattrcreate, FIDS, st.just(b"user.a"), SIZES, st.just(0)),
    st.builds(m.Tlock, FIDS, st.integers(0, 3), st.just(0), st.just(0), SIZES, st.just(1), st.just(b"me")),
    st.builds(m.Tattach, FIDS, st.just(m.NOFID), st.just(b"root"), st.sampled_from([b"", b"no"]), st.just(0)),
    st.builds(m.Tauth, FIDS, st.just(b"root"), st.just(b""), st.just(0)),
    st.builds(m.Tflush, st.integers(100, 200)),  # of nothing: what is withdrawn depends on what has begun
)
BASE = (
    *(LINUX[i] for i in (0, 1, 2, 3, 4, 14, 16)),
    st.builds(m.Topen, FIDS, st.sampled_from([0, 1, 2, 0x10, 0x40])),
    st.builds(m.Tcreate, FIDS, NAMES, st.sampled_from([0o644, DMDIR | 0o755]), st.sampled_from([0, 2])),
    st.builds(m.Tstat, FIDS),
    st.builds(
        m.Twstat,
        FIDS,
        st.builds(lambda name: Stat(name=name, mode=0o600, n_uid=NO_ID, n_gid=NO_ID, n_muid=NO_ID), NAMES),
    ),
)
CUT = st.integers(0, 30)
"""So many bytes of a frame are left out at its end, mostly none: what is malformed is answered
alike, too.
"""


def opened(dialect: bytes) -> list[m.Message]:
    """Fid 1 becomes a file, open for reading and writing."""
    create: m.Message = m.Tcreate(1, b"a", 0o644, 2)
    return [m.Twalk(0, 1, []), m.Tlcreate(1, b"a", 2, 0o644, NO_ID) if dialect == b"9P2000.L" else create]


def frames_of(
    dialect: bytes, begin: Sequence[m.Message] = (), more: Sequence[st.SearchStrategy[m.Message]] = ()
) -> st.SearchStrategy[list[bytes]]:
    """Whole messages: a version, an attach, those of ``begin``, and any; ``more`` are some more to
    draw from.
    """
    messages = st.one_of(*(LINUX if dialect == b"9P2000.L" else BASE), *more)
    form = codec(EXTENDED if dialect != b"9P2000" else PLAIN)

    def encode(drawn: list[tuple[m.Message, int]]) -> list[bytes]:
        start = [m.Tversion(MSIZE, dialect), m.Tattach(0, m.NOFID, b"root", b"", 0), *begin]
        frames = []
        for tag, message in enumerate([*start, *(one for one, _ in drawn)]):
            frame = b"".join(bytes(part) for part in form.encode(tag, message))
            cut = max(0, drawn[tag - len(start)][1] - 25) if tag >= len(start) else 0
            size = max(7, len(frame) - cut)
            frames.append(size.to_bytes(4, "little") + frame[4:size])
        return frames

    return st.lists(st.tuples(messages, CUT), max_size=40).map(encode)


class Sink:
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, buffer: Buffer) -> None:
        self.written += bytes(buffer)

    def write_all(self, buffers: Sequence[Buffer]) -> None:
        self.written += b"".join(map(bytes, buffers))

    def pause(self) -> None:
        """Nothing is read here."""

    resume = close = abort = pause


class AtOnce:
    """Worker threads that are none."""

    def submit(self, storage: Hashable, call: Callable[..., Any], /, *args: Any) -> Future[Any]:
        del storage
        future: Future[Any] = Future()
        try:
            future.set_result(call(*args))
        except Exception as error:  # noqa: BLE001 - the future has it
            future.set_exception(error)
        return future


def exports_of(kind: str) -> Exports:
    return Exports([Export("", MemoryDriver(clock=lambda: 0), [LAYERS[kind]])])


def state(session: Session) -> object:
    """What a session holds, in words."""
    fids = {
        number: (fid.node.qid, fid.flags, fid.file is None, fid.directory is None, type(fid.xattr), fid.remove_on_clunk)
        for number, fid in sorted(session.fids.items())
    }
    return fids, session.dialect, session.msize, session.xattr_bytes, len(session.opened), len(session.listing)


def replies(written: bytes) -> dict[int, bytes]:
    """By tag."""
    found: dict[int, bytes] = {}
    while written:
        size = int.from_bytes(written[:4], "little")
        tag = int.from_bytes(written[5:7], "little")
        assert tag not in found
        found[tag], written = written[:size], written[size:]
    return found


def by_dispatcher(kind: str, frames: list[bytes]) -> tuple[dict[int, bytes], object]:
    limits = Limits()
    dispatcher = Dispatcher(exports=exports_of(kind), limits=limits, budgets=Budgets(limits))
    requests, pool = dispatcher.requests, AtOnce()
    for frame in frames:
        dispatcher.dispatch(len(frame), frame[4], frame[5] | frame[6] << 8, frame, 0)
        while requests.ready:
            request = requests.next()
            dispatcher.finish(
                request, pool.submit(None, request.entry.row.handler, request.session, *request.fields).result
            )
    return replies(b"".join(map(bytes, dispatcher.out))), state(dispatcher.session)
