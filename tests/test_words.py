"""The vocabulary: names and prose in the words of manual pages, RFCs and the kernel, and nothing that
is no person spoken of as one.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[1]

PERSONS = {"anybody", "anyone", "everybody", "everyone", "nobody", "somebody", "someone", "whoever"} | {
    *("inhabitant", "stranger", "visitor"),
}
PRIVATE = {"bury", "buried", "doomed", "door", "fasten", "fastened", "linger", "lingers", "outbox", "patience"} | {
    *("pin", "pinned", "pins", "spared"),
}
"""Words that this project had to itself, for a path handle, an admission, the bytes to be sent."""

KEPT = {
    ("src/ninep/host/windows/api.py", "pinned"): "FILE_ATTRIBUTE_PINNED of Windows",
    ("src/ninep/host/windows/status.py", "pinned"): "a status of NTSTATUS",
    ("docs/drivers.md", "door"): "what a sensor of the example is at",
    ("docs/performance-data.md", "pinned"): "to a processor, as taskset(1) does",
}
"""Where one of them is the field's own."""


def words(text: str) -> set[str]:
    """Those of prose and of names, which underscores and capitals divide."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", text)}


def texts() -> Iterator[Path]:
    yield from sorted((TOP / "src").rglob("*.py"))
    yield from sorted((TOP / "docs").glob("*.md"))
    yield from (TOP / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md"))


@pytest.fixture(scope="module")
def found() -> set[tuple[str, str]]:
    return {
        (path.relative_to(TOP).as_posix(), word)
        for path in texts()
        for word in words(path.read_text(encoding="utf-8")) & (PERSONS | PRIVATE)
    }


def test_the_words_of_prose_and_of_names() -> None:
    assert words("Nobody's `_pin_count`, class PinTable, O_PATH") == {
        *("nobody", "s", "pin", "count", "class", "table", "o", "path"),
    }


def test_only_words_of_the_field(found: set[tuple[str, str]]) -> None:
    assert found - KEPT.keys() == set()


def test_no_exception_outlives_its_word(found: set[tuple[str, str]]) -> None:
    assert KEPT.keys() - found == set()
