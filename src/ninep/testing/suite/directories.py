"""Directories: mkdir, and listings that contain each entry exactly once."""

from __future__ import annotations

import random

import pytest

from ninep.linux import DT_DIR, DT_LNK, DT_REG, DT_UNKNOWN, S_IFDIR, Errno
from ninep.node import Dirent
from ninep.testing.suite.tree import GID, UID, ScratchTree, attributes, mode_of, read_entries, read_some, refuses
from ninep.wire.codec import unpack_dirents


class MkdirTests:
    """mkdir."""

    @pytest.mark.parametrize("mode", [0o000, 0o700, 0o755, 0o1777, 0o2775, 0o7777], ids=oct)
    def test_a_new_directory(self, tree: ScratchTree, mode: int) -> None:
        qid = tree.root.mkdir(b"d", S_IFDIR | mode, UID, GID)
        node = tree.walk(b"d")
        a = attributes(node)
        assert a.mode & 0o170000 == S_IFDIR
        assert (qid.type, qid.path) == (0x80, a.qid_path)
        if tree.can.modes:
            assert mode_of(node) == mode
        if tree.can.owners == "kept":
            assert (a.uid, a.gid) == (UID, GID)
        tree.change(node, mode=0o755)
        assert tree.names(node) == []

    def test_over_what_exists(self, tree: ScratchTree) -> None:
        tree.file(b"f", b"content")
        tree.file(b"x", within=tree.folder(b"d"))
        names = [b"d", b"f"]
        if tree.can.symlinks:
            tree.link(b"l", b"nothing")
            names.append(b"l")
        for name in names:
            with refuses(Errno.EEXIST):
                tree.root.mkdir(name, 0o755, UID, GID)
        assert tree.names() == names
        assert tree.names(tree.walk(b"d")) == [b"x"]

    def test_in_what_is_no_directory(self, tree: ScratchTree) -> None:
        with refuses(Errno.ENOTDIR):
            tree.file(b"f").mkdir(b"x", 0o755, UID, GID)

    def test_in_a_deleted_directory(self, tree: ScratchTree) -> None:
        folder = tree.folder(b"d")
        tree.root.unlink(b"d", directory=True)
        with refuses(Errno.ENOENT, Errno.ESTALE):
            folder.mkdir(b"x", 0o755, UID, GID)

    def test_deep(self, tree: ScratchTree) -> None:
        node = tree.root
        for i in range(60):
            node = tree.folder(b"level %d" % i, within=node)
        tree.file(b"f", b"content", within=node)
        assert tree.read(tree.walk(*(b"level %d" % i for i in range(60)), b"f")) == b"content"


