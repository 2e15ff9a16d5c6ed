"""The messages that 9P2000.L replaced: Topen, Tcreate, Tstat, Twstat. Plain 9P2000 and 9P2000.u
live on them, FreeBSD uses Tcreate in .L.
"""

from __future__ import annotations

import re

from ninep.errors import Refused, linux_errno
from ninep.linux import (
    GETATTR_BASIC,
    GETATTR_GID,
    GETATTR_MODE,
    NO_ID,
    O_APPEND,
    O_EXCL,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
    S_IFBLK,
    S_IFCHR,
    S_IFIFO,
    S_IFSOCK,
    Errno,
)
from ninep.node import Changes, Node, WouldBlock
from ninep.server.fids import Fid
from ninep.server.handlers import names
from ninep.server.handlers.changing import change_all
from ninep.server.handlers.directories import check_target
from ninep.server.handlers.files import MAX_OFFSET, open_fid
from ninep.server.session import Session
from ninep.server.stat_record import changes_of, differing, stat_of, stat_size
from ninep.server.steps import Steps
from ninep.wire.codec import HEADER_SIZE
from ninep.wire.modes import (
    DMAUTH,
    DMDEVICE,
    DMDIR,
    DMLINK,
    DMNAMEDPIPE,
    DMSOCKET,
    DMSYMLINK,
    EXTENDED,
    makedev,
    permissions_from_wire,
)
from ninep.wire.types import Qid, Stat

DEVICE = re.compile(rb"([bc]) ([0-9]{1,7}) ([0-9]{1,7})")
FID = re.compile(rb"([0-9]{1,10})\n?")
"""Linux puts a newline behind it (fs/9p/vfs_inode.c, v9fs_vfs_link)."""

OREAD, OWRITE, ORDWR, OEXEC = range(4)
OEXCL = 0x04
OTRUNC = 0x10
OCEXEC = 0x20
ORCLOSE = 0x40
OAPPEND = 0x80

ACCESS = {OREAD: O_RDONLY, OWRITE: O_WRONLY, ORDWR: O_RDWR, OEXEC: O_RDONLY}
SPECIAL = DMSYMLINK | DMLINK | DMDEVICE | DMNAMEDPIPE | DMSOCKET
KINDS = SPECIAL | DMDIR


def flags_of(mode: int) -> int:
    """A 9P2000 mode byte as Linux flags (open(5); QEMU omode_to_uflags)."""
    flags = ACCESS[mode & 3]
    if mode & OTRUNC:
        flags |= O_TRUNC
    if mode & OAPPEND:
        flags |= O_APPEND
    return flags


def open_(session: Session, fid: int, mode: int) -> tuple[Qid, int]:
    """Open with a mode byte. Remove-on-clunk is remembered; a directory can only be read."""
    held = session.fid(fid)
    if mode & ORCLOSE:
        held.node.check_remove()
    reply = open_fid(session, held, flags_of(mode))
    held.set_remove_on_clunk(bool(mode & ORCLOSE))
    return reply


def create(session: Session, fid: int, name: bytes, perm: int, mode: int, extension: bytes = b"") -> tuple[Qid, int]:
    """Create and open; the fid becomes the new file. In the extended encodings also links, devices,
    FIFOs and sockets, which are not opened.

    DMAPPEND, DMEXCL and DMTMP are taken and not kept, as by other servers on Unix files: no host
    keeps them. The new file's qid and mode do not have them, which is how a client learns of it; a
    Twstat that asks for one is refused (``stats``). A file for authentication is not made (DMAUTH).
    """
    names.check(name, names.CREATE)
    held = session.fid(fid)
    if held.opened:
        raise Refused(Errno.EINVAL, "the fid is open already")
    session.reserve_open()
    kind = perm & KINDS
    if kind & (kind - 1) or perm & DMAUTH or (kind & SPECIAL and not session.dialect.unix_files):
        raise Refused(Errno.EINVAL, f"permissions {perm:#x}")
    if kind & SPECIAL:
        return _create_special(session, held, name, perm, extension)
    permissions = permissions_from_wire(perm, session.encoding)
    if not session.dialect.unix_files:
        # open(5): a new file gets no permission for others that its directory does not give
        inherited = held.node.getattr(GETATTR_MODE).mode
        permissions &= inherited | (~0o777 if perm & DMDIR else ~0o666)
    if perm & DMDIR:
        if mode & ~(OCEXEC | ORCLOSE | OEXCL) not in {OREAD, OEXEC}:
            raise Refused(Errno.EISDIR, "a directory cannot be opened for writing")
        session.reserve_listing()
        group, step = _group(held.node), Steps()
        step(held.node.mkdir, name, permissions, held.user.uid, group)
        _become(held, name, step)
        reply = step(open_fid, session, held, O_RDONLY)
    else:
        # create(5): an existing file is an error. .u clients expect open(2), which says so by
        # O_EXCL only.
        flags = flags_of(mode) | (O_EXCL if mode & OEXCL or not session.dialect.unix_files else 0)
        node, file = held.node.create(name, flags, permissions, held.user.uid, _group(held.node))
        held.become(node)
        held.open(file, flags)
        session.open(held)
        reply = node.qid, session.iosize(4096)
    held.set_remove_on_clunk(bool(mode & ORCLOSE))
    return reply


