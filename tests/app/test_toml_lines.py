"""Where the keys of a TOML document stand."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ninep.app.toml_lines import Path, lines_of


def test_tables_keys_and_elements() -> None:
    text = """\
# a comment with = and [
workers = 2   # and "here

listen = [
    "a",  # one
    'b',
]
[exports.src]
target = "/srv"
[exports."a.b"]
allow = ["x"]
limits.fids = 1
"""
    assert lines_of(text) == {
        ("workers",): 2,
        ("listen",): 4,
        ("listen", 0): 5,
        ("listen", 1): 6,
        ("exports",): 8,
        ("exports", "src"): 8,
        ("exports", "src", "target"): 9,
        ("exports", "a.b"): 10,
        ("exports", "a.b", "allow"): 11,
        ("exports", "a.b", "allow", 0): 11,
        ("exports", "a.b", "limits"): 12,
        ("exports", "a.b", "limits", "fids"): 12,
    }


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ('a = """\n] = "" \\""" """\nb = 1', ("b",), 3),
        ('a = """x"""""\nb = 1', ("b",), 2),
        ("a = '''\n''''\nb = 1", ("b",), 3),
        ("a = '\\'\nb = 1", ("b",), 2),
        ('a = "\\""\nb = 1', ("b",), 2),
        ("a = 1979-05-27 07:32:00.5 # c\nb = 1.5\nc = 1", ("c",), 3),
        ("a = {b = 1, c = [\n1,\n2]}\nd = 1", ("a", "c", 1), 3),
        ("[[a]]\nb = 1\n[[a]]\nb = 2\n[a.c]\nd = 3", ("a", 1, "c", "d"), 6),
        ('"\\u00e4\\t" = 1', ("ä\t",), 1),
        ("a = 1\r\nb = 2\r\n", ("b",), 2),
        ("a = []\nb = {}\nc = [[], [\n{d = 1}]]", ("c", 1, 0, "d"), 4),
        ("a = 1\nb = 2", ("b",), 2),
    ],
)
def test_the_marks_of_strings_arrays_and_times(text: str, path: Path, line: int) -> None:
    tomllib.loads(text)
    assert lines_of(text)[path] == line


KEYS = st.text("ab .\"'\\#=[]\té", max_size=4)
VALUES = st.recursive(
    st.integers() | st.booleans() | st.text("ab\"'\\\n#[]{}=,. é", max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


def quoted(text: str) -> str:
    return '"' + "".join(f"\\u{ord(letter):04x}" if letter in '"\\\n\t' else letter for letter in text) + '"'


def written(value: Any, fold: str) -> str:
    """As TOML; ``fold`` stands in arrays, where a newline may."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return quoted(value)
        case list():
            return f"[{fold}" + f",{fold}".join(written(one, fold) for one in value) + f"{fold}]"
        case dict():
            return "{" + ", ".join(f"{quoted(key)} = {written(one, fold)}" for key, one in value.items()) + "}"
        case _:
            return str(value)


def paths(value: Any, at: Path = ()) -> set[Path]:
    items = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    return ({at} if at else set()) | {path for key, one in items for path in paths(one, (*at, key))}


@given(st.dictionaries(KEYS, VALUES, max_size=4), st.sampled_from(["", "\n", " # ]\n"]))
def test_every_key_of_any_document_is_found(document: dict[str, Any], fold: str) -> None:
    text = "".join(f"{quoted(key)} = {written(value, fold)}\n" for key, value in document.items())
    assert tomllib.loads(text) == document
    found = lines_of(text)
    assert set(found) == paths(document)
    for key in document:
        before = text[: text.index(f"{quoted(key)} =") + 1]
        if before.count(f"{quoted(key)} =") == 0 and text.count(f"{quoted(key)} =") == 1:
            assert found[(key,)] == before.count("\n") + 1
