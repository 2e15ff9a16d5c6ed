"""Guest memory: from addresses to bytes, and the files that are taken for it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ninep.host import shared

if not shared.AVAILABLE:
    pytest.skip("memory is shared by memfds, on Linux", allow_module_level=True)

from tests.support.descriptors import open_descriptors
from tests.support.vhost_front_end import memory as memfd

from ninep.virtio.errors import RingError
from ninep.virtio.memory import MAX_SLOTS, BadMemory, GuestMemory
from ninep.virtio.messages import Region

LOW = Region(guest=0, size=0x4000, user=0x7F00_0000_0000, offset=0)
HIGH = Region(guest=0x1_0000_0000, size=0x2000, user=0x7F00_1000_0000, offset=0x4000)
"""Two regions of one file, as a guest has them below and above 4 GiB."""


@pytest.fixture
def file() -> Iterator[int]:
    """A file of memory: each page begins with its number."""
    descriptor = memfd(0x6000)
    for page in range(6):
        os.pwrite(descriptor, b"page %d" % page, page * 0x1000)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def memory(file: int) -> GuestMemory:
    made = GuestMemory()
    made.replace([LOW, HIGH], [file, file])
    return made


def test_the_largest_region_is_first(memory: GuestMemory) -> None:
    assert [(first, after, len(view)) for first, after, view in memory.mapped] == [
        (LOW.guest, LOW.guest + LOW.size, LOW.size),
        (HIGH.guest, HIGH.guest + HIGH.size, HIGH.size),
    ]


@pytest.mark.parametrize(
    ("guest", "user", "text"),
    [
        (0, 0x7F00_0000_0000, b"page 0"),
        (0x3000, 0x7F00_0000_3000, b"page 3"),
        (0x1_0000_0000, 0x7F00_1000_0000, b"page 4"),
        (0x1_0000_1000, 0x7F00_1000_1000, b"page 5"),
    ],
)
def test_guest_and_user_addresses(memory: GuestMemory, guest: int, user: int, text: bytes) -> None:
    assert bytes(memory.view(guest, 6)) == text
    assert bytes(memory.user_view(user, 6)[0]) == text


def test_what_is_written_is_the_file(memory: GuestMemory, file: int) -> None:
    memory.view(0x1_0000_0000, 6)[:] = b"reply!"
    assert os.pread(file, 6, 0x4000) == b"reply!"


@pytest.mark.parametrize(
    ("address", "length"),
    [
        (0x4000, 1),
        (0x3FFF, 2),
        (0, 0x4001),
        (0xFFFF_FFFF, 2),
        (0x1_0000_2000, 1),
        (0x1_0000_0000, 0x2001),
        (1 << 64, 1),
    ],
)
def test_addresses_outside_of_all_regions_or_across_an_end(memory: GuestMemory, address: int, length: int) -> None:
    with pytest.raises(RingError, match=f"{length} bytes at guest address {address:#x}"):
        memory.view(address, length)
    with pytest.raises(BadMemory, match="no region of memory has them"):
        memory.user_view(LOW.user + address, length)


def test_the_last_byte_of_a_region(memory: GuestMemory) -> None:
    assert len(memory.view(0x3FFF, 1)) == 1
    assert len(memory.view(0, 0x4000)) == 0x4000


# -- the table ---------------------------------------------------------------------------------------------------------


def test_a_table_that_is_sent_again_is_the_same_mapping(memory: GuestMemory, file: int) -> None:
    before, place = memory.user_view(LOW.user + 0x1000, 16)
    memory.replace([LOW, HIGH], [file, file])
    after, again = memory.user_view(LOW.user + 0x1000, 16)
    assert before.obj is after.obj
    assert place == again


def test_a_region_that_is_cut_up_otherwise_is_in_the_same_place(memory: GuestMemory, file: int) -> None:
    _, place = memory.user_view(LOW.user + 0x1000, 16)
    parts = [LOW._replace(size=0x1000), Region(0x1000, 0x3000, LOW.user + 0x1000, 0x1000)]
    memory.replace(parts, [file, file])
    assert memory.user_view(LOW.user + 0x1000, 16)[1] == place


def test_views_outlive_their_region(memory: GuestMemory, file: int) -> None:
    view = memory.view(0x1000, 6)
    memory.clear()
    assert memory.mapped == ()
    view[:] = b"still "
    assert os.pread(file, 6, 0x1000) == b"still "


def test_regions_come_and_go_one_by_one(file: int) -> None:
    memory = GuestMemory()
    memory.add(HIGH, file)
    memory.add(LOW, file)
    assert memory.regions == [LOW, HIGH]
    memory.remove(HIGH._replace(offset=0))  # "The mmap offset is ignored."
    assert memory.regions == [LOW]
    with pytest.raises(BadMemory, match="no region of 8192 bytes at 0x100000000 to remove"):
        memory.remove(HIGH)


def test_mappings_and_descriptors_end_with_the_last_view(file: int) -> None:
    before = open_descriptors()
    memory = GuestMemory()
    memory.replace([LOW, HIGH], [file, file])
    view = memory.view(0, 1)
    memory.clear()
    assert open_descriptors() - before, "the view still has its region"
    del view
    assert not open_descriptors() - before


WRONG = {
    "a region of 0 bytes": LOW._replace(size=0),
    "ends at 24577 in a file of 24576 bytes": LOW._replace(offset=0x2001),
    "a region of 16384 bytes at 0xffffffffffffd000": LOW._replace(guest=(1 << 64) - 0x3000),
    "a region of 16384 bytes at 0x0": LOW._replace(user=(1 << 64) - 0x3000),
    "a region of 18446744073709551615 bytes": LOW._replace(size=(1 << 64) - 1),
    "ends at 13835058055282184192 in a file": LOW._replace(offset=(3 << 62) + 0x1000),
}


@pytest.mark.parametrize(("words", "region"), WRONG.items(), ids=list(WRONG))
def test_a_wrong_region_leaves_the_table_as_it_was(memory: GuestMemory, file: int, words: str, region: Region) -> None:
    before = memory.mapped
    with pytest.raises(BadMemory, match=words):
        memory.replace([region], [file])
    memory.remove(LOW)
    with pytest.raises(BadMemory, match=words):
        memory.add(region, file)
    assert memory.regions == [HIGH]
    assert len(before) == 2


@pytest.mark.parametrize(
    ("words", "added"),
    [
        ("overlap at 0x3fff", Region(0x3FFF, 0x1000, 0x7F00_2000_0000, 0)),
        ("overlap at 0x0", Region(0, 0x1000, 0x7F00_2000_0000, 0)),
        ("overlap at 0x7f0000003fff", Region(0x8000, 0x1000, LOW.user + 0x3FFF, 0)),
    ],
)
def test_regions_that_overlap(memory: GuestMemory, file: int, words: str, added: Region) -> None:
    with pytest.raises(BadMemory, match=words):
        memory.add(added, file)
    assert memory.regions == [LOW, HIGH]


def test_no_more_slots_than_were_said(file: int) -> None:
    memory = GuestMemory()
    for slot in range(MAX_SLOTS):
        memory.add(Region(slot << 12, 0x1000, slot << 12, 0), file)
    with pytest.raises(BadMemory, match="more than 509 regions"):
        memory.add(Region(MAX_SLOTS << 12, 0x1000, MAX_SLOTS << 12, 0), file)


# -- files that are taken ----------------------------------------------------------------------------------------------


def test_a_file_that_could_shrink_is_refused() -> None:
    descriptor = memfd(0x4000, sealed=False)
    with pytest.raises(BadMemory, match=r"could shrink, which would kill this process.*memory-backend-memfd"):
        GuestMemory().add(LOW, descriptor)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    GuestMemory().add(LOW, descriptor)
    os.close(descriptor)


def test_a_file_that_could_shrink_is_taken_if_the_operator_says_so(tmp_path: Path) -> None:
    (tmp_path / "memory").write_bytes(b"a file".ljust(LOW.size, b"\0"))
    descriptor = os.open(tmp_path / "memory", os.O_RDWR)
    memory = GuestMemory(unsealed=True)
    memory.add(LOW, descriptor)
    assert bytes(memory.view(0, 6)) == b"a file"
    with pytest.raises(BadMemory, match="ends at 20480 in a file of 16384 bytes"):
        memory.replace([LOW._replace(offset=0x1000)], [descriptor])
    os.close(descriptor)


def test_only_regular_files_can_be_memory(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    directory = os.open(tmp_path, os.O_RDONLY)
    for descriptor in (reading, directory):
        with pytest.raises(BadMemory, match="could shrink"):
            GuestMemory().add(LOW, descriptor)
        with pytest.raises(BadMemory, match=r"memory cannot be mapped: .*no regular file"):
            GuestMemory(unsealed=True).add(LOW, descriptor)
    for descriptor in (reading, writing, directory):
        os.close(descriptor)


def test_memory_that_cannot_be_written_is_refused() -> None:
    descriptor = os.memfd_create("sealed", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, LOW.size)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_WRITE)
    with pytest.raises(BadMemory, match=r"memory cannot be mapped: .*not permitted"):
        GuestMemory().add(LOW, descriptor)
    os.close(descriptor)


def test_a_file_that_has_grown_is_mapped_as_it_is_now() -> None:
    descriptor = os.memfd_create("grows", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, 0x4000)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    memory = GuestMemory()
    memory.add(LOW, descriptor)
    old = memory.view(0x1000, 4)
    os.ftruncate(descriptor, 0x6000)
    memory.add(HIGH, descriptor)
    memory.view(0x1_0000_0000, 4)[:] = b"more"
    old[:] = b"same"
    assert os.pread(descriptor, 4, 0x1000) == b"same"
    assert os.pread(descriptor, 4, 0x4000) == b"more"
    os.close(descriptor)
