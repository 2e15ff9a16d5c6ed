"""Files that grow by a leap do not allocate what is in between."""

import pytest
from tests.host.windows.box import Box

from ninep import linux
from ninep.host.windows.api import Attribute
from ninep.host.windows.sparse import LEAP
from ninep.testing.fake_nt_volume import Volume

NEW = linux.O_RDWR | linux.O_CREAT | linux.O_EXCL


def is_sparse(box: Box) -> bool:
    return bool(box.fake.volume.at("share\\file").attributes & Attribute.SPARSE_FILE)


@pytest.mark.parametrize(("size", "sparse"), [(LEAP - 1, False), (LEAP, True)])
def test_a_truncation(ntfs: Box, size: int, sparse: bool) -> None:
    handle = ntfs.host.open_at(ntfs.root, b"file", NEW)
    ntfs.host.truncate(handle, size)
    assert ntfs.host.stat(handle).st_size == size
    assert is_sparse(ntfs) == sparse
    ntfs.host.close(handle)


@pytest.mark.parametrize(("offset", "sparse"), [(LEAP - 1, False), (LEAP + 4, True)])
def test_a_write_beyond_the_end(ntfs: Box, offset: int, sparse: bool) -> None:
    """As mkfs and copies of disk images do it, without a truncation."""
    handle = ntfs.host.open_at(ntfs.root, b"file", NEW)
    ntfs.host.write(handle, b"head", 0)
    ntfs.host.write(handle, b"tail", offset)
    assert is_sparse(ntfs) == sparse
    assert ntfs.host.read(handle, 8, offset) == b"tail"
    ntfs.host.close(handle)


def test_writing_on_asks_nothing(ntfs: Box) -> None:
    handle = ntfs.host.open_at(ntfs.root, b"file", NEW)
    before = ntfs.fake.counts["query"]
    for block in range(6):
        ntfs.host.write(handle, bytes(LEAP // 4), block * LEAP // 4)
    assert ntfs.fake.counts["query"] == before
    assert not is_sparse(ntfs)
    again = ntfs.host.open_at(ntfs.root, b"file", linux.O_WRONLY | linux.O_APPEND)
    ntfs.host.write(again, b"x", 0)
    assert ntfs.fake.counts["control"] == 0
    ntfs.host.close(again)
    ntfs.host.close(handle)


def test_another_handle_that_goes_on_far_from_the_start(ntfs: Box) -> None:
    """What it does not know it asks: the file has that size already."""
    first = ntfs.host.open_at(ntfs.root, b"file", NEW)
    ntfs.host.write(first, bytes(LEAP + 4), 0)
    second = ntfs.host.open_at(ntfs.root, b"file", linux.O_RDWR)
    ntfs.host.write(second, b"tail", LEAP + 4)
    assert not is_sparse(ntfs)
    ntfs.host.close(first)
    ntfs.host.close(second)


def test_where_nothing_is_sparse(ntfs: Box) -> None:
    volume: Volume = ntfs.fake.volume
    volume.streams = False  # FAT
    handle = ntfs.host.open_at(ntfs.root, b"file", NEW)
    ntfs.host.truncate(handle, LEAP)
    assert ntfs.host.stat(handle).st_size == LEAP
    assert not is_sparse(ntfs)
    ntfs.host.close(handle)
    volume.streams = True
