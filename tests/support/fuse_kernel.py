"""The other side of FUSE for tests: a kernel that asks a dispatcher, without threads or a transport.

    kernel = Kernel(export)
    kernel.init()
    node = kernel.lookup(ROOT, b"name")
    kernel.ask(Opcode.GETATTR, node, 0, 0, 0)      # the body of the reply, or Failed

What would run in a worker thread runs when the kernel waits for it. ``end`` closes the session and
checks that everything was given back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from struct import Struct
from typing import Any, NamedTuple

import pytest

from ninep.drivers.memory import MemoryDriver
from ninep.fuse.dispatcher import LATER, NEVER, Dispatcher
from ninep.linux import O_RDONLY, Errno
from ninep.node import Driver, Node, User, serve_in_this_thread
from ninep.server.budgets import Budgets
from ninep.server.exports import Export
from ninep.server.limits import Limits
from ninep.testing.audit import Audit
from ninep.transport.fuse import DEFAULT, MountOptions
from ninep.wire import fuse as f
from ninep.wire import fuse_codec as codec
from ninep.wire.fuse import Init, Opcode

ROOT = f.ROOT_ID
OFFERED = Init((1 << 31) - 1)
"""Flags of a kernel that knows all of them."""
_ATTR = Struct("<QQQqqqIIIIIIIIII")


class Failed(Exception):
    """An error reply."""

    def __init__(self, code: int) -> None:
        super().__init__(Errno(code).name)
        self.code = Errno(code)


@contextmanager
def refused(code: Errno) -> Iterator[None]:
    """The request inside fails with this errno."""
    with pytest.raises(Failed) as caught:
        yield
    assert caught.value.code is code, f"{caught.value} instead of {code.name}"


class Attr(NamedTuple):
    """``struct fuse_attr``."""

    ino: int
    size: int
    blocks: int
    atime: int
    mtime: int
    ctime: int
    atimensec: int
    mtimensec: int
    ctimensec: int
    mode: int
    nlink: int
    uid: int
    gid: int
    rdev: int
    blksize: int
    flags: int


class Made(NamedTuple):
    """What LOOKUP and its like answer."""

    nodeid: int
    attr: Attr
    fh: int = 0
    open_flags: int = 0


def entry_of(body: bytes) -> Made:
    """The parts of ``fuse_entry_out``, and of what CREATE adds."""
    made = Made(int.from_bytes(body[:8], "little"), Attr._make(_ATTR.unpack_from(body, 40)))
    if len(body) > codec.ENTRY_OUT_SIZE:
        made = made._replace(fh=int.from_bytes(body[128:136], "little"), open_flags=body[136])
    return made


class Kernel:
    """One kernel. ``layers`` are put around the driver, under an audit."""

    def __init__(
        self,
        driver: Driver | None = None,
        layers: Sequence[Callable[[Node, User], Node]] = (),
        *,
        limits: Limits | None = None,
        options: MountOptions = DEFAULT,
        audited: bool = True,
        export: Export | None = None,
    ) -> None:
        self.audit = Audit()
        self.limits = limits or Limits()
        self.export = export or Export(
            "", driver or MemoryDriver(clock=lambda: 0), [*layers, *([self.audit] if audited else [])]
        )
        self.budgets = Budgets(self.limits)
        self.dispatcher = Dispatcher(export=self.export, limits=self.limits, budgets=self.budgets, options=options)
        self.unique = 0
        self.uid = self.gid = 0
        self.replies: dict[int, bytes] = {}
        self.in_loop = True
        """Requests are dispatched as in an event loop, where nothing may wait."""

    # -- requests

    def send(self, opcode: Opcode, nodeid: int, *fields: Any, unique: int = 0, **named: Any) -> int:
        """Send a request; its ``unique``."""
        if not unique:
            self.unique += 2
            unique = self.unique
        frame = codec.pack_request(opcode, unique, nodeid, *fields, uid=self.uid, gid=self.gid, **named)
        self.send_frame(frame)
        return unique

    def send_frame(self, frame: bytes) -> int:
        """Send whatever it is."""
        serve_in_this_thread(self.in_loop)
        try:
            written = self.dispatcher.dispatch(frame)
        finally:
            serve_in_this_thread(-self.in_loop)
        assert written in {LATER, NEVER}
        self.collect()
        return written

    def collect(self) -> None:
        """Take the replies that there are."""
        for reply in self.dispatcher.out:
            whole = b"".join(reply)
            length, error, unique = codec.unpack_out_header(whole)
            assert length == len(whole)
            assert unique not in self.replies, "answered twice"
            assert not error or len(whole) == f.OUT_HEADER_SIZE
            self.replies[unique] = whole
        self.dispatcher.out.clear()

    def run_threads(self) -> int:
        """Do what waits for worker threads; how much that was."""
        count = 0
        while self.dispatcher.ready:
            request = self.dispatcher.next()
            self.dispatcher.finish(request, request.call)
            count += 1
        self.collect()
        return count

    def reply(self, unique: int) -> bytes:
        """The body of a reply, or ``Failed``."""
        if unique not in self.replies:
            self.run_threads()
        reply = self.replies.pop(unique)
        error = codec.unpack_out_header(reply)[1]
        if error:
            raise Failed(-error)
        return reply[f.OUT_HEADER_SIZE :]

    def ask(self, opcode: Opcode, nodeid: int, *fields: Any, **named: Any) -> bytes:
        """Send a request and wait for its reply."""
        return self.reply(self.send(opcode, nodeid, *fields, **named))

    # -- what a kernel does often

    def init(self, flags: Init = OFFERED, minor: int = f.MINOR, more: bytes = bytes(48)) -> bytes:
        return self.ask(Opcode.INIT, 0, f.MAJOR, minor, 1 << 17, flags & 0xFFFFFFFF, more)

    def lookup(self, nodeid: int, name: bytes) -> int:
        return entry_of(self.ask(Opcode.LOOKUP, nodeid, name)).nodeid

    def attr(self, nodeid: int) -> Attr:
        return Attr._make(_ATTR.unpack_from(self.ask(Opcode.GETATTR, nodeid, 0, 0, 0), 16))

    def create(self, nodeid: int, name: bytes, mode: int = 0o644, flags: int = 0o102) -> Made:
        return entry_of(self.ask(Opcode.CREATE, nodeid, flags, 0o100000 | mode, 0, 0, name))

    def mkdir(self, nodeid: int, name: bytes, mode: int = 0o755) -> int:
        return entry_of(self.ask(Opcode.MKDIR, nodeid, mode, 0, name)).nodeid

    def open(self, nodeid: int, flags: int = O_RDONLY) -> int:
        return int.from_bytes(self.ask(Opcode.OPEN, nodeid, flags, 0)[:8], "little")

    def opendir(self, nodeid: int) -> int:
        return int.from_bytes(self.ask(Opcode.OPENDIR, nodeid, 0, 0)[:8], "little")

    def read(self, fh: int, offset: int = 0, size: int = 4096) -> bytes:
        return self.ask(Opcode.READ, 0, fh, offset, size, 0, 0, 0, 0)

    def write(self, fh: int, data: bytes, offset: int = 0, flags: int = 0, oflags: int = 0) -> int:
        """``oflags``: those of the open file at this moment (fcntl(2), F_SETFL)."""
        body = self.ask(Opcode.WRITE, 0, fh, offset, len(data), flags, 0, oflags, 0, data)
        return int.from_bytes(body[:4], "little")

    def release(self, fh: int) -> None:
        assert self.ask(Opcode.RELEASE, 0, fh, 0, 0, 0) == b""

    def forget(self, nodeid: int, lookups: int = 1) -> None:
        self.send(Opcode.FORGET, nodeid, lookups)

    def setattr(
        self,
        nodeid: int,
        valid: int,
        *,
        fh: int = 0,
        size: int = 0,
        mode: int = 0,
        uid: int = 0,
        gid: int = 0,
        atime: int = 0,
        mtime: int = 0,
        atimensec: int = 0,
        mtimensec: int = 0,
    ) -> Attr:
        fields = (valid, 0, fh, size, 0, atime, mtime, 0, atimensec, mtimensec, 0, mode, 0, uid, gid, 0)
        return Attr._make(_ATTR.unpack_from(self.ask(Opcode.SETATTR, nodeid, *fields), 16))

    def readdir(
        self, fh: int, offset: int = 0, size: int = 4096, *, plus: bool = False
    ) -> list[tuple[int, int, int, bytes, int]]:
        opcode = Opcode.READDIRPLUS if plus else Opcode.READDIR
        return codec.unpack_dirents(self.ask(opcode, 0, fh, offset, size, 0, 0, 0, 0), plus=plus)

    # -- the end

    def close_sessions(self) -> None:
        """Close the sessions that are over."""
        for session in self.dispatcher.over:
            session.finish()
            while session.nodes:
                errors = session.drop_some(100)
                assert not errors, errors
            session.end()
        self.dispatcher.over.clear()

    def end_of_session(self) -> None:
        """The kernel is gone."""
        self.dispatcher.abandon()
        self.close_sessions()
        self.dispatcher.end()

    def end(self) -> None:
        """The kernel is gone: everything must have been given back."""
        self.end_of_session()
        self.audit.check()
        assert not len(self.export.locks)
        left = self.budgets
        assert (left.fids.left, left.open_files.left) == (self.limits.all_fids, self.limits.all_open_files)
        assert left.bytes_in_flight.left == self.limits.all_bytes_in_flight
