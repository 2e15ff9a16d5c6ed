"""Regular files: create, open, read, write, truncate."""

from __future__ import annotations

import pytest

from ninep.errors import linux_errno
from ninep.linux import (
    LOCK_RDLCK,
    LOCK_UNLCK,
    LOCK_WRLCK,
    O_APPEND,
    O_EXCL,
    O_NOATIME,
    O_NONBLOCK,
    O_RDONLY,
    O_RDWR,
    O_SYNC,
    O_TRUNC,
    O_WRONLY,
    S_IFIFO,
    S_IFREG,
    Errno,
)
from ninep.node import Changes, WouldBlock
from ninep.testing.suite.tree import (
    GID,
    UID,
    ScratchTree,
    attributes,
    in_buffers,
    mode_of,
    read_all,
    refuses,
    write_all,
)

FAR = (1 << 62) + 3


class CreateTests:
    """create."""

    def test_a_new_file(self, tree: ScratchTree) -> None:
        node, file = tree.root.create(b"f", O_RDWR | O_EXCL, 0o640, UID, GID)
        tree.track(node)
        assert file.write(0, b"abc", 0) == 3
        file.close()
        a = attributes(node)
        assert (a.mode, a.size, a.nlink) == (S_IFREG | (0o640 if tree.can.modes else a.mode & 0o777), 3, 1)
        assert node.name == b"f"
        assert (a.qid_type, a.qid_path) == (0, node.qid.path)
        assert a.qid_path == tree.walk(b"f").qid.path

    def test_owner_and_group_of_a_new_file(self, tree: ScratchTree) -> None:
        if tree.can.owners != "kept":
            pytest.skip("the driver keeps no owners")
        a = attributes(tree.file(b"f"))
        assert (a.uid, a.gid) == (UID, GID)

    @pytest.mark.parametrize("mode", [0o000, 0o200, 0o444, 0o755, 0o1666, 0o4711, 0o2755, 0o7777])
    def test_exactly_the_permissions_that_were_sent(self, tree: ScratchTree, mode: int) -> None:
        if not tree.can.modes:
            pytest.skip("the driver does not keep permission bits")
        node, file = tree.root.create(b"f", O_WRONLY, S_IFREG | mode, UID, GID)
        tree.track(node)
        file.close()
        assert mode_of(node) == mode

    def test_the_new_file_is_open_whatever_its_mode(self, tree: ScratchTree) -> None:
        node, file = tree.root.create(b"f", O_RDWR, 0o000, UID, GID)
        tree.track(node)
        tree.track(file)
        assert file.write(0, b"abc", 0) == 3
        assert read_all(file) == b"abc"

    def test_exclusive_on_what_exists(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content", 0o600)
        tree.folder(b"d")
        for name in (b"f", b"d"):
            with refuses(Errno.EEXIST):
                tree.root.create(name, O_RDWR | O_EXCL | O_TRUNC, 0o644, 0, 0)
        assert tree.read(node) == b"content"

    def test_an_existing_file_is_opened_and_left_as_it_is(self, tree: ScratchTree) -> None:
        before = attributes(tree.file(b"f", b"content", 0o600))
        node, file = tree.root.create(b"f", O_RDWR, 0o777, 7, 8)
        tree.track(node)
        tree.track(file)
        assert read_all(file) == b"content"
        after = attributes(node)
        assert (after.mode, after.uid, after.gid, after.qid_path) == (
            before.mode,
            before.uid,
            before.gid,
            before.qid_path,
        )

    def test_an_existing_file_is_truncated_if_asked(self, tree: ScratchTree) -> None:
        before = tree.file(b"f", b"content", 0o600)
        node, file = tree.root.create(b"f", O_RDWR | O_TRUNC, 0o777, 0, 0)
        file.close()
        tree.track(node)
        assert tree.read(before) == b""
        assert mode_of(node) == mode_of(before)

    def test_over_a_directory(self, tree: ScratchTree) -> None:
        tree.folder(b"d")
        with refuses(Errno.EISDIR):
            tree.root.create(b"d", O_RDWR, 0o644, 0, 0)

    def test_over_a_link(self, tree: ScratchTree) -> None:
        if not tree.can.symlinks:
            pytest.skip("the driver has no symbolic links")
        target = tree.file(b"target", b"content")
        tree.link(b"dangling", b"nothing")
        tree.link(b"l", b"target")
        for name in (b"dangling", b"l"):
            with refuses(Errno.ELOOP):
                tree.root.create(name, O_RDWR | O_TRUNC, 0o644, 0, 0)
        assert tree.names() == [b"dangling", b"l", b"target"]
        assert tree.read(target) == b"content"

    def test_over_a_fifo(self, tree: ScratchTree) -> None:
        if not tree.can.fifos:
            pytest.skip("the driver has no FIFOs")
        tree.root.mknod(b"p", S_IFIFO | 0o644, 0, UID, GID)
        with refuses(Errno.ENXIO):
            tree.root.create(b"p", O_RDWR, 0o644, 0, 0)

    def test_in_what_is_no_directory(self, tree: ScratchTree) -> None:
        node = tree.file(b"f")
        with refuses(Errno.ENOTDIR):
            node.create(b"x", O_RDWR, 0o644, 0, 0)

    def test_in_a_deleted_directory(self, tree: ScratchTree) -> None:
        folder = tree.folder(b"d")
        tree.root.unlink(b"d", directory=True)
        with refuses(Errno.ENOENT, Errno.ESTALE):
            folder.create(b"x", O_RDWR, 0o644, 0, 0)


class OpenTests:
    """open."""

    def test_directories_are_not_written(self, tree: ScratchTree) -> None:
        folder = tree.folder(b"d")
        for flags in (O_WRONLY, O_RDWR):
            with refuses(Errno.EISDIR):
                folder.open(flags)

    def test_links_are_not_opened(self, tree: ScratchTree) -> None:
        if not tree.can.symlinks:
            pytest.skip("the driver has no symbolic links")
        target = tree.file(b"target", b"content")
        for link in (tree.link(b"l", b"target"), tree.link(b"dangling", b"nothing")):
            for flags in (O_RDONLY, O_WRONLY | O_TRUNC):
                with refuses(Errno.ELOOP):
                    link.open(flags)
        assert tree.read(target) == b"content"
        assert not tree.has(b"nothing")

    def test_truncating(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content")
        tree.opened(node, O_WRONLY | O_TRUNC)
        assert attributes(node).size == 0

    def test_access_is_what_was_asked_for(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content")
        reader, writer = tree.opened(node, O_RDONLY), tree.opened(node, O_WRONLY)
        with refuses(Errno.EBADF):
            reader.write(0, b"x", 0)
        with refuses(Errno.EBADF):
            reader.write_from(0, in_buffers(b"x", (1,))[1], 0)
        with refuses(Errno.EBADF, Errno.EINVAL):
            reader.truncate(0, 0)
        with refuses(Errno.EBADF):
            writer.read(0, 1)
        with refuses(Errno.EBADF):
            writer.read_into(0, in_buffers(b"x", (1,))[1])
        assert tree.read(node) == b"content"

    @pytest.mark.parametrize("flags", [O_NOATIME, O_NONBLOCK, O_SYNC, 0o100000, 0o20000, 0o400, 1 << 30], ids=oct)
    def test_flags_a_host_may_lack_are_no_fault(self, tree: ScratchTree, flags: int) -> None:
        node = tree.file(b"f", b"content")
        assert read_all(tree.opened(node, O_RDWR | flags)) == b"content"

    def test_each_open_file_stands_alone(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"one")
        first, second = tree.opened(node), tree.opened(node)
        first.write(0, b"two", 0)
        assert read_all(second) == b"two"
        tree.release(first)
        assert second.write(0, b"six", 0) == 3
        assert tree.read(node) == b"six"


class ReadWriteTests:
    """read, read_now, write, truncate, fsync."""

    def test_reading_here_and_there(self, tree: ScratchTree) -> None:
        file = tree.opened(tree.file(b"f", b"0123456789"))
        assert [bytes(file.read(offset, 4)) for offset in (0, 4, 8, 10, 11, FAR)] == [
            b"0123",
            b"4567",
            b"89",
            b"",
            b"",
            b"",
        ]
        assert bytes(file.read(3, 0)) == b""

    def test_reading_without_waiting(self, tree: ScratchTree) -> None:
        file = tree.opened(tree.file(b"f", b"0123456789"))
        try:
            assert bytes(file.read_now(2, 100)) == b"23456789"
        except WouldBlock:
            assert bytes(file.read(2, 100)) == b"23456789"
        assert bytes(file.read_now(10, 100)) == b""

    @pytest.mark.parametrize("sizes", [(10,), (1, 2, 3), (4, 100), (3, 3, 3, 3), (4096, 4096)], ids=str)
    def test_reading_into_buffers(self, tree: ScratchTree, sizes: tuple[int, ...]) -> None:
        content = b"0123456789" + bytes(5000) + b"end"
        file = tree.opened(tree.file(b"f", content))
        for offset in (0, 7, 5010, len(content), FAR):
            memory, buffers = in_buffers(bytes(sum(sizes)), sizes)
            try:
                count = file.read_into(offset, buffers)
            except WouldBlock:
                continue
            assert bytes(memory[:count]) == bytes(file.read(offset, len(memory)))
            assert not any(memory[count:])
        assert file.read_into(0, []) == 0

    @pytest.mark.parametrize("sizes", [(10,), (1, 2, 7), (5000, 4096, 1)], ids=str)
    def test_writing_from_buffers(self, tree: ScratchTree, sizes: tuple[int, ...]) -> None:
        data = bytes(range(256)) * 36
        data = data[: sum(sizes)]
        one, two = tree.file(b"one", b"0123456789"), tree.file(b"two", b"0123456789")
        for offset in (4, 20_000):
            memory, buffers = in_buffers(data, sizes)
            assert tree.opened(one).write_from(offset, buffers, 0) == tree.opened(two).write(offset, data, 0)
            buffers.clear()
            memory.clear()  # BufferError, if one was kept
            assert tree.read(one) == tree.read(two)
        assert tree.opened(one).write_from(100_000, [], 0) == 0
        assert tree.read(one) == tree.read(two)

    def test_appending_from_buffers(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"start")
        file = tree.opened(node, O_WRONLY | O_APPEND)
        _, buffers = in_buffers(b"+one+two", (4, 4))
        assert file.write_from(1, buffers, 0) == 8
        assert tree.read(node) == b"start+one+two"

    def test_writing_here_and_there(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"0123456789")
        file = tree.opened(node)
        assert file.write(4, b"xx", 0) == 2
        assert file.write(10, b"end", 0) == 3
        assert tree.read(node) == b"0123xx6789end"

    def test_nothing_written_is_nothing_changed(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"0123")
        assert tree.opened(node).write(100, b"", 0) == 0
        assert tree.read(node) == b"0123"

    def test_behind_the_end_there_are_zeros(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"a")
        tree.opened(node).write(100_000, b"z", 0)
        assert tree.read(node) == b"a" + bytes(99_999) + b"z"

    def test_appending_ignores_the_offset(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"start")
        one, two = tree.opened(node, O_WRONLY | O_APPEND), tree.opened(node, O_RDWR | O_APPEND)
        one.write(0, b"+one", 0)
        two.write(2, b"+two", 0)
        one.write(1_000_000, b"+one", 0)
        assert tree.read(node) == b"start+one+two+one"

    def test_buffers_are_the_callers(self, tree: ScratchTree) -> None:
        node = tree.file(b"f")
        file = tree.opened(node)
        for buffer in (bytearray(b"one "), memoryview(bytearray(b"xxtwo"))[2:], b" three"):
            file.write(attributes(node).size, buffer, 0)
            if not isinstance(buffer, bytes):
                buffer[:] = b"\0" * len(buffer)
        assert tree.read(node) == b"one two three"

    def test_what_was_read_is_the_callers(self, tree: ScratchTree) -> None:
        file = tree.opened(tree.file(b"f", b"before"))
        read = file.read(0, 6)
        file.write(0, b"after!", 0)
        file.truncate(0, 0)
        assert bytes(read) == b"before"

    def test_a_large_file(self, tree: ScratchTree) -> None:
        content = bytes(range(256)) * 8192
        node = tree.file(b"f", content)
        assert attributes(node).size == len(content) == 2 << 20
        assert tree.read(node) == content
        file = tree.opened(node)
        assert bytes(file.read(1_000_000, 1_000_000)) == content[1_000_000:2_000_000]

    def test_beyond_all_sizes(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content")
        with refuses(Errno.EFBIG, Errno.EINVAL, Errno.ENOSPC, Errno.EOVERFLOW):
            tree.opened(node).write((1 << 63) - 2, b"xyz", 0)
        assert tree.read(node) == b"content"

    @pytest.mark.parametrize("size", [0, 3, 7, 8, 100_000])
    def test_truncating(self, tree: ScratchTree, size: int) -> None:
        expected = (b"content" + bytes(100_000))[:size]
        by_file, by_node = tree.file(b"f", b"content"), tree.file(b"n", b"content")
        tree.opened(by_file).truncate(size, 0)
        tree.change(by_node, size=size)
        assert tree.read(by_file) == tree.read(by_node) == expected

    def test_what_was_cut_off_does_not_come_back(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"secret" * 1000)
        tree.change(node, size=10)
        tree.change(node, size=6000)
        assert tree.read(node) == b"secretsecr" + bytes(5990)

    def test_an_open_file_stays_open_when_permissions_go(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content")
        file = tree.opened(node)
        tree.change(node, mode=0)
        assert file.write(0, b"CONTENT", 0) == 7
        file.truncate(3, 0)
        assert read_all(file) == b"CON"

    def test_syncing(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content")
        file = tree.opened(node)
        write_all(file, b"changed")
        file.fsync(datasync=False)
        file.fsync(datasync=True)
        tree.track(tree.root.opendir()).fsync(datasync=False)
        node.fsync()
        tree.root.fsync()
        assert tree.read(node) == b"changed"

    def test_locks_without_a_conflict(self, tree: ScratchTree) -> None:
        file = tree.opened(tree.file(b"f", b"content"))
        file.lock(LOCK_RDLCK, 0, 3)
        file.lock(LOCK_WRLCK, 0, 0)
        assert file.test_lock(LOCK_WRLCK, 0, 0) is None
        file.lock(LOCK_UNLCK, 0, 0)


class DeletedFileTests:
    """Files whose name is removed while they are open, as temporary-file libraries do."""

    def test_everything_goes_on_without_a_name(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content")
        file = tree.opened(node)
        tree.root.unlink(b"f", directory=False)
        assert not tree.has(b"f")
        assert read_all(file) == b"content"
        assert file.write(7, b" more", 0) == 5
        file.truncate(9, 0)
        assert read_all(file) == b"content m"
        a = attributes(node)
        assert (a.size, a.nlink) == (9, 0)

    def test_a_file_that_is_not_even_open(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content")
        tree.root.unlink(b"f", directory=False)
        tree.file(b"f", b"another one")
        a = attributes(node)
        assert (a.size, a.nlink) == (7, 0)
        try:
            assert tree.read(node) == b"content"
        except OSError as error:
            assert linux_errno(error) in {Errno.ENOENT, Errno.ESTALE}  # noqa: PT017 - both errors are right

    def test_attributes_go_on_without_a_name(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content")
        tree.opened(node)
        tree.root.unlink(b"f", directory=False)
        node.setattr(Changes(mode=0o600, mtime=10**18, by=0))
        node.setattr(Changes(size=3, by=0))
        assert attributes(node).size == 3
        if tree.can.modes:
            assert mode_of(node) == 0o600

    def test_a_new_file_of_that_name_is_another_one(self, tree: ScratchTree) -> None:
        old = tree.file(b"f", b"old")
        file = tree.opened(old)
        tree.root.unlink(b"f", directory=False)
        new = tree.file(b"f", b"new")
        assert new.qid.path != old.qid.path
        assert (read_all(file), tree.read(new)) == (b"old", b"new")
        with refuses(Errno.ENOENT, Errno.ESTALE):
            old.remove()
        assert tree.names() == [b"f"]

    def test_a_replaced_file_goes_on(self, tree: ScratchTree) -> None:
        old = tree.file(b"f", b"old")
        file = tree.opened(old)
        tree.file(b"g", b"new")
        tree.root.rename(b"g", tree.root, b"f")
        assert read_all(file) == b"old"
        assert file.write(0, b"OLD", 0) == 3
        assert attributes(old).nlink == 0
        assert tree.read(tree.walk(b"f")) == b"new"

    def test_a_renamed_file_goes_on(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content")
        file = tree.opened(node)
        tree.root.rename(b"f", tree.folder(b"d"), b"g")
        assert file.write(7, b"!", 0) == 1
        assert attributes(node).size == 8
        assert tree.read(tree.walk(b"d", b"g")) == b"content!"
