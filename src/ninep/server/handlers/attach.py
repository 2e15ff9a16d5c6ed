"""Tauth, Tattach, Tclunk: a fid's beginning and end."""

from __future__ import annotations

import logging

from ninep import audit
from ninep.errors import Refused, linux_errno, text_of
from ninep.linux import NO_ID, Errno
from ninep.node import WouldBlock, check_may_wait
from ninep.server.exports import Export
from ninep.server.session import Session
from ninep.wire.messages import NOFID
from ninep.wire.types import Qid

log = logging.getLogger("ninep.server")

NOT_REQUIRED = b"authentication not required"
LONGEST_UNAME = 255
"""Each fid keeps it. Linux names users in 32 bytes (useradd(8))."""

LONGEST_LIST = 1000
"""Characters of names of exports in an error, if so much fits into a message."""
ELSE_OF_ERROR = 136
"""Bytes of the error's message besides the names."""


def auth(session: Session, afid: int, uname: bytes, aname: bytes, n_uname: int = NO_ID) -> tuple[Qid]:
    """No authentication is needed: attach(5) says to answer Tauth with an error then, and clients
    go on without.

    ==========  ===============================================  ======================================================================
    dialect     answer                                           who asks
    ==========  ===============================================  ======================================================================
    9P2000.L    Rlerror ENOENT                                   diod's programs, which give up on any other number; Linux never asks
    9P2000.u    Rerror "authentication not required", ENOENT     clients of both families
    9P2000      Rerror "authentication not required"             9front and plan9port, which go on after any Rerror and may show its words
    ==========  ===============================================  ======================================================================
    """
    del session, afid, uname, aname, n_uname
    raise Refused(Errno.ENOENT, "authentication not required", NOT_REQUIRED)


def attach_now(session: Session, fid: int, afid: int, uname: bytes, aname: bytes, n_uname: int = NO_ID) -> tuple[Qid]:
    """Tattach in the event loop, unless the export is known to be slow."""
    export = session.exports.find(aname)
    if export is not None and not export.inline:
        raise WouldBlock
    return attach(session, fid, afid, uname, aname, n_uname)


def attach(session: Session, fid: int, afid: int, uname: bytes, aname: bytes, n_uname: int = NO_ID) -> tuple[Qid]:
    """The root of an export, for a user. Linux attaches once for each uid, on one connection."""
    session.reserve_fid(fid)
    if len(uname) > LONGEST_UNAME:
        raise Refused(Errno.EINVAL, f"a user name of {len(uname)} bytes")
    try:
        if afid != NOFID:
            raise Refused(Errno.EACCES, "no authentication was begun on this afid")
        export = _export_for(session, aname)
        user = export.user(uname, n_uname, session.peer)
        node = export.attach(user, session.peer)
    except WouldBlock:
        raise
    except OSError as error:
        log.warning("refused %s: attach to %r as %s: %s", session.peer, aname, _who(uname, n_uname), error)
        audit.record("attach", linux_errno(error).name, peer=str(session.peer), export=audit.text(aname),
                     uid=None if n_uname == NO_ID else n_uname, uname=audit.text(uname))  # fmt: skip
        raise
    session.visited.add(export)
    if export.removed:  # since it was found: who removes it looks afterwards at what was visited
        node.release()
        raise Refused(Errno.ENOENT, "the export is served no more")
    session.bind(fid, node, user, export)
    session.attach(export, inline=node.inline)
    if log.isEnabledFor(logging.INFO):
        log.info("attach %s: %s export=%r", session.peer, _who(uname, n_uname), export.name)
    return (node.qid,)


def _who(uname: bytes, n_uname: int) -> str:
    return f"uname={uname!r} uid={n_uname if n_uname != NO_ID else '-'}"


def _export_for(session: Session, aname: bytes) -> Export:
    """The export, if the peer may have it: ENOENT, EACCES."""
    export = session.exports.find(aname)
    if export is None:
        there_are = _there_are(session)
        raise Refused(Errno.ENOENT, f"there is no such export{there_are}", text_of(Errno.ENOENT) + there_are.encode())
    why = export.access.refusal(session.peer)
    if why:
        raise Refused(Errno.EACCES, why)
    return export


def _there_are(session: Session) -> str:
    """Which exports the peer may have, for an error's words: a mistyped aname is the first mistake
    there is to make.
    """
    names = [export.name.strip("/") for export in session.exports if not export.access.refusal(session.peer)]
    if not names:
        return ""
    if names == [""]:
        return ": the export has no name; leave the aname out"
    shown = ", ".join(ascii(name) if name else "one without a name" for name in names)
    room = min(LONGEST_LIST, session.msize - ELSE_OF_ERROR)
    return f": there {'is' if len(names) == 1 else 'are'} {shown if len(shown) <= room else shown[:room] + ' ...'}"


def clunk_now(session: Session, fid: int) -> tuple[()]:
    """Tclunk in the event loop, unless closing what was opened may wait: a program behind FUSE has
    to answer (FLUSH).
    """
    held = session.fid(fid)
    if not held.node.inline and (held.opened or held.remove_on_clunk):
        check_may_wait()
    session.retire(fid)
    return ()


def clunk(session: Session, fid: int) -> tuple[()]:
    """The fid is gone, whatever closing it reports. An attribute being written is set here."""
    session.fid(fid)
    session.retire(fid)
    return ()
