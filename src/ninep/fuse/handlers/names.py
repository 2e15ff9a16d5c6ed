"""LOOKUP, and what changes entries: UNLINK, RMDIR, RENAME, LINK."""

from __future__ import annotations

from typing import Final

from ninep.errors import Refused
from ninep.fuse.acl import Inherited
from ninep.fuse.session import LOOKUP_MASK, Entry, Session
from ninep.linux import NAME_MAX, RENAME_EXCHANGE, RENAME_NOREPLACE, Errno
from ninep.node import Attributes, Node
from ninep.server.handlers import names
from ninep.server.steps import Steps
from ninep.wire.fuse_codec import pack_entry

LOOKUP: Final = {b".": Errno.EINVAL, b"..": Errno.EINVAL}
"""A kernel asks for these only after EXPORT_SUPPORT."""


RENAMES: Final = frozenset({0, RENAME_NOREPLACE, RENAME_EXCHANGE})


def check(name: bytes, dots: dict[bytes, Errno]) -> None:
    """Refuse what is no name of an entry, as ``server.handlers.names``, and what is too long."""
    names.check(name, dots)
    if len(name) > NAME_MAX:
        raise Refused(Errno.ENAMETOOLONG, f"a name of {len(name)} bytes")


def entered(session: Session, node: Node, inherited: Inherited) -> tuple[Entry, Attributes]:
    """A node that was just made, as an entry that the kernel has one more reference to; it gets what
    it inherits.
    """
    try:
        inherited.give(node)
        attributes = node.getattr(LOOKUP_MASK)
    except BaseException:
        node.release()
        raise
    return session.enter(node, attributes), attributes


def found(session: Session, directory: Node, name: bytes) -> bytes:
    """The reply for the entry ``name`` of a directory, counted."""
    node, attributes = directory.look_up(name, LOOKUP_MASK)
    return pack_entry(session.enter(node, attributes).nodeid, attributes, session.timeout)


def made(session: Session, directory: Node, name: bytes, step: Steps, inherited: Inherited | None = None) -> bytes:
    """The same, for what the verbs of ``step`` have made just now."""
    if inherited is None:
        return step(found, session, directory, name)
    entry, attributes = step(entered, session, step(directory.walk, name), inherited)
    return pack_entry(entry.nodeid, attributes, session.timeout)


def lookup(session: Session, nodeid: int, uid: int, gid: int, name: bytes) -> bytes:
    """The entry ``name`` of a directory, counted."""
    del uid, gid
    check(name, LOOKUP)
    return found(session, session.node(nodeid), name)


def unlink(session: Session, nodeid: int, uid: int, gid: int, name: bytes) -> bytes:
    """Remove an entry that is no directory."""
    del uid, gid
    check(name, names.UNLINK)
    session.node(nodeid).unlink(name, False)
    return b""


def rmdir(session: Session, nodeid: int, uid: int, gid: int, name: bytes) -> bytes:
    """Remove a directory."""
    del uid, gid
    check(name, names.UNLINK)
    session.node(nodeid).unlink(name, True)
    return b""


def rename(session: Session, nodeid: int, uid: int, gid: int, newdir: int, name: bytes, newname: bytes) -> bytes:
    """Move an entry, replacing what is there."""
    del uid, gid
    check(name, names.RENAME)
    check(newname, names.RENAME)
    session.node(nodeid).rename(name, session.node(newdir), newname)
    return b""


def rename2(
    session: Session, nodeid: int, uid: int, gid: int, newdir: int, flags: int, pad: int, name: bytes, newname: bytes
) -> bytes:
    """As ``rename``, with flags of renameat2(2). RENAME_WHITEOUT would leave a device behind, and is
    EINVAL.
    """
    del uid, gid, pad
    check(name, names.RENAME)
    check(newname, names.RENAME)
    if flags not in RENAMES:
        raise Refused(Errno.EINVAL, f"rename flags {flags:#x}")
    session.node(nodeid).rename(name, session.node(newdir), newname, flags)
    return b""


def link(session: Session, nodeid: int, uid: int, gid: int, target: int, name: bytes) -> bytes:
    """Another name for a file."""
    del uid, gid
    check(name, names.CREATE)
    directory, step = session.node(nodeid), Steps()
    step(directory.link, session.node(target), name)
    return made(session, directory, name, step)
