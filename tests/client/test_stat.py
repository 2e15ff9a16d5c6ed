"""Attributes of each dialect as one record."""

from __future__ import annotations

import stat

from ninep.client.stat import from_attributes, from_record, kind_of_mode, kind_of_qid
from ninep.linux import (
    DT_DIR,
    DT_LNK,
    DT_REG,
    DT_UNKNOWN,
    GETATTR_ALL,
)
from ninep.wire.modes import DMDEVICE, DMDIR, DMSETUID, DMSYMLINK, EXTENDED, PLAIN
from ninep.wire.types import Attributes, Qid, Stat


def test_linux_attributes():
    found = from_attributes(
        Attributes(mode=0o100644, uid=1, gid=2, nlink=3, size=5, mtime_sec=-1, mtime_nsec=999_999_999, qid_path=77)
    )
    assert (found.st_mode, found.st_uid, found.st_gid, found.st_nlink, found.st_size) == (0o100644, 1, 2, 3, 5)
    assert (found.st_mtime_ns, found.st_ino) == (-1, 77)
    assert found.is_file()


def test_a_birth_time_of_zero_is_none():
    assert from_attributes(Attributes()).st_birthtime_ns is None
    assert from_attributes(Attributes(valid=GETATTR_ALL)).st_birthtime_ns is None
    assert from_attributes(Attributes(valid=GETATTR_ALL, btime_sec=5)).st_birthtime_ns == 5_000_000_000


def test_a_record_of_9p2000_u():
    record = Stat(
        mode=DMSYMLINK | 0o777, extension=b"target", n_uid=1000, n_gid=100, uid=b"glenda", length=6, qid=Qid(2, 0, 9)
    )
    found = from_record(record, EXTENDED)
    assert found.is_symlink()
    assert (found.target, found.st_uid, found.st_gid, found.user, found.st_ino) == ("target", 1000, 100, "glenda", 9)
    found = from_record(Stat(mode=DMSETUID | 0o755, extension=b"HARDLINKCOUNT 4"), EXTENDED)
    assert (found.st_mode, found.st_nlink) == (stat.S_IFREG | stat.S_ISUID | 0o755, 4)
    found = from_record(Stat(mode=DMDEVICE | 0o600, extension=b"b 8 1"), EXTENDED)
    assert (stat.S_ISBLK(found.st_mode), found.st_rdev) == (True, 8 << 8 | 1)


def test_a_record_of_plain_9p2000_has_names_only():
    found = from_record(Stat(mode=DMDIR | DMSETUID | 0o755, uid=b"glenda", gid=b"10", mtime=7), PLAIN)
    assert found.is_dir()
    assert stat.S_IMODE(found.st_mode) == 0o755
    assert (found.st_uid, found.user, found.st_gid, found.st_mtime) == (None, "glenda", 10, 7)


def test_kinds():
    assert kind_of_mode(0o040755) == DT_DIR
    assert kind_of_mode(0) == DT_UNKNOWN
    assert kind_of_qid(DT_UNKNOWN, 0x80) == DT_DIR
    assert kind_of_qid(DT_UNKNOWN, 0x02) == DT_LNK
    assert kind_of_qid(DT_UNKNOWN, 0) == DT_UNKNOWN
    for said in (DT_REG, DT_LNK, DT_DIR):
        assert kind_of_qid(said, 0x80) == DT_DIR
        assert kind_of_qid(said, 0x02) == DT_LNK
    assert kind_of_qid(DT_REG, 0) == DT_REG
    assert kind_of_qid(DT_DIR, 0) == DT_UNKNOWN
    assert kind_of_qid(DT_LNK, 0) == DT_UNKNOWN