class ListingTests:
    """opendir and OpenDir.read."""

    def test_an_empty_directory(self, tree: ScratchTree) -> None:
        folder = tree.folder(b"d")
        entries = tree.entries(folder)
        assert sorted(entry.name for entry in entries) == [b".", b".."]
        paths = {entry.name: entry.qid_path for entry in entries}
        assert paths == {b".": folder.qid.path, b"..": tree.root.qid.path}

    def test_above_the_root_is_the_root(self, tree: ScratchTree) -> None:
        paths = {entry.name: entry.qid_path for entry in tree.entries()}
        assert paths == {b".": tree.root.qid.path, b"..": tree.root.qid.path}

    def test_types_of_entries(self, tree: ScratchTree) -> None:
        kinds = {b"f": DT_REG, b"d": DT_DIR, b".": DT_DIR}
        tree.file(b"f")
        tree.folder(b"d")
        if tree.can.symlinks:
            tree.link(b"l", b"f")
            kinds[b"l"] = DT_LNK
        for entry in tree.entries():
            if entry.name == b"..":
                continue
            assert entry.type in {kinds[entry.name], DT_UNKNOWN}
            node = tree.root if entry.name == b"." else tree.walk(entry.name)
            assert entry.qid_path == node.qid.path

    def test_only_directories_are_listed(self, tree: ScratchTree) -> None:
        with refuses(Errno.ENOTDIR):
            tree.file(b"f").opendir()
        if tree.can.symlinks:
            with refuses(Errno.ENOTDIR, Errno.ELOOP):
                tree.link(b"l", b".").opendir()

    @pytest.mark.parametrize("room", [40, 100, 1000, 8168, 131_072])
    def test_a_large_directory_in_answers_of_any_size(self, tree: ScratchTree, room: int) -> None:
        names = sorted([b"."] + [b".."] + [b"entry%d" % i for i in range(700)])
        for name in names[2:]:
            tree.root.mkdir(name, 0o755, 0, 0)
        entries = tree.entries(room=room)
        assert sorted(entry.name for entry in entries) == names
        cookies = [entry.cookie for entry in entries]
        assert len(set(cookies)) == len(cookies)
        assert all(0 < cookie < 1 << 63 for cookie in cookies)

    def test_an_answer_is_empty_only_at_the_end(self, tree: ScratchTree) -> None:
        """With too little room for one entry an answer may exceed it but never be empty: empty
        means the end.
        """
        for i in range(5):
            tree.root.mkdir(b"entry%d" % i, 0o755, 0, 0)
        listing = tree.track(tree.root.opendir())
        seen, cookie = [], 0
        while answer := read_some(listing, cookie, 1):
            seen.append(answer[0].name)
            cookie = answer[0].cookie
        assert len(seen) == len(set(seen)) == 7

    def test_going_on_from_any_entry(self, tree: ScratchTree) -> None:
        for i in range(100):
            tree.root.mkdir(b"entry%d" % i, 0o755, 0, 0)
        listing = tree.track(tree.root.opendir())
        entries = read_entries(listing)
        for i in (0, 1, 2, 50, 99, 101):
            rest = read_entries(listing, cookie=entries[i].cookie)
            assert [entry.name for entry in rest] == [entry.name for entry in entries[i + 1 :]]

    @pytest.mark.parametrize("room", [100, 1000, 131_072])
    def test_packed_answers_are_the_same_and_have_small_cookies(self, tree: ScratchTree, room: int) -> None:
        """For a driver with ``read_packed``: the server passes its cookies on to 32-bit
        programs.
        """
        for i in range(100):
            tree.root.mkdir(b"entry%d" % i, 0o755, 0, 0)
        listing = tree.track(tree.root.opendir())
        packed: list[Dirent] = []
        while answer := listing.read_packed(packed[-1].cookie if packed else 0, room):
            assert len(answer) <= room
            packed += unpack_dirents(answer)
        if answer is None:
            assert not packed
            return
        assert [entry.name for entry in packed] == [entry.name for entry in read_entries(listing)]
        assert len({entry.cookie for entry in packed}) == 102
        assert all(0 < entry.cookie < 1 << 31 for entry in packed)
        for i in (0, 50, 101, 3):
            rest = listing.read_packed(packed[i].cookie, room)
            assert [entry.name for entry in packed[i + 1 :][:1]] == [
                entry.name for entry in unpack_dirents(rest or b"")[:1]
            ]

    def test_rewinding_reads_afresh(self, tree: ScratchTree) -> None:
        tree.file(b"old")
        listing = tree.track(tree.root.opendir())
        assert len(read_entries(listing)) == 3
        tree.file(b"new")
        tree.root.unlink(b"old", directory=False)
        assert sorted(entry.name for entry in read_entries(listing)) == [b".", b"..", b"new"]

    def test_two_readers_do_not_disturb_each_other(self, tree: ScratchTree) -> None:
        for i in range(50):
            tree.root.mkdir(b"entry%d" % i, 0o755, 0, 0)
        one, two = tree.track(tree.root.opendir()), tree.track(tree.root.opendir())
        first = read_some(one, 0, 300)[:5]
        assert len(read_entries(two)) == 52
        rest = read_entries(one, cookie=first[-1].cookie)
        assert len({entry.name for entry in [*first, *rest]}) == 52

    def test_nothing_but_what_was_made(self, tree: ScratchTree) -> None:
        """Files that a driver uses for its own data are not listed."""
        folder = tree.folder(b"d")
        node = tree.file(b"f", b"content", within=folder)
        tree.change(node, mode=0o600)
        if tree.can.owners == "kept":
            tree.change(node, uid=5, gid=6)
            tree.change(folder, uid=5, gid=6)
        if tree.can.xattrs:
            node.setxattr(b"user.x", b"value", 0)
        folder.rename(b"f", tree.root, b"g")
        assert tree.names() == [b"d", b"g"]
        assert tree.names(folder) == []

    def test_a_moved_directory_is_still_listed(self, tree: ScratchTree) -> None:
        folder = tree.folder(b"d")
        tree.file(b"f", within=folder)
        listing = tree.track(folder.opendir())
        tree.root.rename(b"d", tree.folder(b"e"), b"moved")
        assert sorted(entry.name for entry in read_entries(listing)) == [b".", b"..", b"f"]

    def test_a_deleted_directory_has_no_entries(self, tree: ScratchTree) -> None:
        folder = tree.folder(b"d")
        listing = tree.track(folder.opendir())
        tree.root.unlink(b"d", directory=True)
        try:
            names = {entry.name for entry in read_entries(listing)}
        except OSError:
            names = set()
        assert names <= {b".", b".."}


class StabilityTests:
    """An entry that existed throughout is returned exactly once, whatever is created and deleted
    meanwhile.
    """

    def test_deleting_what_was_read(self, tree: ScratchTree) -> None:
        """``rm -rf`` of a large directory."""
        folder = tree.folder(b"d")
        for i in range(500):
            folder.mkdir(b"entry%d" % i, 0o755, 0, 0)
        listing = tree.track(folder.opendir())
        cookie, removed = 0, 0
        while answer := read_some(listing, cookie, 1000)[:10]:
            for entry in answer:
                if entry.name not in {b".", b".."}:
                    folder.unlink(entry.name, directory=True)
                    removed += 1
            cookie = answer[-1].cookie
        assert removed == 500
        tree.root.unlink(b"d", directory=True)

    @pytest.mark.parametrize("seed", range(3))
    def test_creating_deleting_and_renaming_while_reading(self, tree: ScratchTree, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - a reproducible shuffle
        staying = {b"stays%d" % i for i in range(200)}
        going = [b"goes%d" % i for i in range(200)]
        order = [*staying, *going]
        chance.shuffle(order)
        for name in order:
            tree.root.mkdir(name, 0o755, 0, 0)
        listing = tree.track(tree.root.opendir())
        seen: list[bytes] = []
        cookie, step = 0, 0
        while answer := read_some(listing, cookie, 600)[:12]:
            seen += [entry.name for entry in answer]
            cookie = answer[-1].cookie
            for _ in range(5):
                step += 1
                if going and chance.random() < 0.5:
                    tree.root.unlink(going.pop(), directory=True)
                elif going and chance.random() < 0.5:
                    tree.root.rename(going.pop(), tree.root, b"renamed%d" % step)
                elif step < 400:
                    tree.root.mkdir(b"new%d" % step, 0o755, 0, 0)
        assert {name for name in seen if name in staying} == staying
        assert len([name for name in seen if name in staying]) == len(staying)
        assert seen.count(b".") == seen.count(b"..") == 1
