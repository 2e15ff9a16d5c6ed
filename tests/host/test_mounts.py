"""Where folders lie, by a mount table of proc_pid_mountinfo(5)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ninep.host import _mounts
from ninep.host._mounts import areas, lineage

TABLE = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:5 / /dev rw - devtmpfs udev rw
30 22 8:2 /@home /home rw,relatime shared:2 - btrfs /dev/sdb rw
31 30 8:1 /srv/a\040b /home/ann/bound\134x rw - ext4 /dev/sda1 rw
32 22 8:3 /sub /mnt/twice rw - ext4 /dev/sdc rw
33 32 8:4 / /mnt/twice rw - ext4 /dev/sdd rw
34 22 8:5 / /homeless rw - ext4 /dev/sde rw
"""


@pytest.fixture(autouse=True)
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mountinfo").write_text(TABLE.lstrip())
    monkeypatch.setattr(_mounts, "_MOUNTS", str(tmp_path / "mountinfo"))
    monkeypatch.setattr(os.path, "realpath", lambda path: path)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/srv", [("8:1", "/srv")]),
        ("/home", [("8:2", "/@home"), ("8:1", "/srv/a b")]),
        ("/home/ann/src", [("8:2", "/@home/ann/src")]),
        (r"/home/ann/bound\x", [("8:1", "/srv/a b")]),
        (r"/home/ann/bound\x/y", [("8:1", "/srv/a b/y")]),
        ("/mnt/twice/x", [("8:4", "/x")]),
        ("/mnt", [("8:1", "/mnt"), ("8:3", "/sub"), ("8:4", "/")]),
    ],
)
@pytest.mark.skipif(os.sep != "/", reason="paths of a host with a mount table")
def test_areas(path: str, expected: list[tuple[str, str]]) -> None:
    assert list(areas(path)) == expected


def test_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_mounts, "_MOUNTS", "/nowhere/mountinfo")
    assert areas("/srv") == ()


def test_lineage(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    found = lineage(str(tmp_path / "a"))
    assert found[0] == ((tmp_path / "a").stat().st_dev, (tmp_path / "a").stat().st_ino)
    assert found[1:] == lineage(str(tmp_path))
    assert found[-1] == (Path(tmp_path.anchor).stat().st_dev, Path(tmp_path.anchor).stat().st_ino)
