"""OPENDIR, READDIR, READDIRPLUS: listings.

Entries come from the driver in the format of Rreaddir, or through ``server.entries``, which gives
them offsets below 2**31; both are turned into the kernel's records here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ninep.errors import Refused
from ninep.fuse.session import LOOKUP_MASK, DirectoryEntry, Opened, Session
from ninep.linux import DT_UNKNOWN, NAME_MAX, Errno
from ninep.node import Node, OpenDir, WouldBlock, may_wait
from ninep.wire.codec import DIRENT_SIZE
from ninep.wire.cookies import FAR, LAST_NUMBER
from ninep.wire.fuse_codec import NO_ENTRY, dirent_size, entries_of, pack_dirent, pack_entry, pack_open
from ninep.wire.types import QT_DIR

DOTS: Final = frozenset({b".", b".."})
MAX_READ: Final = 1 << 16
"""Bytes of one reply: some 2,000 entries ..."""
MAX_PLUS: Final = 1 << 15
"""... or 200 with their attributes, each of which is a look-up. So much is asked of the driver then,
whatever the kernel asks for (Linux 6.1: a page), and the rest kept: fewer replies are cut short.
"""


def opendir(session: Session, nodeid: int, uid: int, gid: int, flags: int, open_flags: int) -> bytes:
    """Open a directory for listing."""
    del gid, open_flags
    entry = session.entry(nodeid)
    if not entry.node.qid.type & QT_DIR:
        raise Refused(Errno.ENOTDIR)
    session.reserve_open()
    session.reserve_listing()
    opened = Opened(entry, session.export, flags, session.owner(uid), directory=entry.node.opendir())
    return pack_open(session.open(opened), 0)


def _listing(session: Session, fh: int) -> tuple[Opened, OpenDir]:
    opened = session.handle(fh)
    if opened.directory is None:
        raise Refused(Errno.ENOTDIR, f"handle {fh} is a file's")
    return opened, opened.directory


def _entries(opened: Opened, directory: OpenDir, offset: int, room: int) -> Sequence[DirectoryEntry]:
    """Entries after ``offset``, as far as they are at hand: more than fit into a reply."""
    place, ahead = opened.ahead
    if ahead and place == offset:
        return ahead
    if offset > LAST_NUMBER:
        return ()  # no listing gives that offset: it is behind all entries
    packed = directory.read_packed(offset, room)
    if packed is None:
        if directory.packs:
            raise Refused(Errno.EINVAL, f"{room} bytes are too few for an entry")
        packed = opened.listing(directory).read(offset, room)
    return list(entries_of(packed))


def _far(session: Session, opened: Opened, directory: OpenDir, offset: int) -> bool:
    """Thousands of entries have to be counted to find the place."""
    if offset <= FAR or offset > LAST_NUMBER or not session.threadsafe:
        return False
    return directory.is_far(offset) if directory.packs else opened.listing(directory).is_far(offset)


def _read(session: Session, fh: int, offset: int, size: int, parent: Node | None) -> bytes:
    """Whole entries after ``offset``, as many as fit; with ``parent`` each with its attributes."""
    opened, directory = _listing(session, fh)
    plus = parent is not None
    size = min(size, MAX_PLUS if plus else MAX_READ)
    if not opened.guard.acquire(blocking=may_wait()):
        raise WouldBlock
    try:
        if opened.ahead[0] != offset and not may_wait() and _far(session, opened, directory, offset):
            raise WouldBlock
        pieces: list[bytes] = []
        asked = MAX_PLUS if plus else max(size, DIRENT_SIZE + NAME_MAX)
        entries = _entries(opened, directory, offset, asked)
        opened.keep_ahead(0, ())
        for number, (inode, after, kind, name) in enumerate(entries):
            size -= dirent_size(name, plus=plus)
            if size < 0:
                if not pieces:
                    raise Refused(Errno.EINVAL, "too little room for an entry")
                # They are not read twice, and the driver is asked where it has got to.
                opened.keep_ahead(entries[number - 1][1], entries[number:])
                break
            if parent is None:
                pieces.append(pack_dirent(inode, after, kind, name))
            elif name in DOTS:
                pieces += NO_ENTRY, pack_dirent(inode, after, kind, name)
            else:
                entry, known = _plus(session, parent, name)
                pieces += entry, pack_dirent(inode, after, known or kind, name)
        return b"".join(pieces)
    finally:
        opened.guard.release()


def _plus(session: Session, parent: Node, name: bytes) -> tuple[bytes, int]:
    """The attributes of an entry, which the kernel then has a reference to, and its type; none if they
    cannot be had, or not now.
    """
    try:
        node, attributes = parent.look_up(name, LOOKUP_MASK)
        entry = session.enter(node, attributes)
    except OSError:
        return NO_ENTRY, DT_UNKNOWN
    return pack_entry(entry.nodeid, attributes, session.timeout), attributes.mode >> 12 & 15


def readdir(session: Session, nodeid: int, uid: int, gid: int, fh: int, offset: int, size: int, *rest: int) -> bytes:
    """Entries."""
    del nodeid, uid, gid, rest
    return _read(session, fh, offset, size, None)


def readdirplus(
    session: Session, nodeid: int, uid: int, gid: int, fh: int, offset: int, size: int, *rest: int
) -> bytes:
    """Entries with their attributes, looked up."""
    del nodeid, uid, gid, rest
    return _read(session, fh, offset, size, session.handle(fh).entry.node)