def _group(directory: Node) -> int:
    """The group of a new file, which Tcreate has no word for."""
    return directory.getattr(GETATTR_GID).gid if directory.bsd_groups else NO_ID


def _become(held: Fid, name: bytes, step: Steps) -> None:
    held.become(step(held.node.walk, name))


def _device(extension: bytes) -> tuple[int, int]:
    """``c MAJOR MINOR`` or ``b MAJOR MINOR`` as type bits and device number."""
    found = DEVICE.fullmatch(extension)
    if found is None:
        raise Refused(Errno.EINVAL, f"{extension!r} is not a device")
    return S_IFCHR if found[1] == b"c" else S_IFBLK, makedev(int(found[2]), int(found[3]))


def _create_special(session: Session, held: Fid, name: bytes, perm: int, extension: bytes) -> tuple[Qid, int]:
    uid, node = held.user.uid, held.node
    gid = _group(node)
    permissions = permissions_from_wire(perm, EXTENDED)
    step = Steps()
    if perm & DMSYMLINK:
        check_target(extension)
        step(node.symlink, name, extension, uid, gid)
    elif perm & DMLINK:
        found = FID.fullmatch(extension)
        if found is None:
            raise Refused(Errno.EINVAL, f"{extension!r} is not a fid")
        target = session.fid(int(found[1]))
        if target.export is not held.export:
            raise Refused(Errno.EXDEV)
        step(node.link, target.node, name)
    elif perm & DMDEVICE:
        kind, rdev = _device(extension)
        step(node.mknod, name, kind | permissions, rdev, uid, gid)
    else:
        step(node.mknod, name, (S_IFIFO if perm & DMNAMEDPIPE else S_IFSOCK) | permissions, 0, uid, gid)
    _become(held, name, step)
    return held.node.qid, 0


def stat(session: Session, fid: int) -> tuple[Stat]:
    """The stat record. A link whose target does not fit is shown without it, as in a listing, never
    with a part of it, which would lead somewhere else: Linux's client needs a record even to remove
    the link.
    """
    record = stat_of(session.fid(fid).node, session.encoding)
    size = HEADER_SIZE + 2 + stat_size(record, session.encoding)
    if size > session.msize and record.extension:
        size -= len(record.extension)
        record = record._replace(extension=b"")
    session.check_reply_size(size)
    return (record,)


def wstat_now(session: Session, fid: int, stat: Stat) -> tuple[()]:
    """Twstat in the event loop, unless it asks for an fsync."""
    if not stat.name and changes_of(stat, None, session.encoding, NO_ID) is None:
        raise WouldBlock
    return wstat(session, fid, stat)


def wstat(session: Session, fid: int, stat: Stat) -> tuple[()]:
    """Change what is not all ones or empty, all of it or nothing (``changing`` tells how); with
    nothing to change, an fsync.
    """
    held = session.fid(fid)
    node = held.node
    changes = _asked(session, held, stat)
    if changes is None and not stat.name:
        opened = held.file or held.directory
        if opened is not None:
            opened.fsync(False)
        else:
            node.fsync()
        return ()
    renamed = stat.name and stat.name != node.name
    if renamed and not session.dialect.unix_files:
        _check_free(held, stat.name)
    change_all(held, stat.name if renamed else None, changes or Changes())
    return ()


def _asked(session: Session, held: Fid, stat: Stat) -> Changes | None:
    """What a Twstat asks for besides a name, if it may be asked; without what the file has already
    (perhaps nothing is left).
    """
    if held.xattr is not None:
        raise Refused(Errno.EINVAL, "an attribute has no attributes")
    present = held.node.getattr(GETATTR_BASIC)
    changes = changes_of(stat, present.mode, session.encoding, held.user.uid)
    if stat.name and (
        changes is None or stat.name != held.node.name
    ):  # in a record sent back the root is called as Rstat calls it
        names.check(stat.name, names.RENAME)
    if changes is None:
        return None
    if changes.size is not None and changes.size > MAX_OFFSET:
        raise Refused(Errno.EINVAL, f"size {changes.size}")
    return differing(changes, present, session.encoding)


def _check_free(held: Fid, name: bytes) -> None:
    """EEXIST where stat(5) makes it an error to change the name to that of an existing file; .u
    clients expect rename(2).
    """
    directory = held.node.parent()
    try:
        found = directory.walk(name)
    except OSError as error:
        if linux_errno(error) is not Errno.ENOENT:
            raise
    else:
        found.release()
        raise Refused(Errno.EEXIST)
    finally:
        directory.release()
