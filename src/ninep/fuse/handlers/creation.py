"""MKNOD, MKDIR, SYMLINK, CREATE, TMPFILE: what is made, and its owner.

The kernel checks permissions, takes the umask off the mode, and names a user and a group. The rule
of a directory with SGID is left to the file system (inode_init_owner of fs/inode.c): what is made
there gets its group, and a directory SGID as well.
"""

from __future__ import annotations

from ninep.errors import Refused, linux_errno
from ninep.fuse.acl import Inherited
from ninep.fuse.handlers.files import OPEN_FLAGS, open_flags_of
from ninep.fuse.handlers.names import check, entered, made
from ninep.fuse.session import Opened, Session
from ninep.linux import (
    GETATTR_BASIC,
    O_ACCMODE,
    O_EXCL,
    O_RDWR,
    O_WRONLY,
    PERMISSIONS,
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFMT,
    S_IFREG,
    S_ISGID,
    Errno,
)
from ninep.node import Node, OpenFile
from ninep.server.handlers.directories import MAKEABLE, check_target
from ninep.server.handlers.names import CREATE
from ninep.server.steps import Steps
from ninep.wire.fuse_codec import pack_create


def _group(directory: Node, gid: int) -> tuple[int, int]:
    """The group of a new entry, and the SGID bit of a new directory."""
    here = directory.getattr(GETATTR_BASIC)
    return (here.gid, S_ISGID) if here.mode & S_ISGID else (gid, 0)


def mknod(
    session: Session, nodeid: int, uid: int, gid: int, mode: int, rdev: int, umask: int, pad: int, name: bytes
) -> bytes:
    """Make a device, FIFO, socket or file."""
    del pad
    check(name, CREATE)
    kind = mode & S_IFMT
    if kind not in MAKEABLE:
        raise Refused(Errno.EINVAL, f"file type {kind:#o}")
    directory, step = session.node(nodeid), Steps()
    group = _group(directory, gid)[0]
    # new_encode_dev() is the layout of glibc for majors below 4096
    inherited = Inherited(session, directory, name, mode, umask)
    rdev = rdev if kind in {S_IFCHR, S_IFBLK} else 0
    step(directory.mknod, name, inherited.mode, rdev, session.owner(uid), group)
    return made(session, directory, name, step, inherited)


def mkdir(session: Session, nodeid: int, uid: int, gid: int, mode: int, umask: int, name: bytes) -> bytes:
    """Make a directory."""
    check(name, CREATE)
    directory, step = session.node(nodeid), Steps()
    group, sgid = _group(directory, gid)
    inherited = Inherited(session, directory, name, S_IFDIR | mode & PERMISSIONS, umask)
    step(directory.mkdir, name, inherited.mode & PERMISSIONS | sgid, session.owner(uid), group)
    return made(session, directory, name, step, inherited)


def symlink(session: Session, nodeid: int, uid: int, gid: int, name: bytes, target: bytes) -> bytes:
    """Make a link; the target is not looked at."""
    check(name, CREATE)
    check_target(target)
    directory, step = session.node(nodeid), Steps()
    step(directory.symlink, name, target, session.owner(uid), _group(directory, gid)[0])
    return made(session, directory, name, step)


def create(
    session: Session, nodeid: int, uid: int, gid: int, flags: int, mode: int, umask: int, open_flags: int, name: bytes
) -> bytes:
    """Create and open. The kernel sends it for a name that it found free, and checks no permission of
    a file that was made meanwhile: that one is not opened. ESTALE makes the kernel look the name up
    again (path_openat of fs/namei.c, LOOKUP_REVAL), and then it checks.
    """
    del open_flags
    check(name, CREATE)
    if flags & O_ACCMODE == O_ACCMODE:
        raise Refused(Errno.EINVAL, "access mode 3")
    session.reserve_open()
    directory, step, owner = session.node(nodeid), Steps(), session.owner(uid)
    group = _group(directory, gid)[0]
    inherited = Inherited(session, directory, name, S_IFREG | mode & PERMISSIONS, umask)
    granted = inherited.mode & PERMISSIONS
    try:
        node, file = step(directory.create, name, flags & OPEN_FLAGS | O_EXCL, granted, owner, group)
    except OSError as error:
        if not flags & O_EXCL and linux_errno(error) is Errno.EEXIST:
            raise Refused(Errno.ESTALE, "made by another meanwhile") from error
        raise
    return _opened(session, step, node, file, flags, owner, inherited)


def tmpfile(
    session: Session, nodeid: int, uid: int, gid: int, flags: int, mode: int, umask: int, open_flags: int, name: bytes
) -> bytes:
    """Create a file without a name, and open it; ``name`` says nothing. LINK may name it."""
    del open_flags, name
    if flags & O_ACCMODE not in {O_WRONLY, O_RDWR}:
        raise Refused(Errno.EINVAL, "not for writing")
    session.reserve_open()
    directory, step, owner = session.node(nodeid), Steps(), session.owner(uid)
    group = _group(directory, gid)[0]
    inherited = Inherited(session, directory, None, S_IFREG | mode & PERMISSIONS, umask)
    node, file = step(directory.tmpfile, flags & OPEN_FLAGS, inherited.mode & PERMISSIONS, owner, group)
    return _opened(session, step, node, file, flags, owner, inherited)


def _opened(
    session: Session, step: Steps, node: Node, file: OpenFile, flags: int, owner: int, inherited: Inherited
) -> bytes:
    """Commit what was created and opened; the reply."""
    try:
        entry, attributes = step(entered, session, node, inherited)
    except BaseException:
        file.close()
        raise
    fh = session.open(Opened(entry, session.export, flags, owner, file=file))
    return pack_create(entry.nodeid, attributes, session.timeout, fh, open_flags_of(session, entry, flags))
