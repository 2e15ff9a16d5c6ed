"""Options: one row, read the same way from wherever it comes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ninep.options import (
    FLAG,
    BadOption,
    Kind,
    OptionSet,
    choice,
    mode,
    number,
    option,
    parsed,
    read_words,
    rows,
    schema,
    show_amount,
    size,
    split_commas,
    text,
)

MODE = mode()
SIZE = size(4096, 4 << 20)


@dataclass(frozen=True, kw_only=True)
class Example(OptionSet):
    read_only: bool = option(False, FLAG, "Refuse every change.", short="r", words={"ro": True, "rw": False})
    fmode: int = option(0o600, MODE, "Mode of new files.")
    msize: int = option(1 << 20, SIZE, "The largest message.")
    model: str = option("none", choice(("none", "mapped-xattr")), "How owners are kept.")
    allow: tuple[str, ...] = option((), text("a peer"), "Who may connect.", repeat=True)
    root: int | None = option(None, number(0, 10), "May be missing.")


def test_defaults_are_taken_as_they_are() -> None:
    assert Example() == Example(read_only=False, fmode=0o600, msize=1 << 20, model="none", allow=(), root=None)


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        (FLAG, "yes", True),
        (FLAG, "off", False),
        (MODE, "600", 0o600),
        (MODE, "0600", 0o600),
        (MODE, "0o600", 0o600),
        (SIZE, "65536", 65536),
        (SIZE, "64K", 65536),
        (SIZE, "64KiB", 65536),
        (SIZE, "1.5m", 3 << 19),
        (number(1, 9), "7", 7),
        (choice(("a", "b")), "b", "b"),
        (parsed("UID", int, int), "12", 12),
    ],
)
def test_text_is_read(kind: Kind[Any], written: str, value: object) -> None:
    assert kind.value(written) == value
    assert kind.value(kind.show(value)) == value


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("fmode", "8", "fmode: '8' is not a mode: write permission bits in octal, 0 to 777"),
        ("fmode", 0o1777, "fmode: 1023 is not a mode: permission bits from 0 to 0o777"),
        ("fmode", True, "fmode: True is not a mode"),
        ("fmode", 6.0, "fmode: 6.0 is not a mode"),
        ("msize", "8M", "msize: 8M is out of range (4K to 4M)"),
        ("msize", "much", "msize: 'much' is not a size"),
        ("msize", "4096.5", "msize: '4096.5' is not a whole number of bytes"),
        ("msize", None, "msize: None is not a size"),
        ("read_only", 1, "read-only: 1 is neither true nor false"),
        ("read_only", "maybe", "read-only: 'maybe' is neither yes nor no"),
        (
            "model",
            "mapped-xatr",
            "model: 'mapped-xatr' is not one of none, mapped-xattr (did you mean 'mapped-xattr'?)",
        ),
        ("model", 7, "model: 7 is not one of none, mapped-xattr"),
        ("allow", [7], "allow: 7 is not a peer"),
        ("root", 11, "root: 11 is out of range (0 to 10)"),
        ("root", "x", "root: 'x' is not a whole number"),
    ],
)
def test_a_value_that_cannot_be_is_one_sentence(name: str, value: object, words: str) -> None:
    with pytest.raises(BadOption) as error:
        Example(**{name: value})  # type: ignore[arg-type]
    assert str(error.value).startswith(words)


def test_a_keyword_argument_may_be_what_one_would_write() -> None:
    assert Example(fmode="640").fmode == 0o640  # type: ignore[arg-type]


def test_a_name_that_is_none_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        BadOption, match=r"'fmod' is not an option \(did you mean 'fmode'\?\) \(there are read-only, fmode,"
    ):
        Example.of({"fmod": 1})


def test_words_and_keys_of_an_export() -> None:
    parts = ["ro", "fmode=640", "allow=a", "allow=b"]
    assert read_words(parts, rows(Example)) == {"read_only": True, "fmode": 0o640, "allow": ("a", "b")}


@pytest.mark.parametrize("parts", [["ro", "rw"], ["ro", "ro"], ["fmode=600", "fmode=640"], ["read-only=no", "ro"]])
def test_what_contradicts_is_refused(parts: list[str]) -> None:
    with pytest.raises(BadOption, match="exclude each other"):
        read_words(parts, rows(Example))


@pytest.mark.parametrize("part", ["rx", "fmode", "nothing=1", "=", ""])
def test_what_is_no_option_is_refused(part: str) -> None:
    with pytest.raises(BadOption, match="is not an option"):
        read_words([part], rows(Example))


def test_a_comma_is_written_twice() -> None:
    assert split_commas("/a,,b,ro") == ["/a,b", "ro"]
    for broken in (",ro", "/a,,,", "ro,"):
        with pytest.raises(BadOption, match="comma"):
            split_commas(broken)


def test_what_differs_is_shown_as_it_is_written() -> None:
    assert str(Example(fmode=0o640, allow=("a", "b"), msize=8192)) == "fmode=640,msize=8K,allow=a, b"


def test_the_schema_says_what_there_is() -> None:
    made = schema(rows(Example))
    assert made["additionalProperties"] is False
    properties = made["properties"]
    assert isinstance(properties, dict)
    assert properties["fmode"]["default"] == "600"
    assert properties["read-only"] == {"type": "boolean", "description": "Refuse every change.", "default": False}
    assert properties["allow"]["type"] == "array"


@given(st.integers(0, 1 << 40))
def test_amounts_are_read_as_they_are_shown(amount: int) -> None:
    assert size(0, 1 << 41).read(show_amount(amount)) == amount


@given(st.integers(0, 0o777))
def test_modes_are_read_as_they_are_shown(bits: int) -> None:
    assert MODE.read(MODE.show(bits)) == bits


@given(st.lists(st.text(st.characters(blacklist_characters=","), min_size=1), min_size=1))
def test_parts_are_split_as_they_were_joined(parts: list[str]) -> None:
    assert split_commas(",".join(parts)) == parts
