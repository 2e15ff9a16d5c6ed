"""Hypothesis strategies for every message, made from its declaration."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, get_type_hints

from hypothesis import strategies as st

from ninep.wire.messages import BY_NUMBER, MAX_WALK, Message
from ninep.wire.types import Attributes, Dirent, Qid, Stat, Statfs


def unsigned(size: int) -> st.SearchStrategy[int]:
    """Numbers of so many bytes, often at an edge."""
    top = (1 << 8 * size) - 1
    return st.one_of(st.sampled_from([0, 1, top // 2, top // 2 + 1, top - 1, top]), st.integers(0, top))


U8, U16, U32, U64 = (unsigned(size) for size in (1, 2, 4, 8))
SECONDS = st.integers(-(1 << 63), (1 << 63) - 1)
STRING = st.one_of(st.binary(max_size=20), st.just(b"x" * 0xFFFF))
SHORT = st.binary(max_size=20)
QIDS = st.builds(Qid, U8, U32, U64)
STATS = st.builds(Stat, U16, U32, QIDS, U32, U32, U32, U64, SHORT, SHORT, SHORT, SHORT, SHORT, U32, U32, U32)
DIRENTS = st.lists(st.builds(Dirent, U8, U32, U64, U64, U8, SHORT), max_size=12)
ATTRIBUTES = st.builds(Attributes, U64, U8, U32, U64, U32, U32, U32, *[U64] * 5, *[SECONDS, U64] * 4, U64, U64)
STATFS = st.builds(Statfs, U32, U32, *[U64] * 6, U32)

_NUMBERS = {"B": U8, "H": U16, "I": U32, "Q": U64, "q": SECONDS}
_RECORDS = {Qid: QIDS, Attributes: ATTRIBUTES, Statfs: STATFS}
_FORMS = {
    "string": STRING,
    "strings": st.lists(SHORT, max_size=MAX_WALK),
    "qids": st.lists(QIDS, max_size=MAX_WALK),
    "data": st.binary(max_size=100),
    "stat": STATS,
}


def _strategy(hint: Any) -> st.SearchStrategy[Any]:
    kind = hint.__metadata__[0]
    if kind.form == "number":
        return _NUMBERS[kind.code]
    return _RECORDS[hint.__origin__] if kind.form == "record" else _FORMS[kind.form]


def messages(cls: type[Message]) -> st.SearchStrategy[Message]:
    """Messages of one type."""
    hints = get_type_hints(cls, include_extras=True)
    return st.builds(cls, *[_strategy(hints[field.name]) for field in fields(cls)])  # type: ignore[arg-type]


ANY_MESSAGE = st.sampled_from(list(BY_NUMBER.values())).flatmap(messages)
