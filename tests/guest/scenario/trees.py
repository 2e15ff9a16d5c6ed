"""Much at once: big folders, whole trees, large files."""

from __future__ import annotations

import ctypes
import io
import os
import shutil
import stat
import struct
import subprocess
import tarfile
import zlib

from .registry import Place, bulk, check, get, put, two_mounts

MANY = 10_000
BIG = 64 << 20
BLOCK = 1 << 20


def drop_caches() -> None:
    """Make the guest's kernel forget clean pages and names, so that reading really asks
    the server.
    """
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as control:
        control.write("3")


@check
def listing_is_complete(place: Place) -> None:
    names = {f"{number:02}-{'n' * 200}" for number in range(60)}  # some replies, even of 8 KiB
    for name in names:
        put(place.path(name))
    listed = os.listdir(place.here)
    assert len(listed) == len(names)
    assert set(listed) == names


@check
def listing_while_deleting(place: Place) -> None:
    names = {f"{number:02}-{'n' * 200}" for number in range(60)}
    for name in names:
        put(place.path(name))
    seen = []
    with os.scandir(place.here) as entries:
        for entry in entries:
            seen.append(entry.name)
            os.unlink(entry.path)
    assert sorted(seen) == sorted(names)
    assert os.listdir(place.here) == []


def entries_after(fd: int, offset: int, size: int = 512) -> list[tuple[str, int]]:
    """Names and d_off of some entries of an open folder, from a place on (getdents64(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    os.lseek(fd, offset, os.SEEK_SET)
    buffer = ctypes.create_string_buffer(size)
    count = libc.getdents64(fd, buffer, size)
    assert count >= 0, os.strerror(ctypes.get_errno())
    found = []
    at = 0
    while at < count:
        _, place, length = struct.unpack_from("=QqH", buffer.raw, at)
        found.append((buffer.raw[at + 19 : at + length].split(b"\0", 1)[0].decode(), place))
        at += length
    return found


@check
def seeking_after_every_entry(place: Place) -> None:
    if place.setting.dialect != "9P2000.L":
        return  # the client has byte offsets in the others, and no server can find an entry by one
    for number in range(300):
        put(place.path(f"{number:03}"))
    fd = os.open(place.here, os.O_RDONLY | os.O_DIRECTORY)
    listed: list[tuple[str, int]] = []
    while more := entries_after(fd, listed[-1][1] if listed else 0):
        listed += more
    assert len(listed) == len({name for name, _ in listed}) == 302
    assert max(offset for _, offset in listed) < 1 << 31  # a program of 32 bits gets EOVERFLOW beyond
    for at in [*range(300), *range(300, -1, -1)]:
        assert entries_after(fd, listed[at][1], 64)[0] == listed[at + 1]
    os.close(fd)


@check
def remove_a_tree(place: Place) -> None:
    for number in range(8):
        os.makedirs(place.path("t", f"d{number}", "e"))
        put(place.path("t", f"d{number}", "e", "f"))
    shutil.rmtree(place.path("t"))
    assert os.listdir(place.here) == []


@check
@bulk
def folder_of_10000(place: Place) -> None:
    for number in range(MANY):
        os.mknod(place.path(f"{number:05}-with-a-name-of-some-length"), stat.S_IFREG | 0o600)
    listed = os.listdir(place.here)
    assert len(listed) == MANY
    assert len(set(listed)) == MANY
    deleted = 0
    with os.scandir(place.here) as entries:
        for entry in entries:
            os.unlink(entry.path)
            deleted += 1
    left = os.listdir(place.here)
    assert deleted == MANY, f"{len(left)} were not listed while others were deleted"
    assert left == []


def numbered_block(noise: bytes, number: int) -> bytes:
    """A block that is found nowhere else in the file, whatever part of it is moved."""
    return noise[number * 64 :] + noise[: number * 64]


def copy_and_compare(place: Place, size: int, read_from: str) -> None:
    noise = os.urandom(BLOCK)
    written = read = 0
    fd = os.open(place.path("big"), os.O_WRONLY | os.O_CREAT)
    for number in range(size // BLOCK):
        data = numbered_block(noise, number)
        written = zlib.crc32(data, written)
        assert os.write(fd, data) == BLOCK
    os.fsync(fd)
    os.close(fd)
    drop_caches()
    with open(read_from, "rb", buffering=0) as file:
        for number in range(size // BLOCK):
            data = file.read(BLOCK)
            read = zlib.crc32(data, read)
            assert data == numbered_block(noise, number), f"block {number} differs"
        assert file.read(1) == b""
    assert os.stat(place.path("big")).st_size == size
    assert read == written


@check
def megabytes_read_back(place: Place) -> None:
    copy_and_compare(place, 4 << 20, place.path("big"))


@check
@bulk
def big_file_read_back(place: Place) -> None:
    copy_and_compare(place, BIG, place.path("big"))


@check
@two_mounts
def megabytes_read_back_there(place: Place) -> None:
    copy_and_compare(place, 3 << 20, place.other("big"))


FOLDERS = {"top": 0o755, "top/private": 0o700, "top/shared": 0o2775, "top/sticky": 0o1777}
FILES = {
    "top/plain": (0o644, b"plain\n"),
    "top/program": (0o755, b"#!/bin/sh\n" * 100),
    "top/private/set-id": (0o4711, b"x" * 5000),
    "top/shared/read only": (0o444, b""),
    "top/sticky/big": (0o640, bytes(range(256)) * 1200),
}
SYMLINKS = {"top/to-plain": "plain", "top/shared/dangling": "../none", "top/absolute": "/top/plain"}
HARDLINKS = {"top/shared/second-name": "top/plain"}
MTIME = 1_234_567_890


def archive() -> bytes:
    """A tar with every kind of member the comparison knows, each folder before what is in it."""
    members: dict[str, tuple[tarfile.TarInfo, bytes]] = {}
    for number, (name, mode) in enumerate(FOLDERS.items()):
        members[name] = member(name, mode, tarfile.DIRTYPE, number), b""
    for number, (name, (mode, data)) in enumerate(FILES.items()):
        members[name] = member(name, mode, tarfile.REGTYPE, number), data
        members[name][0].size = len(data)
    for kind, links in ((tarfile.SYMTYPE, SYMLINKS), (tarfile.LNKTYPE, HARDLINKS)):
        for name, target in links.items():
            members[name] = member(name, 0o777, kind, 0), b""
            members[name][0].linkname = target
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for _, (info, data) in sorted(members.items()):
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def member(name: str, mode: int, kind: bytes, number: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode, info.type, info.mtime = mode, kind, MTIME + number
    info.uid, info.gid = 1000 + number, 2000 + number
    return info


def extract(place: Place, *options: str) -> None:
    done = subprocess.run(["tar", "-x", "-C", place.here, *options], input=archive(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()


def compare(place: Place) -> None:
    drop_caches()
    for number, (name, mode) in enumerate(FOLDERS.items()):
        found = os.lstat(place.path(name))
        assert oct(found.st_mode) == oct(stat.S_IFDIR | mode), name
        assert found.st_mtime == MTIME + number, name
    for number, (name, (mode, data)) in enumerate(FILES.items()):
        found = os.lstat(place.path(name))
        assert oct(found.st_mode) == oct(stat.S_IFREG | mode), name
        assert found.st_mtime == MTIME + number, name
        assert get(place.path(name)) == data, name
    for name, target in SYMLINKS.items():
        assert os.readlink(place.path(name)) == target
    for name, target in HARDLINKS.items():
        assert os.lstat(place.path(name)).st_ino == os.lstat(place.path(target)).st_ino, name


@check
def tar_extracted_and_compared(place: Place) -> None:
    extract(place, "-p", "--no-same-owner")
    compare(place)


@check
def tar_with_owners(place: Place) -> None:
    extract(place, "-p", "--same-owner", "--numeric-owner")
    compare(place)
    for number, name in enumerate(FILES):
        found = os.lstat(place.path(name))
        assert (found.st_uid, found.st_gid) == (1000 + number, 2000 + number), name
