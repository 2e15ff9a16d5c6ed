"""The vocabulary: names and prose in the words of manual pages, RFCs and the kernel, and nothing that
is no person spoken of as one.
"""

import ast
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


def functions(top: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in sorted(top.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path.relative_to(TOP).as_posix(), node


def test_names_of_tests_have_the_same_words() -> None:
    """But for the user nobody, whom hosts have."""
    found = {(path, node.name) for path, node in functions(TOP / "tests") if words(node.name) & (PERSONS | PRIVATE)}
    assert found == {("tests/threats/test_t11_identity.py", "test_root_that_runs_as_the_user_nobody")}


QUESTIONS = re.compile(r"_*(is|has|are|was|may|can|must|needs|keeps|should|unused)(_|$)")


def test_a_question_is_answered_by_true_or_false() -> None:
    """A function that raises instead is named ``check_``, one that makes sure ``require_`` or
    ``reserve_``.
    """
    assert QUESTIONS.match("may_wait")
    assert not QUESTIONS.match("canonical")
    asking = [(path, node) for path, node in functions(TOP / "src") if QUESTIONS.match(node.name)]
    assert len(asking) > 50
    assert {
        (path, node.name) for path, node in asking if node.returns is None or ast.unparse(node.returns) != "bool"
    } == set()
