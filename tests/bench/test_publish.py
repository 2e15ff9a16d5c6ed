"""The figures of docs/performance.md are those of docs/performance-data.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import publish

DATA = Path(publish.DATA).read_text(encoding="utf-8")
PAGE = Path(publish.PAGE).read_text(encoding="utf-8")


def test_the_summary_is_taken_from_the_data() -> None:
    assert publish.part(PAGE, "summary").strip() == publish.summary(DATA)


def test_a_changed_directory_is_shown_beside_an_unchanged_one() -> None:
    table = publish.part(PAGE, "summary")
    assert "| readdir of 10,000, unchanged since the last |" in table
    assert "| readdir of 10,000, changed before each |" in table


def test_a_row_that_the_data_lack_is_an_error() -> None:
    with pytest.raises(ValueError, match="is not a row"):
        publish.summary(DATA.replace("| getattr of a fid |", "| something else |"))


@pytest.mark.parametrize("name", publish.PARTS)
def test_each_part_has_its_place(name: str) -> None:
    assert publish.part(publish.between(DATA, name, "new"), name).strip() == "new"


def test_a_page_without_the_markers_is_an_error() -> None:
    with pytest.raises(ValueError, match="has no"):
        publish.between("a page", "results", "text")
