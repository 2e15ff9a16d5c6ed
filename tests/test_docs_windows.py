"""What docs/windows.md names is there: every module, and every test by its function."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parent.parent
TEXT = (TOP / "docs" / "windows.md").read_text()
TESTS = sorted(set(re.findall(r"`([a-z0-9_/]+\.py)::(\w+)`", TEXT)))
MODULES = sorted(set(re.findall(r"`(windows/[a-z]+\.py)`", TEXT)))
PATHS = sorted(set(re.findall(r"`((?:tests|src)/[a-z0-9_/.]+\.py)`", TEXT)))


@pytest.mark.parametrize(("path", "function"), TESTS)
def test_tests_are_there(path: str, function: str) -> None:
    assert re.search(rf"^def {function}\(", (TOP / "tests" / path).read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", MODULES)
def test_modules_are_there(name: str) -> None:
    assert (TOP / "src" / "ninep" / "host" / name).is_file()


@pytest.mark.parametrize("path", PATHS)
def test_files_are_there(path: str) -> None:
    assert (TOP / path).is_file()


def test_the_tables_are_whole() -> None:
    """21 behaviours and 23 bugs, in order, and no row without a test."""
    numbers = [int(row[0]) for row in re.findall(r"^\| (\d+) \|(.*)$", TEXT, re.MULTILINE) if "::test_" in row[1]]
    assert numbers == [*range(1, 22), *range(1, 24)]
