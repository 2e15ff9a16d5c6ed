"""Opening what a file or directory holds: through the filter driver that keeps its contents, if one
does.

A cloud provider's file, a deduplicated or compressed one carries a reparse tag (``tags``), and an
open with OPEN_REPARSE_POINT is of the tag: what is read there is not what the file holds. So the
entry itself is opened first, as everything is (``open``); its tag is asked through that handle, and
then the same object is opened once more, by the handle, without OPEN_REPARSE_POINT. No name is
looked up in between, OBJ_DONT_REPARSE makes the kernel refuse if the tag became a link's meanwhile,
and the file id is compared for kernels that do not know it.

What is not on this computer (RECALL_ON_DATA_ACCESS, RECALL_ON_OPEN, OFFLINE) is fetched when it is
opened or read, which may take as long as a network does: ``WouldBlock`` in a thread that must not
wait. Looking, listing and named streams fetch nothing.
"""

from __future__ import annotations

from typing import Final

from ninep.errors import Refused
from ninep.host._api import Handle
from ninep.host.windows.api import Attribute, NtCalls, Options
from ninep.host.windows.open import ITSELF, kept, look, refuse_reparse, reopen
from ninep.host.windows.stat import identity
from ninep.host.windows.status import NtError, Status
from ninep.linux import Errno
from ninep.node import check_may_wait

THROUGH: Final = ITSELF & ~Options.OPEN_REPARSE_POINT
RECALLED: Final = Attribute.RECALL_ON_DATA_ACCESS | Attribute.RECALL_ON_OPEN | Attribute.OFFLINE
"""Of a file that is not, or not all, on this computer."""

_NO_DRIVER: Final = frozenset({Status.IO_REPARSE_TAG_NOT_HANDLED, Status.REPARSE_POINT_ENCOUNTERED})


def reopen_contents(calls: NtCalls, handle: Handle, access: int, options: int = 0) -> int:
    """What an object holds, by any handle to it. ELOOP, ENXIO for what is not opened; ESTALE."""
    attributes, tag = look(calls, handle)
    refuse_reparse(tag)
    if attributes & RECALLED:
        check_may_wait()
    if not tag:
        return with_contents(calls, reopen(calls, handle, access, options), access, options)
    try:
        opened, _ = calls.create(handle, "", access, THROUGH | options)
    except NtError as error:
        if error.status not in _NO_DRIVER:
            raise
        refuse_reparse(look(calls, handle)[1])  # it may have become a link meanwhile
        raise Refused(Errno.ENXIO, f"reparse point 0x{tag:08X}, for which no driver is running") from None
    with kept(calls, opened) as again:
        if identity(calls, again) != identity(calls, handle):
            raise Refused(Errno.ESTALE)
    return opened


def with_contents(calls: NtCalls, opened: int, access: int, options: int = 0) -> int:
    """The handle itself, or in its place one through the filter driver, if the object
    has its tag.
    """
    with kept(calls, opened) as handle:
        if not look(calls, handle)[1]:
            return opened
        again = reopen_contents(calls, handle, access, options)
    calls.close(opened)
    return again
