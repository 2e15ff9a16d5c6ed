"""Modes as chmod(1) reads them: the expected values are those of GNU's chmod."""

from __future__ import annotations

import os
import subprocess

import pytest

from ninep.cli.symbolic import read_mode


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("640", 0o777, 0o640),
        ("0640", 0o4777, 0o640),
        ("u+x", 0o644, 0o744),
        ("go-w", 0o666, 0o644),
        ("a=r", 0o777, 0o444),
        ("u=rwx,g=rx,o=", 0o000, 0o750),
        ("g=u", 0o640, 0o660),
        ("o=g-w", 0o060, 0o064),
        ("u+s,g+s", 0o755, 0o6755),
        ("ug-s", 0o6755, 0o755),
        ("+t", 0o777, 0o1777),
        ("a+X", 0o644, 0o644),
        ("a+X", 0o744, 0o755),
        ("a-x,a+X", 0o755, 0o644),
        ("u=", 0o4755, 0o055),
        ("=", 0o777, 0o000),
    ],
)
def test_of_a_file(text, before, after):
    assert oct(read_mode(text)(before, False)) == oct(after)


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [("a+X", 0o600, 0o711), ("u=rwx", 0o2070, 0o2770), ("g=rx", 0o2770, 0o2750), ("g-s", 0o2770, 0o770)],
)
def test_of_a_directory(text, before, after):
    assert oct(read_mode(text)(before, True)) == oct(after)


def test_without_a_user_the_umask_counts():
    before = os.umask(0o027)
    try:
        change = read_mode("+rwx")
    finally:
        os.umask(before)
    assert oct(change(0o000, False)) == oct(0o750)


@pytest.mark.parametrize("text", ["", "u", "u+q", "z+x", "u+x,", "u+xg", "888", "9", "u++x,+", "-", "u=gr"])
def test_what_is_no_mode(text):
    if text in {"u++x,+", "-"}:  # no permission to add or take away: chmod(1) does nothing either
        assert read_mode(text)(0o644, False) in {0o644, 0o744}
        return
    with pytest.raises(ValueError, match=r"is not a mode"):
        read_mode(text)


@pytest.mark.skipif(os.name != "posix", reason="there is no chmod(1)")
@pytest.mark.parametrize("mode", [0o000, 0o644, 0o755, 0o4711, 0o2070, 0o1777])
@pytest.mark.parametrize(
    "text", ["u+x", "go-w", "a=rX", "u=g", "o=u-x", "ug+s", "a-s", "+t", "-t", "g=s", "a+wX", "o=t"]
)
@pytest.mark.parametrize("directory", [False, True], ids=["file", "directory"])
def test_as_gnu(tmp_path, mode, text, directory):
    place = tmp_path / "it"
    if directory:
        place.mkdir()
    else:
        place.touch()
    place.chmod(mode)
    subprocess.run(["chmod", text, place], check=True)
    assert oct(read_mode(text)(mode, directory)) == oct(place.stat().st_mode & 0o7777)
