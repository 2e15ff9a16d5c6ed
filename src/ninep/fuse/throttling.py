"""The limits of an export for the requests of a mount: ``server.shares`` for FUSE.

Counted is what a 9P client would have to ask for: READ, READDIR and WRITE by their data, all others as
operations, but for those that begin and end a mount, give back a node or a handle, or say what happens
to another request. The user is the one that the request names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ninep.fuse.session import Session
from ninep.server.shares import Waiting
from ninep.wire.buffers import length
from ninep.wire.fuse import IN_HEADER_SIZE, OUT_HEADER_SIZE, Opcode
from ninep.wire.fuse_codec import unpack_header, unpack_out_header
from ninep.wire.types import Buffer

UNCOUNTED: Final = frozenset({
    Opcode.INIT, Opcode.DESTROY, Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT, Opcode.NOTIFY_REPLY,
    Opcode.FLUSH, Opcode.RELEASE, Opcode.RELEASEDIR,
})  # fmt: skip
CHANGES: Final = frozenset({
    Opcode.SETATTR, Opcode.SYMLINK, Opcode.MKNOD, Opcode.MKDIR, Opcode.CREATE, Opcode.TMPFILE, Opcode.LINK,
    Opcode.UNLINK, Opcode.RMDIR, Opcode.RENAME, Opcode.RENAME2, Opcode.WRITE, Opcode.FSYNC, Opcode.FSYNCDIR,
    Opcode.SYNCFS, Opcode.FALLOCATE, Opcode.COPY_FILE_RANGE, Opcode.SETXATTR, Opcode.REMOVEXATTR,
})  # fmt: skip
WITH_DATA: Final = frozenset({Opcode.READ, Opcode.WRITE, Opcode.READDIR, Opcode.READDIRPLUS})
SIZE_AT: Final = IN_HEADER_SIZE + 16
"""All ``WITH_DATA`` have fh, offset and size, as fuse_read_in and fuse_write_in."""


class FuseShare(Waiting[bytes]):
    """Of one mount."""

    def admits(self, frame: bytes, payload: Sequence[memoryview] | None) -> bool:
        """Whether the time of a request has come. Otherwise it is held, copied, and ``take`` has it
        later.
        """
        size = len(frame) + (0 if payload is None else length(payload))
        if self._held is not None or len(frame) < IN_HEADER_SIZE or unpack_header(frame)[0] != size:
            return True  # what is wrong with it is for the dispatcher
        try:
            self.next(iter((frame,)))
        except StopIteration:
            self._held = frame if payload is None else b"".join((frame, *payload))
            return False
        return True

    def take(self) -> bytes | None:
        """The request that was held, if its time has come."""
        try:
            return self.next(iter(()))
        except StopIteration:
            return None

    def _count(self, request: bytes) -> float:
        _, opcode, unique, _, uid, *_ = unpack_header(request)
        if opcode in UNCOUNTED or self._connection is None:
            return 0.0
        session: Session = self._connection.session  # type: ignore[assignment] # that of FUSE
        if not session.export.throttle.active:
            return 0.0
        octets = 0
        if opcode in WITH_DATA:
            octets = min(int.from_bytes(request[SIZE_AT : SIZE_AT + 4], "little"), session.max_write)
        writes = opcode in CHANGES
        return self._put(session.export, session.owner(uid), octets, writes=writes, reads=None if writes else unique)

    def placed(self, frame: bytes, size: int) -> None:
        """A reply of so many bytes is in its place."""
        if self._reads:
            self._got(unpack_header(frame)[2], size - OUT_HEADER_SIZE)

    def replies(self, replies: Sequence[Sequence[Buffer]]) -> None:
        """These are about to be sent."""
        for reply in replies if self._reads else ():
            size, _, unique = unpack_out_header(reply[0])
            self._got(unique, size - OUT_HEADER_SIZE)
