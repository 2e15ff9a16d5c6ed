"""NTSTATUS and Win32 codes, and the Linux errno of each."""

import pytest

from ninep.errors import linux_errno
from ninep.host.windows import error
from ninep.host.windows.status import NtError, Status, failed
from ninep.linux import Errno


@pytest.mark.parametrize(
    ("status", "number", "errno"),
    [
        (Status.OBJECT_NAME_NOT_FOUND, 0xC0000034, Errno.ENOENT),
        (Status.OBJECT_NAME_COLLISION, 0xC0000035, Errno.EEXIST),
        (Status.ACCESS_DENIED, 0xC0000022, Errno.EACCES),
        (Status.SHARING_VIOLATION, 0xC0000043, Errno.EBUSY),
        (Status.DELETE_PENDING, 0xC0000056, Errno.ENOENT),
        (Status.DIRECTORY_NOT_EMPTY, 0xC0000101, Errno.ENOTEMPTY),
        (Status.NOT_A_DIRECTORY, 0xC0000103, Errno.ENOTDIR),
        (Status.FILE_IS_A_DIRECTORY, 0xC00000BA, Errno.EISDIR),
        (Status.NOT_SAME_DEVICE, 0xC00000D4, Errno.EXDEV),
        (Status.REPARSE_POINT_ENCOUNTERED, 0xC000050B, Errno.ELOOP),
        (Status.NOT_A_REPARSE_POINT, 0xC0000275, Errno.EINVAL),
        (Status.NAME_TOO_LONG, 0xC0000106, Errno.ENAMETOOLONG),
        (Status.TOO_MANY_LINKS, 0xC0000265, Errno.EMLINK),
        (Status.DISK_FULL, 0xC000007F, Errno.ENOSPC),
        (Status.DISK_QUOTA_EXCEEDED, 0xC0000802, Errno.EDQUOT),
        (Status.MEDIA_WRITE_PROTECTED, 0xC00000A2, Errno.EROFS),
        (Status.NO_EAS_ON_FILE, 0xC0000052, Errno.ENODATA),
        (Status.PRIVILEGE_NOT_HELD, 0xC0000061, Errno.EPERM),
        (Status.NOT_SUPPORTED, 0xC00000BB, Errno.EOPNOTSUPP),
        (Status.TOO_MANY_OPENED_FILES, 0xC000011F, Errno.EMFILE),
    ],
)
def test_the_common_statuses(status: Status, number: int, errno: Errno) -> None:
    assert status == number
    assert status.errno == errno
    assert linux_errno(NtError(number, "NtCreateFile")) == errno


def test_an_unknown_status_is_eio_and_shows_its_number() -> None:
    error = NtError(0xC0DE0001, "NtReadFile")
    assert linux_errno(error) == Errno.EIO
    assert str(error) == "EIO: NtReadFile: 0xC0DE0001"


def test_a_known_status_shows_its_name() -> None:
    assert str(NtError(Status.ACCESS_DENIED, "NtCreateFile")) == "EACCES: NtCreateFile: ACCESS_DENIED"


def test_every_row_is_a_failure() -> None:
    """Success codes have no errno: a row for one would turn an answer into an error."""
    assert all(failed(status) for status in Status)


@pytest.mark.parametrize(
    ("code", "errno"),
    [
        (2, Errno.ENOENT),
        (3, Errno.ENOENT),
        (5, Errno.EACCES),
        (32, Errno.EBUSY),
        (33, Errno.EBUSY),
        (80, Errno.EEXIST),
        (183, Errno.EEXIST),
        (145, Errno.ENOTEMPTY),
        (123, Errno.EINVAL),
        (206, Errno.ENAMETOOLONG),
        (267, Errno.ENOTDIR),
        (1314, Errno.EPERM),
        (10054, Errno.ECONNRESET),
        (10035, Errno.EAGAIN),
        (999999, Errno.EIO),
    ],
)
def test_win32_codes(code: int, errno: Errno) -> None:
    assert error.linux_errno(code) == errno
