"""`ninep probe`: what the file system of a folder can do."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="asks for what Linux has")


def test_a_row_for_each_capability(ninep, tmp_path: Path) -> None:
    done = ninep("probe", tmp_path)
    assert done.status == 0
    assert done.lines[0].startswith("file system: ")
    assert done.lines[1].startswith("security model: ")
    assert any(line.split() == ["locks", "yes"] for line in done.lines)
    assert not list(tmp_path.iterdir())


def test_two_mounts_are_compared(ninep, tmp_path: Path) -> None:
    done = ninep("probe", "--json", tmp_path, tmp_path)
    rows = {row["name"]: row["answer"] for row in json.loads(done.out)["found"]}
    assert rows["shared locks"] == "yes"


def test_nothing_is_written_unless_it_may(ninep, tmp_path: Path) -> None:
    before = tmp_path.stat().st_mtime_ns
    done = ninep("probe", "--no-write", tmp_path)
    assert "not asked" in done.lines[2]
    assert tmp_path.stat().st_mtime_ns == before


def test_a_folder_that_is_missing_is_one_line(ninep, tmp_path: Path) -> None:
    done = ninep("probe", tmp_path / "missing")
    assert done.status == 1
    assert done.err.splitlines() == [f"ninep probe: {tmp_path / 'missing'}: No such file or directory"]


def test_help_has_examples(ninep) -> None:
    assert "ninep probe --no-write" in ninep("probe", "--help").out.decode()
