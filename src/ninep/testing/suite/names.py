"""Walks, and which names are possible."""

from __future__ import annotations

import pytest

from ninep.linux import O_RDWR, S_IFLNK, Errno
from ninep.testing.suite.tree import ScratchTree, attributes, kind_of, refuses

ODD_NAMES = {
    "space": b"a b",
    "leading and trailing space": b" a ",
    "one space": b" ",
    "newline": b"a\nb",
    "tab": b"\t",
    "controls": b"\x01\x1b[31m\x7f",
    "backslash": b"a\\b",
    "backslashes up": b"..\\x",
    "colon": b"a:b",
    "drive": b"C:",
    "stream": b"f::$DATA",
    "wildcards": b"*?",
    "quotes and pipes": b"\"<>|'",
    "trailing dot": b"a.",
    "three dots": b"...",
    "dot and space": b". ",
    "dotfile": b".hidden",
    "dash": b"-rf",
    "device": b"CON",
    "device with extension": b"nul.txt",
    "short name": b"PROGRA~1",
    "umlaut": "ü".encode(),
    "decomposed": "u\u0308".encode(),
    "beyond the first plane": "\U0001f4c1".encode(),
    "private use": "\uf03a".encode(),
    "percent": b"%2e%2e",
}
NOT_UTF8 = {
    "latin 1": b"\xfc",
    "ff": b"\xff",
    "cut off": b"a\xe2\x82",
    "surrogate": b"\xed\xb2\x80",
    "overlong slash": b"\xc0\xaf",
}


class WalkTests:
    """walk."""

    def test_a_name_that_is_not_there(self, tree: ScratchTree) -> None:
        with refuses(Errno.ENOENT):
            tree.root.walk(b"missing")

    def test_through_a_file(self, tree: ScratchTree) -> None:
        with refuses(Errno.ENOTDIR):
            tree.file(b"f").walk(b"x")

    def test_to_a_link_is_the_link(self, tree: ScratchTree) -> None:
        if not tree.can.symlinks:
            pytest.skip("the driver has no symbolic links")
        tree.file(b"target", within=tree.folder(b"d"))
        link = tree.link(b"l", b"d")
        assert kind_of(link) == S_IFLNK
        with refuses(Errno.ENOTDIR, Errno.ELOOP):
            link.walk(b"target")

    def test_from_a_deleted_directory(self, tree: ScratchTree) -> None:
        folder = tree.folder(b"d")
        tree.root.unlink(b"d", directory=True)
        with refuses(Errno.ENOENT, Errno.ESTALE):
            folder.walk(b"x")


class OddNameTests:
    """Names of any bytes but ``/`` and NUL."""

    def _round_trip(self, tree: ScratchTree, name: bytes) -> None:
        made = tree.file(name, b"content of " + name)
        assert made.name == name
        assert tree.names() == [name]
        assert tree.read(tree.walk(name)) == b"content of " + name
        with refuses(Errno.EEXIST):
            tree.root.mkdir(name, 0o755, 0, 0)
        tree.root.rename(name, tree.root, b"plain")
        assert tree.names() == [b"plain"]
        tree.root.rename(b"plain", tree.root, name)
        tree.root.unlink(name, directory=False)
        tree.folder(name)
        assert tree.names() == [name]
        tree.file(name, within=tree.walk(name))
        assert tree.walk(name, name).name == name
        assert tree.names(tree.walk(name)) == [name]

    @pytest.mark.parametrize("kind", ODD_NAMES)
    def test_text(self, tree: ScratchTree, kind: str) -> None:
        self._round_trip(tree, ODD_NAMES[kind])

    @pytest.mark.parametrize("kind", NOT_UTF8)
    def test_not_utf8(self, tree: ScratchTree, kind: str) -> None:
        if tree.can.any_bytes:
            self._round_trip(tree, NOT_UTF8[kind])
            return
        with refuses(Errno.EINVAL, Errno.EILSEQ):
            tree.file(NOT_UTF8[kind])
        assert tree.names() == []

    def test_all_together(self, tree: ScratchTree) -> None:
        names = sorted([*ODD_NAMES.values(), *(NOT_UTF8.values() if tree.can.any_bytes else ())])
        for name in names:
            tree.root.mkdir(name, 0o755, 0, 0)
        assert tree.names() == names

    def test_upper_and_lower_case(self, tree: ScratchTree) -> None:
        tree.file(b"Name", b"upper")
        if tree.can.case_sensitive:
            tree.file(b"name", b"lower")
            assert [tree.read(tree.walk(name)) for name in (b"Name", b"name")] == [b"upper", b"lower"]
        else:
            with refuses(Errno.EEXIST):
                tree.root.mkdir(b"name", 0o755, 0, 0)
            assert tree.names() == [b"Name"]

    def test_the_longest_name(self, tree: ScratchTree) -> None:
        name = b"n" * tree.can.name_max
        node = tree.file(name, b"x")
        tree.root.rename(name, tree.root, b"m" * len(name))
        assert tree.names() == [b"m" * len(name)]
        assert attributes(node).size == 1

    def test_names_too_long(self, tree: ScratchTree) -> None:
        name = b"n" * (tree.can.name_max + 1)
        tree.file(b"f")
        for make in (
            lambda: tree.root.mkdir(name, 0o755, 0, 0),
            lambda: tree.root.create(name, O_RDWR, 0o644, 0, 0),
            lambda: tree.root.rename(b"f", tree.root, name),
        ):
            with refuses(Errno.ENAMETOOLONG):
                make()
        with refuses(Errno.ENAMETOOLONG, Errno.ENOENT):
            tree.root.walk(name)
        assert tree.names() == [b"f"]
