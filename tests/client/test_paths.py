"""Remote paths as names, and names as local names."""

from __future__ import annotations

import errno
import ntpath
import posixpath
from pathlib import PurePosixPath

import pytest
from tests.client.expect import refused

from ninep.client.paths import base_name, decode, encode, join, join_names, legal_entry, local_name, split


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("", []),
        ("/", []),
        ("a", [b"a"]),
        ("/a//b/./c/", [b"a", b"b", b"c"]),
        ("a/../b", [b"b"]),
        ("../../a", [b"a"]),
        (b"a/\xff", [b"a", b"\xff"]),
        ("a/\udcff", [b"a", b"\xff"]),
        (PurePosixPath("/a/b"), [b"a", b"b"]),
        ("...", [b"..."]),
    ],
)
def test_split(path, names):
    assert split(path) == names


def test_split_that_resolves_later():
    assert split("a/../b/.", physical=True) == [b"a", b"..", b"b"]


def test_what_is_no_path():
    with pytest.raises(ValueError, match="null"):
        split("a\0")
    with refused(errno.ENAMETOOLONG):
        split("x" * 65536)
    assert split("x" * 65535)


def test_names_of_any_bytes_survive():
    for name in (b"plain", "grün".encode(), bytes(range(1, 47)) + bytes(range(48, 256))):
        assert encode(decode(name)) == name


def test_joining():
    assert join("/", "a") == "/a"
    assert join("a", "b") == "a/b"
    assert join("", "b") == "b"
    assert join_names([]) == "/"
    assert join_names([b"a", b"b"]) == "/a/b"
    assert base_name("/a/b/") == "b"
    assert base_name("/") == ""


@pytest.mark.parametrize("name", [b"", b"a/b", b"/", b"a\0", b"\0"])
def test_entries_that_no_directory_has(name):
    assert not legal_entry(name)


@pytest.mark.parametrize("flavour", [posixpath, ntpath])
@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc/passwd", "../x", "a\0b"])
def test_names_that_lead_elsewhere(flavour, name):
    with pytest.raises(ValueError, match="file name"):
        local_name(name, flavour)


@pytest.mark.parametrize(
    "name",
    [
        "a\\b",
        "..\\x",
        "C:x",
        "C:\\x",
        "\\\\host\\share",
        "file:stream",
        "a.",
        "a ",
        "nul",
        "COM1.txt",
        "con .x",
        "a*",
        "tab\t",
    ],
)
def test_names_that_lead_elsewhere_on_ntfs(name):
    assert local_name(name, posixpath) == name
    with pytest.raises(ValueError, match="file name"):
        local_name(name, ntpath)


@pytest.mark.parametrize("name", ["a", ".hidden", "a.b.c", "Grüße", "com10", "nullable", "..."[:2] + "x"])
def test_plain_names(name):
    assert local_name(name, posixpath) == name
    assert local_name(name, ntpath) == name
