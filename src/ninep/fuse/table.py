"""Which request goes where: one row each.

``handler`` does the work. ``now``, where there is one, is tried first in the event loop and may raise
``WouldBlock``. ``waits`` marks what waits for a device by its nature. ``nodes`` and ``handles`` are the
positions of node ids and handles among the fields: they are kept while a request is in a worker thread,
and so is the node of the header.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from ninep.fuse.handlers import attributes, beginning, creation, directories, files, locks, names, ranges, xattrs
from ninep.wire.fuse import Opcode
from ninep.wire.fuse_codec import UNPACK, UNPACK_SETXATTR_EXT, Unpack
from ninep.wire.types import Buffer

Handler = Callable[..., Buffer]


class Row(NamedTuple):
    """How one request is served."""

    handler: Handler
    now: Handler | None = None
    waits: bool = False
    nodes: tuple[int, ...] = ()
    handles: tuple[int, ...] = ()
    into: Callable[..., int] | None = None
    """In the event loop: puts the data of the reply where they belong, its last argument, and returns
    their length. ``WouldBlock``.
    """
    source: Handler | None = None
    """In the event loop: as ``handler``, of data in several buffers. ``WouldBlock``."""


ROWS: Final[dict[Opcode, Row]] = {
    Opcode.LOOKUP: Row(names.lookup),
    Opcode.GETATTR: Row(attributes.getattr_),
    Opcode.STATX: Row(attributes.statx),
    Opcode.SETATTR: Row(attributes.setattr_, handles=(2,)),
    Opcode.READLINK: Row(attributes.readlink),
    Opcode.STATFS: Row(attributes.statfs),
    Opcode.SYMLINK: Row(creation.symlink),
    Opcode.MKNOD: Row(creation.mknod),
    Opcode.MKDIR: Row(creation.mkdir),
    Opcode.CREATE: Row(creation.create),
    Opcode.TMPFILE: Row(creation.tmpfile),
    Opcode.LINK: Row(names.link, nodes=(0,)),
    Opcode.UNLINK: Row(names.unlink),
    Opcode.RMDIR: Row(names.rmdir),
    Opcode.RENAME: Row(names.rename, nodes=(0,)),
    Opcode.RENAME2: Row(names.rename2, nodes=(0,)),
    Opcode.OPEN: Row(files.open_),
    Opcode.READ: Row(files.read, now=files.read_now, handles=(0,), into=files.read_into),
    Opcode.WRITE: Row(files.write, handles=(0,), source=files.write_from),
    Opcode.FLUSH: Row(files.flush, now=partial(files.flush, wait=False), handles=(0,)),
    Opcode.RELEASE: Row(files.release, now=files.release_now),
    Opcode.FSYNC: Row(files.fsync, waits=True, handles=(0,)),
    Opcode.FSYNCDIR: Row(files.fsync, waits=True, handles=(0,)),
    Opcode.SYNCFS: Row(files.syncfs, waits=True),
    Opcode.FALLOCATE: Row(ranges.fallocate, handles=(0,)),
    Opcode.LSEEK: Row(ranges.lseek, handles=(0,)),
    Opcode.COPY_FILE_RANGE: Row(ranges.copy_file_range, nodes=(2,), handles=(0, 3)),
    Opcode.OPENDIR: Row(directories.opendir),
    Opcode.READDIR: Row(directories.readdir, handles=(0,)),
    Opcode.READDIRPLUS: Row(directories.readdirplus, handles=(0,)),
    Opcode.RELEASEDIR: Row(files.release, now=files.release_now),
    Opcode.GETXATTR: Row(xattrs.getxattr),
    Opcode.LISTXATTR: Row(xattrs.listxattr),
    Opcode.SETXATTR: Row(xattrs.setxattr),
    Opcode.REMOVEXATTR: Row(xattrs.removexattr),
    Opcode.GETLK: Row(locks.getlk, now=partial(locks.getlk, wait=False), handles=(0,)),
    Opcode.SETLK: Row(locks.setlk, now=partial(locks.setlk, wait=False), handles=(0,)),
    Opcode.SETLKW: Row(locks.setlkw, now=partial(locks.setlkw, wait=False), handles=(0,)),
}

ABSENT: Final[dict[Opcode, str]] = {
    Opcode.ACCESS: "the kernel checks permissions itself (default_permissions)",
    Opcode.BMAP: "files have no blocks of a device that the kernel has",
    Opcode.IOCTL: "no ioctl of the host is a client's business",
    Opcode.POLL: "files are always ready",
    Opcode.SETUPMAPPING: "no window of shared memory",
    Opcode.REMOVEMAPPING: "no window of shared memory",
}
"""ENOSYS, and why: the kernel then does not ask again, and does without."""

SILENT: Final = frozenset({Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT, Opcode.NOTIFY_REPLY})
"""Never answered."""


class Compiled(NamedTuple):
    """A row with what takes its request apart, in the order in which the dispatcher needs it."""

    unpack: Unpack
    inline: Handler | None
    row: Row
    opcode: Opcode
    into: Callable[..., int] | None = None
    source: Handler | None = None


def compiled(opcode: Opcode, unpack: Unpack | None = None) -> Compiled:
    """The entry of an opcode."""
    row = ROWS[opcode]
    inline = None if row.waits else row.now or row.handler
    return Compiled(unpack or UNPACK[opcode], inline, row, opcode, row.into, row.source)


INIT: Final = Compiled(UNPACK[Opcode.INIT], beginning.init, Row(beginning.init), Opcode.INIT)
TABLE: Final = {int(opcode): compiled(opcode) for opcode in ROWS}
TABLE_SETXATTR_EXT: Final = TABLE | {
    int(Opcode.SETXATTR): Compiled(UNPACK_SETXATTR_EXT, xattrs.setxattr_ext, Row(xattrs.setxattr_ext), Opcode.SETXATTR)
}
"""The table of a kernel that sends SETXATTR with more fields."""
