"""Memory and signals that processes share by descriptors."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ninep.host import shared

needs_linux = pytest.mark.skipif(not shared.AVAILABLE, reason="memory is shared by memfds, on Linux")


@pytest.fixture
def opened() -> Iterator[Callable[[int], int]]:
    """Closes descriptors at the end."""
    kept: list[int] = []

    def keep(descriptor: int) -> int:
        kept.append(descriptor)
        return descriptor

    yield keep
    for descriptor in kept:
        os.close(descriptor)


@needs_linux
def test_the_size_of_sealed_memory_cannot_be_changed(opened: Callable[[int], int]) -> None:
    descriptor = opened(shared.sealed_memory("test", 8192))
    assert shared.cannot_shrink(descriptor)
    assert shared.file_size(descriptor)[1] == 8192
    for size in (0, 8191, 8193):
        with pytest.raises(PermissionError):
            os.ftruncate(descriptor, size)


@needs_linux
def test_other_files_can_shrink(opened: Callable[[int], int], tmp_path: Path) -> None:
    unsealed = os.memfd_create("test", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    regular = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT, 0o600)
    reading, writing = os.pipe()
    for descriptor in (unsealed, regular, reading, writing):
        assert not shared.cannot_shrink(opened(descriptor))


@needs_linux
def test_a_mapping_is_shared_and_outlives_its_descriptor() -> None:
    descriptor = shared.sealed_memory("test", 8192)
    one, other = shared.map_shared(descriptor, 8192), shared.map_shared(descriptor, 4096)
    os.close(descriptor)
    one[100:104] = b"same"
    assert bytes(other[100:104]) == b"same"
    assert (len(one), len(other)) == (8192, 4096)


@needs_linux
def test_no_more_is_mapped_than_the_file_has(opened: Callable[[int], int]) -> None:
    with pytest.raises(ValueError, match="greater than file size"):
        shared.map_shared(opened(shared.sealed_memory("test", 4096)), 4097)


@needs_linux
def test_the_same_file_has_the_same_identity(opened: Callable[[int], int]) -> None:
    one, other = opened(shared.sealed_memory("test", 4096)), opened(shared.sealed_memory("test", 4096))
    assert shared.file_size(one) == shared.file_size(opened(os.dup(one)))
    assert shared.file_size(one)[0] != shared.file_size(other)[0]


def test_only_regular_files_have_a_size(opened: Callable[[int], int]) -> None:
    reading, writing = os.pipe()
    opened(writing)
    with pytest.raises(OSError, match="no regular file") as caught:
        shared.file_size(opened(reading))
    assert caught.value.errno == errno.EINVAL


@needs_linux
def test_eventfds_and_pipes_are_events(opened: Callable[[int], int], tmp_path: Path) -> None:
    reading, writing = os.pipe()
    event = opened(os.eventfd(0, os.EFD_CLOEXEC))
    for descriptor in (event, opened(reading), opened(writing)):
        assert shared.is_event(descriptor)
        assert os.get_blocking(descriptor)
        shared.set_nonblocking(descriptor)
        assert not os.get_blocking(descriptor)
    memory = opened(shared.sealed_memory("anon_inode:[eventfd]", 4096))
    named = tmp_path / "anon_inode:[eventfd]"
    for other in (
        memory,
        opened(os.open(os.devnull, os.O_RDWR)),
        opened(os.open(named, os.O_RDWR | os.O_CREAT, 0o600)),
    ):
        assert not shared.is_event(other)


@needs_linux
def test_signals_of_an_eventfd_add_up_and_a_full_one_is_left_alone(opened: Callable[[int], int]) -> None:
    event = opened(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK))
    shared.signal(event)
    shared.signal(event)
    assert os.eventfd_read(event) == 2
    os.eventfd_write(event, 2**64 - 2)
    shared.signal(event)
    assert os.eventfd_read(event) == 2**64 - 2


def test_a_signal_to_a_pipe_without_a_reader_is_no_error(opened: Callable[[int], int]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    shared.signal(opened(writing))


@pytest.mark.skipif(shared.AVAILABLE, reason="Linux has them")
def test_elsewhere_each_call_says_that_linux_has_it() -> None:
    for call in (
        lambda: shared.cannot_shrink(0),
        lambda: shared.map_shared(0, 1),
        lambda: shared.sealed_memory("", 1),
        lambda: shared.is_event(0),
        lambda: shared.set_nonblocking(0),
    ):
        with pytest.raises(OSError, match="which Linux alone has"):
            call()
