"""What one command has made is not overwritten by it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ninep.client.copied import Copied, not_overwritten


def test_a_file_that_was_there_before_may_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"")
    Copied().check(os.stat(tmp_path / "old"), "old")


def test_one_that_this_command_made_may_not(tmp_path: Path) -> None:
    copied = Copied()
    (tmp_path / "new").write_bytes(b"")
    copied.record(os.stat(tmp_path / "new"))
    with pytest.raises(FileExistsError, match="this command has just made it") as caught:
        copied.check(os.stat(tmp_path / "new"), "NEW")
    assert caught.value.filename == "NEW"


def test_one_directory_under_two_names(tmp_path: Path) -> None:
    copied = Copied()
    (tmp_path / "d").mkdir()
    found, parent = os.stat(tmp_path / "d"), os.stat(tmp_path)
    copied.enter_directory(found, parent, "d", "d")
    copied.enter_directory(found, parent, "d", "d")  # the same again: two sources of one name
    with pytest.raises(FileExistsError, match="this host takes it for d"):
        copied.enter_directory(found, parent, "D", "D")


def test_files_of_a_server_by_their_qid() -> None:
    copied = Copied()
    copied.record_remote(17, "a")
    assert copied.remote_path(17) == "a"
    assert copied.remote_path(18) is None
    copied.forget_remote("a")
    assert copied.remote_path(17) is None


def test_the_error_names_the_other_name() -> None:
    assert "a: the server takes both names for one" in str(not_overwritten("a", "A"))
    assert "both names" not in str(not_overwritten("a", "a"))
