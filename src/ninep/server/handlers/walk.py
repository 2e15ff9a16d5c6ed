"""Twalk: the only way from one file to another."""

from __future__ import annotations

from ninep.errors import Refused
from ninep.linux import Errno
from ninep.node import Node, WouldBlock
from ninep.server.session import Session
from ninep.wire.types import QT_DIR, Qid

DOTS = frozenset({b".", b".."})


def walk(session: Session, fid: int, newfid: int, names: list[bytes]) -> tuple[list[Qid]]:
    """Along ``names``, one at a time (walk(5)).

    If the first name fails, so does the walk; if a later one does, the reply has the qids so far,
    and ``newfid`` was not made. Cloning from an opened fid is allowed, moving one is not.
    """
    start = session.fids.get(fid)
    if start is None:
        raise Refused(Errno.EBADF, f"fid {fid} is not in use")
    if newfid != fid:
        session.reserve_fid(newfid)
    elif start.opened:
        raise Refused(Errno.EINVAL, "an open fid cannot be walked")
    if start.xattr is not None:
        raise Refused(Errno.EINVAL, "an attribute cannot be walked from")
    node, qids = _along(start.node, names)
    if node is None:
        return (qids,)
    if newfid != fid:
        session.bind(newfid, node, start.user, start.export)
    else:
        start.become(node)
    return (qids,)


def _along(node: Node, names: list[bytes]) -> tuple[Node | None, list[Qid]]:
    """The node at the end of ``names``, None if only the first of them could be walked, and the
    qids of those that could.
    """
    if not names:
        return node.clone(), []
    qids: list[Qid] = []
    if len(names) > 1 and DOTS.isdisjoint(names):
        node, qids = node.through(names)
    for name in names[len(qids) :]:
        try:
            found = _step(node, name)
        except OSError as error:
            if not qids:
                raise
            node.release()
            if isinstance(error, WouldBlock):
                raise
            return None, qids
        if qids:
            node.release()
        node = found
        qids.append(found.qid)
    return node, qids


def _step(node: Node, name: bytes) -> Node:
    if name in DOTS:
        if not node.qid.type & QT_DIR:
            raise Refused(Errno.ENOTDIR)
        return node.parent() if name == b".." else node.clone()
    if not name or b"/" in name or b"\0" in name:
        raise Refused(Errno.ENOENT, f"{name!r} is not a name")
    return node.walk(name)
