"""What nodes open: the answers of a driver that has none of its own."""

from __future__ import annotations

import pytest

from ninep.errors import Refused
from ninep.linux import SEEK_DATA, Errno
from ninep.node import OpenDir, OpenFile
from ninep.wire.types import Buffer


class Content(OpenFile):
    """A file that can only be read."""

    def read(self, offset: int, count: int) -> Buffer:
        return b"abcdefgh"[offset : offset + count]


class Writable(Content):
    """One that notes what is written."""

    def __init__(self) -> None:
        self.written: list[tuple[int, bytes]] = []

    def write(self, offset: int, data: Buffer, by: int = 0) -> int:
        del by
        self.written.append((offset, bytes(data)))
        return len(data)


def code_of(call: object, *arguments: object) -> Errno:
    with pytest.raises(Refused) as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value.code


def test_data_are_read_into_several_buffers() -> None:
    room = bytearray(3), bytearray(4)
    assert Content().read_into(2, [memoryview(one) for one in room]) == 6
    assert room == (bytearray(b"cde"), bytearray(b"fgh\0"))


def test_data_of_several_buffers_are_written_as_one() -> None:
    file = Writable()
    assert file.write_from(5, [memoryview(b"ab"), memoryview(b"c")]) == 3
    assert file.written == [(5, b"abc")]


def test_a_file_that_cannot_be_written() -> None:
    file = Content()
    assert code_of(file.write, 0, b"x") is Errno.EBADF
    assert code_of(file.truncate, 0) is Errno.EBADF


def test_what_a_driver_need_not_have() -> None:
    file = Content()
    assert code_of(file.allocate, 0, 0, 1) is Errno.EOPNOTSUPP
    assert code_of(file.seek, 0, SEEK_DATA) is Errno.EOPNOTSUPP
    assert code_of(file.copy_file_range, 0, file, 0, 1) is Errno.EOPNOTSUPP
    assert file.test_lock(0, 0, 0) is None
    file.fsync(False)
    file.close()


def test_a_directory_that_packs_nothing() -> None:
    class Empty(OpenDir):
        def read(self, cookie: int, room: int) -> list[object]:  # type: ignore[override]
            del cookie, room
            return []

    directory = Empty()
    assert directory.read_packed(0, 8192) is None
    assert not directory.is_far(5)
