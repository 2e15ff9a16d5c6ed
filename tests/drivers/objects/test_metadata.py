"""Metadata of objects: of rclone and s3fs-fuse, and what makes no sense."""

from __future__ import annotations

import pytest

from ninep.drivers.objects.metadata import ObjectAttrs
from ninep.errors import Refused
from ninep.linux import S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG

FILE = ObjectAttrs(S_IFREG | 0o644, 7, 8)
FOLDER = ObjectAttrs(S_IFDIR | 0o755, 7, 8)
SECOND = 1_000_000_000
NESTED = "[" * 100_000


def test_rclone_keeps_the_time_alone() -> None:
    attrs = ObjectAttrs.read({"mtime": "1700000000.123456789"}, 5 * SECOND, FILE)
    assert (attrs.mtime, attrs.mode, attrs.uid) == (1700000000 * SECOND + 123456789, FILE.mode, 7)


def test_s3fs_keeps_owner_mode_and_time() -> None:
    metadata = {"mode": "33256", "uid": "1000", "gid": "1001", "mtime": "1700000000", "ctime": "1700000001"}
    attrs = ObjectAttrs.read(metadata, 5 * SECOND, FILE)
    assert (attrs.mode, attrs.uid, attrs.gid) == (S_IFREG | 0o750, 1000, 1001)
    assert (attrs.mtime, attrs.ctime) == (1700000000 * SECOND, 1700000001 * SECOND)


def test_what_others_keep_there_stays() -> None:
    assert ObjectAttrs.read({"colour": "red", "mode": "33188"}, 0, FILE).write()["colour"] == "red"


@pytest.mark.parametrize("moment", [0, 1, -1, -SECOND, 3 * SECOND // 2, -3 * SECOND // 2, 2**40 * SECOND])
def test_times_are_read_as_they_were_written(moment: int) -> None:
    attrs = ObjectAttrs(S_IFREG, 0, 0, moment, moment, moment)
    assert ObjectAttrs.read(attrs.write(), 5, FILE) == attrs


def test_all_of_ours_is_read_as_it_was_written() -> None:
    attrs = ObjectAttrs(S_IFCHR | 0o600, 1, 2, 3, 4, 5, 0x103, {b"user.x": bytes(range(256))}, {"a": "b"})
    assert ObjectAttrs.read(attrs.write(), 9, FILE) == attrs


@pytest.mark.parametrize(
    "text", ["", "0755", "rwx", "-1", "99999999999999999999999", "1e3", "\u0661", "4294967295", NESTED]
)
def test_nonsense_is_as_if_it_were_missing(text: str) -> None:
    metadata = dict.fromkeys(("mode", "uid", "gid", "mtime", "atime", "xattr"), text)
    attrs = ObjectAttrs.read(metadata, 5, FILE)
    assert (attrs.mode & S_IFDIR, attrs.xattrs) == (0, {})
    assert attrs.uid == (755 if text == "0755" else 7)


def test_only_a_directory_is_one() -> None:
    assert ObjectAttrs.read({"mode": str(S_IFDIR | 0o700)}, 0, FILE).mode == S_IFREG | 0o700
    assert ObjectAttrs.read({"mode": str(S_IFLNK | 0o777)}, 0, FOLDER).mode == S_IFDIR | 0o777


def test_a_store_keeps_so_many_bytes() -> None:
    with pytest.raises(Refused, match="ENOSPC"):
        ObjectAttrs(S_IFREG, 0, 0, xattrs={b"user.x": bytes(2000)}).write()
