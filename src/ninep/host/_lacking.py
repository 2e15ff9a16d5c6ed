"""What only Linux has, elsewhere: EOPNOTSUPP, which makes clients go on without."""

from __future__ import annotations

from ninep.errors import Refused
from ninep.host._api import Handle, ObjectRef
from ninep.linux import Errno


def allocate(handle: Handle, mode: int, offset: int, length: int, /) -> None:  # noqa: ARG001
    """On macOS F_PREALLOCATE reserves behind the last block alone, and Windows' FSCTL_SET_ZERO_DATA
    makes holes in sparse files alone.
    """
    raise Refused(Errno.EOPNOTSUPP)


def copy_file_range(source: Handle, offset: int, target: Handle, target_offset: int, count: int, /) -> int:  # noqa: ARG001
    raise Refused(Errno.EOPNOTSUPP)


def sync_file_range(handle: Handle, offset: int, count: int, /) -> None:  # noqa: ARG001
    raise Refused(Errno.EOPNOTSUPP)


def sync_filesystem(place: ObjectRef, /) -> None:  # noqa: ARG001
    raise Refused(Errno.EOPNOTSUPP)


def seek(handle: Handle, offset: int, whence: int, /) -> int:  # noqa: ARG001
    raise Refused(Errno.EOPNOTSUPP)
