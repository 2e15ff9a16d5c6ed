"""docs/security.md names every module of attacks, and nothing that is not there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
TEXT = (TOP / "docs" / "security.md").read_text(encoding="utf-8")
MODULES = sorted(path.relative_to(TOP).as_posix() for path in (TOP / "tests" / "threats").glob("test_t[0-9][0-9]_*.py"))
MATRIX = re.findall(r"^\| (T\d\d) \| [^|]+ \| `(tests/threats/[^`|]+)` \| (\d+) \| [^|]+ \|$", TEXT, re.MULTILINE)
"""Class, module, number of tests."""
ROWS = [
    (re.findall(r"`(tests/[^`:]+)`", where), int(count))
    for where, count in re.findall(r"^\|(?! T\d).* \| (`tests/[^|]+) \| (\d+) \| [^|]+ \|$", TEXT, re.MULTILINE)
]
"""Of the other tables: modules, and how many tests they have together."""
NAMED = sorted(set(re.findall(r"`((?:tests|src|tools|bench|fuzz|docs)/[^`]*)`", TEXT)))


def functions(module: str) -> set[str]:
    """The names of the test functions of a module, whether in a class or not."""
    tree = ast.parse((TOP / module).read_text(encoding="utf-8"))
    defined = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.walk(tree) if isinstance(node, defined) and node.name.startswith("test_")}


def test_each_module_of_attacks_has_one_row_in_order() -> None:
    assert [module for _, module, _ in MATRIX] == MODULES


@pytest.mark.parametrize(("name", "module", "count"), MATRIX, ids=[module for _, module, _ in MATRIX])
def test_a_row_says_no_more_than_there_is(name: str, module: str, count: str) -> None:
    assert f"test_{name.lower()}_" in module
    assert 0 < int(count) <= len(functions(module))


@pytest.mark.parametrize(("modules", "count"), ROWS, ids=[modules[0] for modules, _ in ROWS])
def test_another_row_says_no_more_than_there_is(modules: list[str], count: int) -> None:
    assert 0 < count <= sum(len(functions(module)) for module in modules)


@pytest.mark.parametrize("name", NAMED)
def test_what_is_named_exists(name: str) -> None:
    path, _, function = name.partition("::")
    assert (TOP / path).exists()
    assert not function or function in functions(path)
