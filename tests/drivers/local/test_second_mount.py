"""Two mounts of one file system: here the same folder by two handles."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ninep import host
from ninep.drivers.local.handle_cache import self_closing
from ninep.drivers.local.second_mount import compare
from ninep.errors import Refused
from ninep.linux import Errno

pytestmark = pytest.mark.skipif(os.name == "nt", reason="asks for what Linux has")


def answers(one: Path, two: Path) -> dict[str, str]:
    handles = [self_closing(host.open_root(str(folder))) for folder in (one, two)]
    return {row.name: row.answer for row in compare(*handles)}


def test_one_folder_is_the_same_by_both(tmp_path: Path) -> None:
    found = answers(tmp_path, tmp_path)
    assert found["same inodes"] == found["shared locks"] == "yes"
    assert not list(tmp_path.iterdir())


def test_locks_that_the_other_mount_does_not_see_are_not_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "lock", lambda *_: None)
    assert answers(tmp_path, tmp_path)["shared locks"] == "no"


def test_two_folders_are_no_mounts_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ninep.drivers.local.second_mount.LIMIT", 0.05)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with pytest.raises(OSError, match="does not see"):
        answers(tmp_path / "one", tmp_path / "two")
    assert not list((tmp_path / "one").iterdir())


def test_an_error_of_the_second_mount_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise Refused(Errno.EIO)

    monkeypatch.setattr(host, "open_path", fail)
    with pytest.raises(Refused):
        answers(tmp_path, tmp_path)
