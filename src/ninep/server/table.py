"""Which T-message goes where: one row each.

``handler`` does the work. ``now``, where there is one, is tried first in the event loop and may
raise ``WouldBlock``. ``waits`` marks what waits for a device by its nature and always goes to a
worker thread. ``in_place`` gets the transport's own memory as one more argument, for the data of
the request or of the reply, and returns the reply's count (``in_place.py``). ``reads`` and
``excludes`` are the positions of the fids among the fields, held while a request is in a worker
thread as by the readers and the writer of a lock: no other request may use a fid that it excludes
others from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ninep.server.handlers import attach, attributes, base, directories, files, locking, walk
from ninep.wire import messages as m
from ninep.wire.dialect import Dialect

Handler = Callable[..., tuple[Any, ...]]
InPlace = Callable[..., int]


class Row(NamedTuple):
    """How one T-message is served."""

    message: type[m.Message]
    handler: Handler
    reads: tuple[int, ...] = ()
    excludes: tuple[int, ...] = ()
    now: Handler | None = None
    waits: bool = False
    in_place: InPlace | None = None


ROWS = (
    Row(m.Tauth, attach.auth),
    Row(m.Tattach, attach.attach, excludes=(0,), now=attach.attach_now),
    Row(m.Twalk, walk.walk, reads=(0,), excludes=(1,)),
    Row(m.Topen, base.open_, excludes=(0,)),
    Row(m.Tcreate, base.create, excludes=(0,)),
    Row(m.Tread, files.read, reads=(0,), now=files.read_now, in_place=files.read_into),
    Row(m.Twrite, files.write, reads=(0,), in_place=files.write_from),
    Row(m.Tclunk, attach.clunk, excludes=(0,), now=attach.clunk_now),
    Row(m.Tremove, directories.remove, excludes=(0,)),
    Row(m.Tstat, base.stat, reads=(0,)),
    Row(m.Twstat, base.wstat, excludes=(0,), now=base.wstat_now),
    Row(m.Tstatfs, attributes.statfs, reads=(0,)),
    Row(m.Tlopen, files.lopen, excludes=(0,)),
    Row(m.Tlcreate, files.lcreate, excludes=(0,)),
    Row(m.Tsymlink, directories.symlink, reads=(0,)),
    Row(m.Tmknod, directories.mknod, reads=(0,)),
    Row(m.Trename, directories.rename, reads=(1,), excludes=(0,)),
    Row(m.Treadlink, attributes.readlink, reads=(0,)),
    Row(m.Tgetattr, attributes.getattr_, reads=(0,)),
    Row(m.Tsetattr, attributes.setattr_, reads=(0,)),
    Row(m.Txattrwalk, attributes.xattrwalk, reads=(0,), excludes=(1,)),
    Row(m.Txattrcreate, attributes.xattrcreate, excludes=(0,)),
    Row(m.Treaddir, directories.readdir, excludes=(0,), now=directories.readdir_now),
    Row(m.Tfsync, files.fsync, reads=(0,), waits=True),
    Row(m.Tlock, locking.lock, reads=(0,), now=locking.lock_now),
    Row(m.Tgetlock, locking.getlock, reads=(0,), now=locking.getlock_now),
    Row(m.Tlink, directories.link, reads=(0, 1)),
    Row(m.Tmkdir, directories.mkdir, reads=(0,)),
    Row(m.Trenameat, directories.renameat, reads=(0, 2)),
    Row(m.Tunlinkat, directories.unlinkat, reads=(0,)),
)

BY_DIALECT = {dialect: [row for row in ROWS if row.message in dialect.requests] for dialect in Dialect}


class Entry(NamedTuple):
    """A row with what was compiled for its messages: all that the request loop needs, in the order
    it unpacks it.
    """

    fixed: Callable[..., Any] | None
    size: int
    unpack: Callable[..., Any]
    inline: Handler | None
    pack: Callable[..., Any]
    payload: bool
    row: Row


def dispatch_table(dialect: Dialect) -> list[Entry | None]:
    """The entries of a dialect, indexed by the message's type."""
    entries: list[Entry | None] = [None] * 256
    compiled = dialect.codec.table
    for row in BY_DIALECT[dialect]:
        asked = compiled[row.message.number]
        reply = compiled[row.message.number + 1]
        inline = None if row.waits else row.now or row.handler
        entries[row.message.number] = Entry(
            asked.fixed, asked.size, asked.unpack, inline, reply.pack, reply.payload, row
        )
    return entries


TABLES = {dialect: dispatch_table(dialect) for dialect in Dialect}
