"""The stat record of 9P2000 and 9P2000.u, made from attributes and turned into changes (stat(5);
the 9P2000.u draft; QEMU stat_to_v9stat).

Plain 9P2000 carries DMDIR and 0777 only: a setuid bit there crashed Linux clients (CVE-2024-36964),
and it has no words for links and devices. Users and groups are decimal strings, and numbers as well
where the dialect has them.
"""

from __future__ import annotations

from ninep.errors import Refused
from ninep.linux import (
    GETATTR_BASIC,
    NO_ID,
    PERMISSIONS,
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFLNK,
    S_IFMT,
    S_IFSOCK,
    S_ISGID,
    S_ISUID,
    Errno,
)
from ninep.node import Attributes, Changes, Node
from ninep.wire.codec import STAT_BASE
from ninep.wire.modes import (
    DMAPPEND,
    DMDIR,
    DMEXCL,
    LEAVE32,
    LEAVE64,
    Encoding,
    major,
    minor,
    mode_to_wire,
    permissions_from_wire,
)
from ninep.wire.types import Qid, Stat

NANO = 1_000_000_000
LONGEST_ID = len(str(NO_ID))


def _extension(node: Node, a: Attributes) -> bytes:
    kind = a.mode & S_IFMT
    if kind == S_IFLNK:
        return node.readlink()
    if kind in {S_IFCHR, S_IFBLK}:
        return b"%c %d %d" % (b"c" if kind == S_IFCHR else b"b", major(a.rdev), minor(a.rdev))
    if kind in {S_IFIFO, S_IFSOCK}:
        return b""
    return b"HARDLINKCOUNT %d" % a.nlink


def _check_type_kept(asked: int, present: int, encoding: Encoding) -> None:
    kinds = encoding.kinds
    if asked & kinds != present & kinds and (asked & kinds or present & DMDIR):
        raise Refused(Errno.EPERM, "the type of a file cannot be changed")
    if asked & (DMAPPEND | DMEXCL):
        raise Refused(Errno.EPERM, "append-only and exclusive use are not kept here")


def stat_of(node: Node, encoding: Encoding) -> Stat:
    """The record of a node."""
    a = node.getattr(GETATTR_BASIC)
    kind = a.mode & S_IFMT
    return Stat(
        qid=Qid(a.qid_type, a.qid_version, a.qid_path),
        mode=mode_to_wire(a.mode, encoding),
        atime=a.atime_sec & 0xFFFFFFFF,
        mtime=a.mtime_sec & 0xFFFFFFFF,
        length=0 if kind == S_IFDIR else a.size,
        name=node.name,
        uid=b"%d" % a.uid,
        gid=b"%d" % a.gid,
        muid=b"%d" % a.uid,
        extension=_extension(node, a) if encoding.unix_fields else b"",
        n_uid=a.uid,
        n_gid=a.gid,
        n_muid=a.uid,
    )


def stat_size(stat: Stat, encoding: Encoding) -> int:
    """How many bytes the record takes, its own size included."""
    size = 2 + STAT_BASE + len(stat.name) + len(stat.uid) + len(stat.gid) + len(stat.muid)
    return size + 2 + len(stat.extension) + encoding.ids.size if encoding.unix_fields else size


def _identity(text: bytes, number: int, encoding: Encoding) -> int | None:
    """A user or group that Twstat asks for, or None to leave it. EINVAL for a word: only numbers
    are known here.
    """
    if encoding.unix_fields and number != NO_ID:
        return number
    if not text:
        return None
    if encoding.unix_fields:  # .u clients send names beside the numbers; the numbers count
        return None
    if not text.isdigit() or len(text) > LONGEST_ID or int(text) >= NO_ID:
        raise Refused(Errno.EINVAL, f"{text!r} is not a numeric id")
    return int(text)


def differing(changes: Changes, a: Attributes, encoding: Encoding) -> Changes:
    """What of the changes a file does not have already.

    A length that it has, which is 0 for a directory, is no change. And some clients send a record
    back as they got it, with one field changed or none: then what Rstat shows with this value is
    left alone (times are whole seconds there), or a file of another owner could not be touched. But
    what another of the changes moves is set all the same, so that the end is what was asked for: a
    truncation moves mtime, and with a chown it drops SUID and SGID. A record with some of these
    fields only is meant as it stands: a truncation of a file with such bits drops them, also one to
    the length that it has.
    """
    size, uid, gid, mode, atime, mtime = changes[:6]
    directory = a.mode & S_IFMT == S_IFDIR
    whole = not (size is None or mode is None or mtime is None)
    if size == (0 if directory else a.size) and (directory or whole or not a.mode & (S_ISUID | S_ISGID)):
        size = None
    if not whole:
        return changes._replace(size=size)
    if uid == a.uid:
        uid = None
    if gid == a.gid:
        gid = None
    shown = permissions_from_wire(mode_to_wire(a.mode, encoding), encoding)
    moved = shown & (S_ISUID | S_ISGID) and (size, uid, gid) != (None, None, None)
    if mode == shown and not moved:
        mode = None
    if atime == (a.atime_sec & 0xFFFFFFFF) * NANO:
        atime = None
    if mtime == (a.mtime_sec & 0xFFFFFFFF) * NANO and size is None:
        mtime = None
    return changes._replace(size=size, uid=uid, gid=gid, mode=mode, atime=atime, mtime=mtime)


def changes_of(stat: Stat, mode: int | None, encoding: Encoding, by: int) -> Changes | None:
    """What a Twstat asks to change besides the name; None if nothing. The type, dev, qid, muid and
    extension of the record are not looked at: nothing changes them, and clients send there what
    they have.

    ``mode`` is the file's present ``st_mode``: EPERM if another type is asked for (no type at all
    counts as the same, except for a directory), or append-only or exclusive use, which are not
    kept.
    """
    permissions = None
    if stat.mode != LEAVE32:
        if mode is not None:
            _check_type_kept(stat.mode, mode_to_wire(mode, encoding), encoding)
        permissions = permissions_from_wire(stat.mode, encoding) & PERMISSIONS
    changes = Changes(
        size=None if stat.length == LEAVE64 else stat.length,
        uid=_identity(stat.uid, stat.n_uid, encoding),
        gid=_identity(stat.gid, stat.n_gid, encoding),
        mode=permissions,
        atime=None if stat.atime == LEAVE32 else stat.atime * NANO,
        mtime=None if stat.mtime == LEAVE32 else stat.mtime * NANO,
        by=by,
    )
    return changes if changes != Changes(by=by) else None
