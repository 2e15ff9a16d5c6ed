"""`edit`, with programs for an editor."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

ADD = "open(sys.argv[1], 'ab').write(b' and more')"


@pytest.fixture
def edit(ninep, monkeypatch, tmp_path):
    """`edit(location, CODE)`: the editor is Python code, with the copy's path as its argument."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def run(location, code):
        editor = shlex.join([sys.executable, "-c", f"import os, sys; {code}"])
        return ninep("edit", "-e", editor, location)

    return run


def test_a_file(edit, server, files, tmp_path):
    files.write_bytes("notes.txt", b"text", permissions=0o640)
    assert edit(f"{server}/notes.txt", f"assert sys.argv[1].endswith('notes.txt'); {ADD}") == (0, b"", "")
    assert files.read_bytes("notes.txt") == b"text and more"
    assert files.stat("notes.txt").st_mode & 0o777 == 0o640
    assert list(tmp_path.glob("ninep-*")) == []


def test_a_new_file_and_one_that_is_left_alone(edit, server, files):
    assert edit(f"{server}/new", ADD).status == 0
    assert files.read_bytes("new") == b" and more"
    before = files.stat("new")
    assert edit(f"{server}/new", "pass").status == 0
    assert files.stat("new").st_mtime_ns == before.st_mtime_ns


def test_a_link_stays_one(edit, server, files):
    files.write_bytes("file", b"text")
    files.symlink("file", "link")
    assert edit(f"{server}/link", ADD).status == 0
    assert files.readlink("link") == "file"
    assert files.read_bytes("file") == b"text and more"


def test_what_others_write_meanwhile_is_not_overwritten(edit, server, files, tmp_path):
    files.write_bytes("file", b"text")
    other = f"from ninep.cli.main import main; main(['touch', '-d', '@5', '{server}/file'])"
    done = edit(f"{server}/file", f"{other}; {ADD}")
    assert done.status == 1
    assert f"{server}/file: was changed on the server meanwhile" in done.err
    assert files.read_bytes("file") == b"text"
    (kept,) = tmp_path.glob("ninep-*/file")
    assert Path(kept).read_bytes() == b"text and more"
    assert str(kept) in done.err


def test_an_editor_that_fails(edit, server, files, tmp_path):
    files.write_bytes("file", b"text")
    done = edit(f"{server}/file", f"{ADD}; sys.exit(3)")
    assert done.status == 1
    assert files.read_bytes("file") == b"text"
    assert len(list(tmp_path.glob("ninep-*/file"))) == 1


def test_what_is_no_file(edit, server, files):
    files.mkdir("dir")
    done = edit(f"{server}/dir", ADD)
    assert done == (1, b"", f"ninep edit: {server}/dir: is not a regular file\n")
