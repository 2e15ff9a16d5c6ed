"""The format of names, sizes and times on a terminal."""

from __future__ import annotations

import pytest

from ninep.cli.show import exactly, human, mode_text, printable, when


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain Grüße", "plain Grüße"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\nb\tc\x7f", "a\\x0ab\\x09c\\x7f"),
        ("\udcff\udc80", "\\xff\\x80"),
        ("\u202eright to left", "\\u202eright to left"),
        ("\x9b31m", "\\x9b31m"),
    ],
)
def test_nothing_drives_the_terminal(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0"),
        (1023, "1023"),
        (1024, "1.0K"),
        (1536, "1.5K"),
        (10_239, "10K"),
        (1 << 20, "1.0M"),
        (1 << 30, "1.0G"),
        (1_048_064, "1.0M"),
        (5 << 60, "5.0E"),
        (1 << 70, "1024E"),
    ],
)
def test_sizes(size, text):
    assert human(size) == text


def test_modes():
    assert mode_text(0o040755) == "drwxr-xr-x"
    assert mode_text(0o104755) == "-rwsr-xr-x"


def test_times():
    assert when(1_000_000_000, now=1_000_000_100) == when(1_000_000_000, now=999_999_900)
    assert ":" in when(1_000_000_000, now=1_000_000_100)
    assert when(1_000_000_000, now=1_100_000_000).endswith(" 2001")
    assert len(when(0, now=0)) == len(when(0, now=1e9))
    assert when(1e30) == str(int(1e30))
    assert exactly(1_000_000_000_000_000_005).startswith("2001-09-")
    assert ".000000005 " in exactly(1_000_000_000_000_000_005)
    assert exactly(10**40).endswith(".000000000")
