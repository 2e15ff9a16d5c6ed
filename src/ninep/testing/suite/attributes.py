"""Attributes: the result of getattr, the changes and order of setattr, and the loss of SUID and
SGID.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from ninep.linux import (
    GETATTR_ALL,
    GETATTR_BASIC,
    GETATTR_BTIME,
    GETATTR_GEN,
    NO_ID,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
    S_IFDIR,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    Errno,
)
from ninep.node import NOW, Changes, Node
from ninep.testing.suite.case import eventually
from ninep.testing.suite.tree import (
    NON_ROOT,
    ScratchTree,
    atime_of,
    attributes,
    ctime_of,
    in_buffers,
    kind_of,
    mode_of,
    mtime_of,
    owners_of,
    qid_of,
    refuses,
)

SECOND = 1_000_000_000
DAY = 86_400 * SECOND


class GetattrTests:
    """getattr and statfs."""

    @pytest.mark.parametrize(
        "mask", [0, 1, GETATTR_BASIC, GETATTR_BASIC | GETATTR_GEN, GETATTR_ALL, (1 << 64) - 1], ids=hex
    )
    def test_basic_is_always_answered(self, tree: ScratchTree, mask: int) -> None:
        for node in (tree.root, tree.folder(b"d"), tree.file(b"f", b"abc")):
            a = node.getattr(mask)
            assert a.valid & GETATTR_BASIC == GETATTR_BASIC
            assert qid_of(a) == node.qid
            assert (a.qid_type == 0x80) == (a.mode & S_IFMT == S_IFDIR)
            assert a.nlink >= 1
            assert a.blksize > 0
            assert all(0 <= nsec < SECOND for nsec in (a.atime_nsec, a.mtime_nsec, a.ctime_nsec, a.btime_nsec))

    def test_sizes(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"x" * 5000)
        a = attributes(node)
        assert (a.size, a.nlink, a.rdev, a.mode & S_IFMT) == (5000, 1, 0, S_IFREG)

    def test_btime_is_valid_only_if_supported(self, tree: ScratchTree) -> None:
        node = tree.file(b"f")
        before = time.time_ns()
        a = node.getattr(GETATTR_ALL)
        if a.valid & GETATTR_BTIME:
            assert abs(a.btime_sec * SECOND + a.btime_nsec - before) < DAY
            tree.change(node, mtime=5 * DAY)
            assert node.getattr(GETATTR_ALL).btime_sec == a.btime_sec

    def test_the_generation_of_a_file_never_changes(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"abc")
        before = node.getattr(GETATTR_ALL).gen
        tree.rewrite(node, b"other")
        tree.root.rename(b"f", tree.root, b"g")
        assert tree.walk(b"g").getattr(GETATTR_ALL).gen == before

    def test_the_filesystem(self, tree: ScratchTree) -> None:
        figures = tree.root.statfs()
        assert figures.bsize > 0
        assert figures.blocks >= figures.bfree >= figures.bavail >= 0
        assert figures.files >= figures.ffree >= 0
        assert figures.namelen >= 12
        assert tree.file(b"f").statfs().bsize == figures.bsize


class ModeTests:
    """chmod."""

    @pytest.mark.parametrize("mode", [0, 0o400, 0o644, 0o1777, 0o2750, 0o4755, 0o7777], ids=oct)
    def test_twelve_bits(self, tree: ScratchTree, mode: int) -> None:
        if not tree.can.modes:
            pytest.skip("the driver does not keep permission bits")
        for node in (tree.file(b"f"), tree.folder(b"d")):
            tree.change(node, mode=mode)
            assert mode_of(node) == mode
            tree.change(node, mode=0o755)

    @pytest.mark.parametrize("kind", [S_IFDIR, S_IFLNK, S_IFREG, S_IFMT, 0o7000000], ids=oct)
    def test_the_type_never_changes(self, tree: ScratchTree, kind: int) -> None:
        node, folder = tree.file(b"f", b"content"), tree.folder(b"d")
        tree.change(node, mode=kind | 0o640)
        tree.change(folder, mode=kind | 0o750)
        assert (kind_of(node), kind_of(folder)) == (S_IFREG, S_IFDIR)
        assert tree.read(node) == b"content"
        if tree.can.modes:
            assert (mode_of(node), mode_of(folder)) == (0o640, 0o750)

    def test_a_link_is_not_followed(self, tree: ScratchTree) -> None:
        if not tree.can.symlinks:
            pytest.skip("the driver has no symbolic links")
        target, link = tree.file(b"target", mode=0o600), tree.link(b"l", b"target")
        try:
            tree.change(link, mode=0o777)
        except OSError:
            assert kind_of(link) == S_IFLNK
        assert mode_of(target) == (0o600 if tree.can.modes else mode_of(target))
        assert kind_of(link) == S_IFLNK


class OwnerTests:
    """chown."""

    @pytest.mark.parametrize(
        ("uid", "gid"), [(0, 0), (1, 2), (65534, 65535), (1 << 31, (1 << 31) + 1), (NO_ID - 1, NO_ID - 2)]
    )
    def test_owner_and_group(self, tree: ScratchTree, uid: int, gid: int) -> None:
        nodes = [tree.file(b"f"), tree.folder(b"d")]
        if tree.can.symlinks:
            nodes.append(tree.link(b"l", b"f"))
        for node in nodes:
            before = attributes(node)
            if tree.can.owners == "refused":
                with refuses(Errno.EPERM, Errno.EOPNOTSUPP):
                    tree.change(node, uid=uid, gid=gid)
            else:
                tree.change(node, uid=uid, gid=gid)
            after = attributes(node)
            kept = tree.can.owners == "kept" and (tree.can.link_owners or before.mode & S_IFMT != S_IFLNK)
            assert (after.uid, after.gid) == ((uid, gid) if kept else (before.uid, before.gid))
            assert after.mode & S_IFMT == before.mode & S_IFMT

    def test_one_without_the_other(self, tree: ScratchTree) -> None:
        if tree.can.owners != "kept":
            pytest.skip("the driver keeps no owners")
        node = tree.file(b"f")
        tree.change(node, uid=5, gid=6)
        tree.change(node, uid=7)
        tree.change(node, gid=8)
        a = attributes(node)
        assert (a.uid, a.gid) == (7, 8)

    def test_a_link_is_not_followed(self, tree: ScratchTree) -> None:
        if tree.can.owners != "kept" or not tree.can.symlinks:
            pytest.skip("the driver keeps no owners, or has no symbolic links")
        target, link = tree.file(b"target"), tree.link(b"l", b"target")
        before = attributes(target)
        tree.change(link, uid=7, gid=8)
        after, own = attributes(target), attributes(link)
        assert (after.uid, after.gid) == (before.uid, before.gid)
        assert (own.uid, own.gid) == ((7, 8) if tree.can.link_owners else owners_of(tree.root))


class TimeTests:
    """utimes, and the automatic changes of times."""

    @pytest.mark.parametrize(
        "moment", [0, 1, 5 * DAY + 123_456_789, 2**31 * SECOND + 999_999_999, -2 * DAY, -1], ids=str
    )
    def test_a_moment(self, tree: ScratchTree, moment: int) -> None:
        step = tree.can.time_step
        for node in (tree.file(b"f"), tree.folder(b"d")):
            tree.change(node, atime=moment, mtime=moment + SECOND)
            assert atime_of(node) == moment // step * step
            assert mtime_of(node) == (moment + SECOND) // step * step

    def test_one_without_the_other(self, tree: ScratchTree) -> None:
        node = tree.file(b"f")
        tree.change(node, atime=DAY, mtime=2 * DAY)
        tree.change(node, atime=3 * DAY)
        assert (atime_of(node), mtime_of(node)) == (3 * DAY, 2 * DAY)
        tree.change(node, mtime=4 * DAY)
        assert (atime_of(node), mtime_of(node)) == (3 * DAY, 4 * DAY)

    def test_now(self, tree: ScratchTree) -> None:
        node = tree.file(b"f")
        tree.change(node, atime=DAY, mtime=DAY)
        tree.change(node, mtime=NOW)
        assert atime_of(node) == DAY
        assert abs(mtime_of(node) - time.time_ns()) < DAY
        tree.change(node, atime=NOW, mtime=2 * DAY)
        assert abs(atime_of(node) - time.time_ns()) < DAY
        assert mtime_of(node) == 2 * DAY

    @pytest.mark.parametrize(
        "moment", [(1 << 63) * SECOND - 1, -(1 << 63) * SECOND, (1 << 40) * SECOND], ids=["last", "first", "far"]
    )
    def test_moments_beyond_all_clocks(self, tree: ScratchTree, moment: int) -> None:
        """Stored, clamped or refused; any exception other than OSError would be answered EIO."""
        node = tree.file(b"f", b"content")
        try:
            tree.change(node, atime=moment, mtime=moment)
        except OSError:
            assert abs(mtime_of(node) - time.time_ns()) < DAY
        assert tree.read(node) == b"content"

    def test_a_link_has_its_own(self, tree: ScratchTree) -> None:
        if not tree.can.symlinks:
            pytest.skip("the driver has no symbolic links")
        target, link = tree.file(b"target"), tree.link(b"l", b"target")
        before = mtime_of(target)
        tree.change(link, mtime=DAY)
        assert (mtime_of(target), mtime_of(link)) == (before, DAY)

    def test_a_write_moves_mtime_and_ctime(self, tree: ScratchTree) -> None:
        node = tree.file(b"f")
        tree.change(node, mtime=DAY)
        before = ctime_of(node)

        def written() -> bool:
            tree.rewrite(node, b"content")
            return ctime_of(node) > before

        assert eventually(written)
        assert mtime_of(node) > DAY

    def test_making_an_entry_moves_the_directorys_mtime(self, tree: ScratchTree) -> None:
        folder = tree.folder(b"d")
        for change in (
            lambda: folder.mkdir(b"x", 0o755, 0, 0),
            lambda: folder.rename(b"x", folder, b"y"),
            lambda: folder.unlink(b"y", directory=True),
        ):
            tree.change(folder, mtime=DAY)
            change()
            assert mtime_of(folder) > DAY

    def test_changing_attributes_moves_ctime_but_not_mtime(self, tree: ScratchTree) -> None:
        node = tree.file(b"f")
        tree.change(node, mtime=DAY)
        changes: list[dict[str, int]] = [{"mode": 0o600}, {"touch": True}, {"atime": DAY}]
        for change in changes:
            before = ctime_of(node)

            def moved(change: dict[str, int] = change, before: int = before) -> bool:
                tree.change(node, **change)
                return ctime_of(node) > before

            assert eventually(moved), change
            assert mtime_of(node) == DAY

    def test_nothing_asked_is_nothing_done(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content")
        before = attributes(node)
        node.setattr(Changes())
        node.setattr(Changes(by=0))
        assert attributes(node)[:11] == before[:11]


class OrderTests:
    """Several changes at once: size, owner, mode, times."""

    def test_times_win_over_a_truncation(self, tree: ScratchTree) -> None:
        node = tree.file(b"f", b"content")
        tree.change(node, size=3, mtime=DAY, atime=2 * DAY)
        assert (attributes(node).size, mtime_of(node), atime_of(node)) == (3, DAY, 2 * DAY)

    def test_a_mode_wins_over_the_loss_of_privileges(self, tree: ScratchTree) -> None:
        if not tree.can.modes:
            pytest.skip("the driver does not keep permission bits")
        node = tree.file(b"f", b"content", 0o6777)
        tree.change(node, size=3, mode=0o6755, by=NON_ROOT)
        assert mode_of(node) == 0o6755
        if tree.can.owners == "kept":
            tree.change(node, uid=7, mode=0o6711, by=NON_ROOT)
            assert mode_of(node) == 0o6711

    def test_a_refused_change_takes_the_others_with_it(self, tree: ScratchTree) -> None:
        folder = tree.folder(b"d", 0o755)
        before = attributes(folder)
        with refuses(Errno.EISDIR, Errno.EINVAL):
            tree.change(folder, size=5, mode=0o700, mtime=DAY)
        after = attributes(folder)
        assert after.mode == before.mode
        assert mtime_of(folder) != DAY

    def test_only_files_have_a_size_to_set(self, tree: ScratchTree) -> None:
        with refuses(Errno.EISDIR, Errno.EINVAL):
            tree.change(tree.root, size=0)
        if tree.can.symlinks:
            target = tree.file(b"target", b"content")
            with refuses():
                tree.change(tree.link(b"l", b"target"), size=0)
            assert tree.read(target) == b"content"


def _write(tree: ScratchTree, node: Node, by: int) -> None:
    assert tree.opened(node, O_RDWR).write(0, b"C", by) == 1


def _write_from(tree: ScratchTree, node: Node, by: int) -> None:
    assert tree.opened(node, O_RDWR).write_from(0, in_buffers(b"Co", (1, 1))[1], by) == 2


def _truncate(tree: ScratchTree, node: Node, by: int) -> None:
    tree.opened(node, O_RDWR).truncate(3, by)


def _set_size(tree: ScratchTree, node: Node, by: int) -> None:
    tree.change(node, size=3, by=by)


def _open_truncating(tree: ScratchTree, node: Node, by: int) -> None:
    tree.opened(node, O_WRONLY | O_TRUNC, by)


def _chown(tree: ScratchTree, node: Node, by: int) -> None:
    a = attributes(node)
    tree.change(node, uid=a.uid, gid=a.gid, by=by)


HANDS: dict[str, Callable[[ScratchTree, Node, int], None]] = {
    "write": _write,
    "write from buffers": _write_from,
    "truncate": _truncate,
    "set size": _set_size,
    "open truncating": _open_truncating,
    "chown": _chown,
}


@pytest.mark.parametrize("how", HANDS)
class PrivilegeTests:
    """SUID and SGID are dropped when a user other than root changes content or owner
    (CVE-2023-1386).
    """

    @pytest.fixture(autouse=True)
    def _require_modes(self, tree: ScratchTree) -> None:
        if not tree.can.modes:
            pytest.skip("the driver does not keep permission bits")

    @pytest.mark.parametrize(
        ("before", "after"),
        [
            (0o4755, 0o0755),
            (0o2755, 0o0755),
            (0o6755, 0o0755),
            (0o4644, 0o0644),
            # SGID without group execution is not a privilege: it marks files for mandatory locking
            (0o6745, 0o2745),
            (0o1777, 0o1777),
        ],
        ids=oct,
    )
    def test_privileges_go(self, tree: ScratchTree, how: str, before: int, after: int) -> None:
        node = tree.file(b"f", b"content", before)
        HANDS[how](tree, node, NON_ROOT)
        assert mode_of(node) == after

    def test_also_for_an_unknown_uid(self, tree: ScratchTree, how: str) -> None:
        node = tree.file(b"f", b"content", 0o6755)
        HANDS[how](tree, node, NO_ID)
        assert mode_of(node) == 0o755

    def test_also_through_a_file_opened_before(self, tree: ScratchTree, how: str) -> None:
        node = tree.file(b"f", b"content")
        file = tree.opened(node)
        tree.change(node, mode=0o6755)
        file.write(0, b"x", NON_ROOT)
        HANDS[how](tree, node, NON_ROOT)
        assert mode_of(node) == 0o755


class RootPrivilegeTests:
    """A write by root drops nothing (a chown does, on Linux, for every user)."""

    @pytest.mark.parametrize("how", sorted(HANDS.keys() - {"chown"}))
    def test_root_keeps_them(self, tree: ScratchTree, how: str) -> None:
        if not tree.can.root_keeps_setid or not tree.can.modes:
            pytest.skip("the host drops them for every user, or the driver does not store them")
        node = tree.file(b"f", b"content", 0o6755)
        HANDS[how](tree, node, 0)
        assert mode_of(node) == 0o6755
