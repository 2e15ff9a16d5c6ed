"""INIT: the version, the flags, the root of the export."""

from __future__ import annotations

import logging
from typing import Final

from ninep.errors import Refused
from ninep.fuse.session import Session
from ninep.linux import Errno
from ninep.wire import fuse as f
from ninep.wire import fuse_codec as codec
from ninep.wire.fuse import Init

log = logging.getLogger("ninep.server")

BACKGROUND: Final = 64
"""Reads ahead and writes back that a kernel may have under way (max_background)."""

AGREED: Final[dict[Init, str]] = {
    Init.ASYNC_READ: "reads overtake each other",
    Init.BIG_WRITES: "writes of more than a page",
    Init.MAX_PAGES: "requests of max_write bytes",
    Init.ATOMIC_O_TRUNC: "an open that truncates is one request",
    Init.AUTO_INVAL_DATA: "pages go when size or mtime changed: others write to these files too",
    Init.DO_READDIRPLUS: "a listing brings the attributes ...",
    Init.READDIRPLUS_AUTO: "... if the program wants them",
    Init.PARALLEL_DIROPS: "several look-ups in one directory",
    Init.HANDLE_KILLPRIV_V2: "a write drops SUID here, so that the kernel need not ask before each",
    Init.INIT_EXT: "flags beyond 32 bits",
}
"""Flags of INIT that are taken whenever a kernel offers them, and what for. All others are declined:
no pages are written back late (WRITEBACK_CACHE: others would not see them), no handles beyond FORGET
(EXPORT_SUPPORT).
"""
ACLS: Final = Init.POSIX_ACL | Init.DONT_MASK | Init.SETXATTR_EXT
"""Taken all together, if ACLs are to be kept: the umask does not count below a default ACL, and the
kernel says whether SGID stays.
"""
SHARED_LOCKS: Final = Init.POSIX_LOCKS
"""Taken if locks are to be those of the export. Not FLOCK_LOCKS: the locks of flock(2) do not exclude
those of fcntl(2), which the export and its 9P clients have (v9fs sends both as one), and a process
that takes both on one file would wait for itself. The kernel keeps flock(2) by itself then.
"""


def init(
    session: Session,
    nodeid: int,
    uid: int,
    gid: int,
    major: int,
    minor: int,
    max_readahead: int,
    flags: int,
    more: bytes,
) -> bytes:
    """Attach, and agree on what both sides know. A kernel of a newer major version is told ours, and
    asks again. EPROTO for one that is too old.
    """
    del nodeid, uid, gid
    if major > f.MAJOR:
        return codec.pack_init(f.MINOR, 0, Init(0), max_write=f.PAGE, background=BACKGROUND)
    if major < f.MAJOR or minor < f.OLDEST_MINOR:
        raise Refused(Errno.EPROTO, f"FUSE {major}.{minor}; at least {f.MAJOR}.{f.OLDEST_MINOR} is needed")
    wanted = SHARED_LOCKS if session.options.locks == "shared" else Init(0)
    for flag in AGREED:
        wanted |= flag
    if session.options.posix_acl:
        wanted |= ACLS
    session.attach()
    session.agree(codec.unpack_init_flags(flags, more) & wanted, min(minor, f.MINOR))
    log.info("mount %s: FUSE %d.%d export=%r", session.peer, major, session.minor, session.export.name)
    return codec.pack_init(
        session.minor, max_readahead, session.flags, max_write=session.max_write, background=BACKGROUND
    )
