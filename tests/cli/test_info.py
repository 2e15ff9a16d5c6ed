"""`stat`, `df` and `xattr`."""

from __future__ import annotations

import json
import re

from ninep.linux import S_IFBLK


def test_stat(ninep, server, files):
    files.write_bytes("file", b"123", permissions=0o640)
    files.utime("file", atime=1, mtime=1_234_567_890_123_456_789)
    done = ninep("stat", f"{server}/file")
    assert done.status == 0
    text = done.out.decode()
    assert f"File: {server}/file\n" in text
    assert "Type: regular file" in text
    assert "Size: 3  Blocks: 1  Links: 1" in re.sub(r"Blocks: \d+", "Blocks: 1", text)
    assert "Mode: 0640 -rw-r-----  Uid: 1000  Gid: 100" in text
    assert ".123456789 " in text


def test_stat_of_links_and_devices(ninep, server, files):
    files.write_bytes("file", b"123")
    files.symlink("file", "link")
    files.mknod("disk", S_IFBLK | 0o600, 8 << 8 | 1)
    assert f"{server}/link -> file\n" in ninep("stat", f"{server}/link").out.decode()
    assert "regular file" in ninep("stat", "-L", f"{server}/link").out.decode()
    assert "block device, device 8 1" in ninep("stat", f"{server}/disk").out.decode()


def test_stat_for_programs(ninep, server, files):
    files.write_bytes("file", b"123")
    files.symlink("file", "link")
    done = ninep("stat", "--json", f"{server}/file", f"{server}/link", f"{server}/none")
    assert done.status == 1
    file, link = map(json.loads, done.lines)
    assert (file["type"], file["size"], file["uid"], file["location"]) == ("regular file", 3, 1000, f"{server}/file")
    assert file["mtime_ns"] == files.stat("file").st_mtime_ns
    assert link["target"] == "file"


def test_stat_of_plain_9p2000(ninep, server, files):
    files.write_bytes("file", b"123")
    assert "Uid: 1000 1000" in ninep("stat", "--dialect", "9P2000", f"{server}/file").out.decode()


def test_df(ninep, server, files):
    lines = ninep("df", server, f"{server}/").lines
    assert lines[0].split() == ["1K-blocks", "Used", "Avail", "Use%", "Location"]
    size, used, available, percent, location = lines[1].split()
    assert int(size) >= int(used) + int(available) > 0
    assert percent.endswith("%")
    assert location == f"{server}/"
    assert len(lines) == 3
    done = ninep("df", "--dialect", "9P2000", server)
    assert (done.status, done.out) == (1, b"")
    assert "9P2000 has no statfs" in done.err


def test_xattr(ninep, server, files):
    files.write_bytes("file", b"")
    where = f"{server}/file"
    assert ninep("xattr", where).out == b""
    assert ninep("xattr", where, "user.one", "--set", "first value").status == 0
    assert ninep("xattr", where).lines == ["user.one"]
    assert ninep("xattr", where, "user.one").out == b"first value"
    assert ninep("xattr", where, "user.one", "--remove").status == 0
    done = ninep("xattr", where, "user.one")
    assert done.status == 1
    assert done.err.startswith(f"ninep xattr: {where}: ")


def test_stat_of_where_two_dots_lead(ninep, server, files):
    files.makedirs("dir/below")
    files.makedirs("other/deep")
    files.symlink("../other/deep", "dir/link")
    for path, meant in (("dir/below/..", "dir"), ("dir/link/..", "other"), ("dir/..", "/"), ("dir/link", "dir/link")):
        found = json.loads(ninep("stat", "--json", f"{server}/{path}").out)
        assert found["qid"]["path"] == files.stat(meant).st_ino
