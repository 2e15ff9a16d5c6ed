"""`touch`."""

from __future__ import annotations

import time

import pytest

from ninep.cli.touch import read_time

SECOND = 10**9


def test_a_new_file(ninep, server, files):
    assert ninep("touch", f"{server}/new").status == 0
    assert files.read_bytes("new") == b""
    assert ninep("touch", "-c", f"{server}/other").status == 0
    assert files.listdir() == ["new"]


def test_now(ninep, server, files):
    files.write_bytes("file", b"content")
    files.utime("file", atime=SECOND, mtime=SECOND)
    assert ninep("touch", f"{server}/file").status == 0
    found = files.stat("file")
    assert abs(found.st_mtime - time.time()) < 600
    assert abs(found.st_atime - time.time()) < 600
    assert files.read_bytes("file") == b"content"


@pytest.mark.parametrize(("option", "times"), [("-a", (5, 1)), ("-m", (1, 5)), ("-am", (5, 5))])
def test_one_of_the_times(ninep, server, files, option, times):
    files.write_bytes("file", b"")
    files.utime("file", atime=SECOND, mtime=SECOND)
    assert ninep("touch", option, "-d", "@5", f"{server}/file").status == 0
    found = files.stat("file")
    assert (found.st_atime_ns, found.st_mtime_ns) == (times[0] * SECOND, times[1] * SECOND)


def test_a_link_is_followed(ninep, server, files):
    files.symlink("target", "link")
    assert ninep("touch", "-d", "@5", f"{server}/link").status == 0
    assert files.stat("target").st_mtime == 5


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("@0", 0),
        ("@12.5", 12_500_000_000),
        ("1970-01-02T00:00:00+00:00", 86400 * SECOND),
        ("2024-05-01 12:00:00.25+02:00", 1714557600 * SECOND + 250_000_000),
    ],
)
def test_times(text, nanoseconds):
    assert read_time(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "@", "@x", "yesterday", "2024-13-01"])
def test_what_is_no_time(text):
    with pytest.raises(ValueError, match="is not a time"):
        read_time(text)
