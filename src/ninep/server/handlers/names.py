"""What a name may be, before any fid is looked at or any driver is asked (QEMU 9p.c,
name_is_illegal).

=====================  ==========  =========================================  ============  ==========
name                   walk        create, mkdir, mknod, symlink, link          rename        unlinkat
=====================  ==========  =========================================  ============  ==========
empty, ``/`` or NUL    ENOENT      ENOENT                                     ENOENT        ENOENT
``.``                  stays       EEXIST                                     EISDIR        EINVAL
``..``                 parent      EEXIST                                     EISDIR        ENOTEMPTY
=====================  ==========  =========================================  ============  ==========

NUL is refused with the others because a C library further down would cut the name there.
"""

from __future__ import annotations

from ninep.errors import Refused
from ninep.linux import Errno

CREATE = {b".": Errno.EEXIST, b"..": Errno.EEXIST}
RENAME = {b".": Errno.EISDIR, b"..": Errno.EISDIR}
UNLINK = {b".": Errno.EINVAL, b"..": Errno.ENOTEMPTY}


def check(name: bytes, dots: dict[bytes, Errno]) -> None:
    """Refuse what is no name of an entry; ``dots`` is one of the columns above."""
    if not name or b"/" in name or b"\0" in name:
        raise Refused(Errno.ENOENT, f"{name!r} is not a name")
    if name in dots:
        raise Refused(dots[name], f"{name!r} is not a name for this")
