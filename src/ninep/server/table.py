"""Which T-message goes where: one row each.

``handler`` does the work. ``now``, where there is one, is tried first in the event loop and may raise ``WouldBlock``. ``waits`` marks what waits
for a device by its nature and always goes to a worker thread. ``shared`` and ``alone`` are the positions of the fids among the fields: while
a request is in a worker thread, no other may use the fids it has ``alone``, and none may have alone what it ``shares``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ninep.server.handlers import attach, attributes, base, directories, files, locking, walk
from ninep.wire import messages as m
from ninep.wire.dialect import Dialect

Handler = Callable[..., tuple[Any, ...]]


class Row(NamedTuple):
    """How one T-message is served."""

    message: type[m.Message]
    handler: Handler
    shared: tuple[int, ...] = ()
    alone: tuple[int, ...] = ()
    now: Handler | None = None
    waits: bool = False


BASE = (
    Row(m.Tauth, attach.auth),
    Row(m.Tattach, attach.attach, alone=(0,), now=attach.attach_now),
    Row(m.Twalk, walk.walk, shared=(0,), alone=(1,)),
    Row(m.Topen, base.open_, alone=(0,)),
    Row(m.Tcreate, base.create, alone=(0,)),
    Row(m.Tread, files.read, shared=(0,), now=files.read_now),
    Row(m.Twrite, files.write, shared=(0,)),
    Row(m.Tclunk, attach.clunk, alone=(0,), now=attach.clunk_now),
    Row(m.Tremove, directories.remove, alone=(0,)),
    Row(m.Tstat, base.stat, shared=(0,)),
    Row(m.Twstat, base.wstat, alone=(0,), now=base.wstat_now),
)
LINUX = (
    Row(m.Tstatfs, attributes.statfs, shared=(0,)),
    Row(m.Tlopen, files.lopen, alone=(0,)),
    Row(m.Tlcreate, files.lcreate, alone=(0,)),
    Row(m.Tsymlink, directories.symlink, shared=(0,)),
    Row(m.Tmknod, directories.mknod, shared=(0,)),
    Row(m.Trename, directories.rename, shared=(1,), alone=(0,)),
    Row(m.Treadlink, attributes.readlink, shared=(0,)),
    Row(m.Tgetattr, attributes.getattr_, shared=(0,)),
    Row(m.Tsetattr, attributes.setattr_, shared=(0,)),
    Row(m.Txattrwalk, attributes.xattrwalk, shared=(0,), alone=(1,)),
    Row(m.Txattrcreate, attributes.xattrcreate, alone=(0,)),
    Row(m.Treaddir, directories.readdir, alone=(0,), now=directories.readdir_now),
    Row(m.Tfsync, files.fsync, shared=(0,), waits=True),
    Row(m.Tlock, locking.lock, shared=(0,), now=locking.lock_now),
    Row(m.Tgetlock, locking.getlock, shared=(0,), now=locking.getlock_now),
    Row(m.Tlink, directories.link, shared=(0, 1)),
    Row(m.Tmkdir, directories.mkdir, shared=(0,)),
    Row(m.Trenameat, directories.renameat, shared=(0, 2)),
    Row(m.Tunlinkat, directories.unlinkat, shared=(0,)),
)

BY_DIALECT = {
    Dialect.BASE: BASE,
    Dialect.UNIX: BASE,
    Dialect.LINUX: BASE + LINUX,
    Dialect.UNKNOWN: (),
}


class Entry(NamedTuple):
    """A row with what was compiled for its messages: all that the request loop needs, in the order it unpacks it."""

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
