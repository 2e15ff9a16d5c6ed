"""The reference of errors quotes sentences that the program has."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
PAGE = (TOP / "docs" / "errors.md").read_text("utf-8")
SOURCE = "\n".join(path.read_text("utf-8") for path in sorted((TOP / "src" / "ninep").rglob("*.py")))
JOINED = re.sub(r'"\s*\n\s*f?"', "", SOURCE)
"""Sentences that are written over several lines are one here."""
SYSTEM = {os.strerror(number) for number in errno.errorcode}
VARIABLE = re.compile(r"'?\b[A-Z]{2,}\b[:=]?'?|\bN\b|\bS\b|\.\.\.|[{}]")
"""What stands for something that differs, and what a format string has in its place."""


def sentences() -> list[str]:
    """The quoted sentences in the first column of the tables."""
    return [
        sentence
        for line in PAGE.partition("\n## In the guest")[0].splitlines()
        if line.startswith("| `")
        for sentence in re.findall(r"`([^`]+)`", line.split(" | ")[0])
    ]


def test_there_are_sentences() -> None:
    assert len(sentences()) > 70


@pytest.mark.parametrize("sentence", sentences())
def test_a_sentence_is_one_of_the_program(sentence: str) -> None:
    pieces = [piece.strip(" :()',") for piece in VARIABLE.split(sentence)]
    missing = [piece for piece in pieces if len(piece) > 3 and piece not in JOINED and piece not in SYSTEM]
    assert not missing
