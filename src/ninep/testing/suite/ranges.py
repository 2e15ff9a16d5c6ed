"""allocate, seek, copy_file_range: ranges of open files."""

from __future__ import annotations

import pytest

from ninep.errors import linux_errno
from ninep.linux import (
    FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE,
    O_RDONLY,
    O_WRONLY,
    S_ISUID,
    SEEK_DATA,
    SEEK_HOLE,
    Errno,
)
from ninep.testing.suite.tree import UID, ScratchTree, attributes, mode_of, refuses

BLOCK = 1 << 16
"""At least as large as the blocks of any file system."""
CONTENT = b"x" * (3 * BLOCK)
PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
FAR = 1 << 40


class AllocateTests:
    """allocate: fallocate(2)."""

    def test_what_is_not_supported_changes_nothing(self, tree: ScratchTree) -> None:
        if tree.can.allocation:
            pytest.skip("the driver allocates")
        node = tree.file(b"f", b"content")
        for mode in (0, FALLOC_FL_KEEP_SIZE, PUNCH, FALLOC_FL_ZERO_RANGE):
            with refuses(Errno.EOPNOTSUPP):
                tree.opened(node).allocate(mode, 0, 100_000, 0)
        assert tree.read(node) == b"content"

    def test_space_behind_the_end(self, tree: ScratchTree) -> None:
        if not tree.can.allocation:
            pytest.skip("the driver does not allocate")
        node = tree.file(b"f", b"content")
        file = tree.opened(node)
        file.allocate(FALLOC_FL_KEEP_SIZE, 0, 2 * BLOCK, 0)
        a = attributes(node)
        assert a.size == 7
        assert a.blocks * 512 >= 2 * BLOCK
        file.allocate(0, 5, 100, 0)
        assert tree.read(node) == b"content" + bytes(98)

    def test_a_hole(self, tree: ScratchTree) -> None:
        if not tree.can.allocation:
            pytest.skip("the driver does not allocate")
        node = tree.file(b"f", CONTENT)
        before = attributes(node).blocks
        tree.opened(node).allocate(PUNCH, BLOCK, BLOCK, 0)
        assert tree.read(node) == b"x" * BLOCK + bytes(BLOCK) + b"x" * BLOCK
        assert attributes(node).blocks < before
        tree.opened(node).allocate(PUNCH, 5, 3, 0)
        assert tree.read(node)[:10] == b"xxxxx\0\0\0xx"

    def test_zeros(self, tree: ScratchTree) -> None:
        if not tree.can.allocation:
            pytest.skip("the driver does not allocate")
        node = tree.file(b"f", b"0123456789")
        try:
            tree.opened(node).allocate(FALLOC_FL_ZERO_RANGE, 8, 6, 0)
        except OSError as error:
            assert linux_errno(error) is Errno.EOPNOTSUPP  # noqa: PT017 - tmpfs has no such mode
            assert tree.read(node) == b"0123456789"
        else:
            assert tree.read(node) == b"01234567" + bytes(6)

    def test_bad_requests(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content")
        with refuses(Errno.EBADF, Errno.EOPNOTSUPP):
            tree.opened(node, O_RDONLY).allocate(0, 0, 100, 0)
        file = tree.opened(node)
        for mode in (FALLOC_FL_PUNCH_HOLE, 1 << 20):
            with refuses(Errno.EOPNOTSUPP, Errno.EINVAL):
                file.allocate(mode, 0, 100, 0)
        with refuses(Errno.EFBIG, Errno.EINVAL, Errno.ENOSPC, Errno.EOPNOTSUPP):
            file.allocate(0, (1 << 63) - 10, 100, 0)
        with refuses(Errno.EFBIG, Errno.ENOSPC, Errno.EOPNOTSUPP):
            file.allocate(FALLOC_FL_KEEP_SIZE, 0, 1 << 60, 0)
        assert tree.read(node) == b"content"

    def test_set_user_bits(self, tree: ScratchTree) -> None:
        if not tree.can.modes or not tree.can.allocation:
            pytest.skip("the driver keeps no modes, or does not allocate")
        node = tree.file(b"f", b"content", 0o4755)
        file = tree.opened(node)
        if tree.can.root_keeps_setid:
            file.allocate(0, 0, 100, 0)
            assert mode_of(node) & S_ISUID
        file.allocate(0, 0, 200, UID)
        assert mode_of(node) == 0o755


class SeekTests:
    """seek: SEEK_DATA and SEEK_HOLE of lseek(2)."""

    def test_holes(self, tree: ScratchTree) -> None:
        file = tree.opened(tree.file(b"f", b"data"))
        if not tree.can.holes:
            with refuses(Errno.EOPNOTSUPP):
                file.seek(0, SEEK_HOLE)
            return
        file.write(4 * BLOCK, b"more", 0)
        assert file.seek(0, SEEK_DATA) == 0
        assert file.seek(2, SEEK_DATA) == 2
        assert 4 <= file.seek(0, SEEK_HOLE) <= BLOCK
        assert file.seek(BLOCK, SEEK_HOLE) == BLOCK
        assert 3 * BLOCK < file.seek(BLOCK, SEEK_DATA) <= 4 * BLOCK
        assert file.seek(4 * BLOCK + 1, SEEK_HOLE) == 4 * BLOCK + 4
        for offset, whence in ((4 * BLOCK + 4, SEEK_DATA), (4 * BLOCK + 4, SEEK_HOLE), (FAR, SEEK_DATA)):
            with refuses(Errno.ENXIO):
                file.seek(offset, whence)

    def test_only_a_hole(self, tree: ScratchTree) -> None:
        if not tree.can.holes:
            pytest.skip("the driver finds no holes")
        file = tree.opened(tree.file(b"f"))
        file.truncate(BLOCK, 0)
        assert file.seek(0, SEEK_HOLE) == 0
        with refuses(Errno.ENXIO):
            file.seek(0, SEEK_DATA)

    def test_reading_and_writing_are_not_moved(self, tree: ScratchTree) -> None:
        if not tree.can.holes:
            pytest.skip("the driver finds no holes")
        node = tree.file(b"f", b"0123456789")
        file = tree.opened(node)
        file.seek(5, SEEK_HOLE)
        file.write(2, b"xx", 0)
        assert bytes(file.read(0, 4)) == b"01xx"


class CopyTests:
    """copy_file_range."""

    def test_between_files(self, tree: ScratchTree) -> None:
        source, target = tree.file(b"f", b"0123456789"), tree.file(b"g", b"abcdefghij")
        reading, writing = tree.opened(source, O_RDONLY), tree.opened(target, O_WRONLY)
        if not tree.can.copies:
            with refuses(Errno.EOPNOTSUPP, Errno.EXDEV):
                reading.copy_file_range(0, writing, 0, 5, 0)
            assert tree.read(target) == b"abcdefghij"
            return
        assert reading.copy_file_range(2, writing, 4, 3, 0) == 3
        assert tree.read(target) == b"abcd234hij"
        assert reading.copy_file_range(8, writing, 8, 100, 0) == 2
        assert tree.read(target) == b"abcd234h89"
        assert reading.copy_file_range(10, writing, 0, 100, 0) == 0
        assert tree.read(target) == b"abcd234h89"
        assert tree.read(source) == b"0123456789"

    def test_within_a_file(self, tree: ScratchTree) -> None:
        if not tree.can.copies:
            pytest.skip("the driver does not copy")
        node = tree.file(b"f", b"0123456789")
        file = tree.opened(node)
        assert file.copy_file_range(0, file, 8, 4, 0) == 4
        assert tree.read(node) == b"012345670123"
        with refuses(Errno.EINVAL):
            file.copy_file_range(0, file, 2, 4, 0)
        assert tree.read(node) == b"012345670123"

    def test_access(self, tree: ScratchTree) -> None:
        one, two = tree.file(b"f", b"one"), tree.file(b"g", b"two")
        for reading, writing in ((O_RDONLY, O_RDONLY), (O_WRONLY, O_WRONLY)):
            with refuses(Errno.EBADF, Errno.EOPNOTSUPP, Errno.EXDEV):
                tree.opened(one, reading).copy_file_range(0, tree.opened(two, writing), 0, 3, 0)
        assert (tree.read(one), tree.read(two)) == (b"one", b"two")

    def test_set_user_bits(self, tree: ScratchTree) -> None:
        if not tree.can.modes or not tree.can.copies:
            pytest.skip("the driver keeps no modes, or does not copy")
        source, target = tree.file(b"f", b"content"), tree.file(b"g", b"old", 0o4755)
        assert tree.opened(source).copy_file_range(0, tree.opened(target), 0, 7, UID) == 7
        assert (mode_of(target), tree.read(target)) == (0o755, b"content")
