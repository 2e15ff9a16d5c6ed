"""What the security models share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ninep import host
from ninep.linux import O_CREAT, O_EXCL, O_RDWR, S_IFDIR, S_IFREG, S_ISGID, S_ISUID
from ninep.security.base import carries_setid, creation, permissions, same, undo, without_setid


def test_a_create_that_makes_the_file_itself() -> None:
    assert creation(O_RDWR) == O_RDWR | O_CREAT | O_EXCL


@pytest.mark.parametrize(
    ("mode", "after"),
    [
        (0o4755, 0o755),
        (0o2755, 0o755),
        (0o2644, 0o2644),  # SGID without execution is mandatory locking, and stays
        (0o6711, 0o711),
        (0o1755, 0o1755),
    ],
)
def test_set_user_bits_that_a_write_drops(mode: int, after: int) -> None:
    assert without_setid(S_IFREG | mode) == S_IFREG | after
    assert carries_setid(S_IFREG | mode) == (mode != after)


def test_directories_keep_theirs() -> None:
    assert not carries_setid(S_IFDIR | S_ISGID | S_ISUID | 0o777)


def test_the_twelve_bits_of_a_chmod() -> None:
    assert permissions(S_IFREG | 0o7777) == 0o7777


@pytest.mark.parametrize("make", [lambda path: path.write_bytes(b""), lambda path: path.mkdir()])
def test_what_was_made_and_could_not_be_finished_is_removed(tmp_path: Path, make: object) -> None:
    make(tmp_path / "new")  # type: ignore[operator]
    root = host.open_root(str(tmp_path))
    try:
        undo(root, b"new", host.stat_at(root, b"new"))
        assert list(tmp_path.iterdir()) == []
    finally:
        host.close(root)


def test_unless_another_file_has_its_name_by_then(tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"ours")
    (tmp_path / "other").write_bytes(b"another's")
    root = host.open_root(str(tmp_path))
    try:
        made, other = host.stat_at(root, b"new"), host.stat_at(root, b"other")
        assert same(made, made)
        assert not same(made, other)
        os.replace(tmp_path / "other", tmp_path / "new")
        undo(root, b"new", made)
        assert (tmp_path / "new").read_bytes() == b"another's"
        undo(root, b"gone", made)  # a name that is gone is no error
    finally:
        host.close(root)
