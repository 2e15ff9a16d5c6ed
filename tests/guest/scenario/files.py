"""Contents of files: create, read, write, append, truncate, holes, direct and mapped
access, fsync.
"""

from __future__ import annotations

import errno
import mmap
import os

from .registry import Place, as_user, check, fails_with, get, put, two_mounts, write_all

PAGE = mmap.PAGESIZE


@check
def create_write_read(place: Place) -> None:
    data = bytes(range(256)) * 40
    put(place.path("f"), data)
    assert get(place.path("f")) == data
    assert os.stat(place.path("f")).st_size == len(data)


@check
def create_applies_mode_and_umask(place: Place) -> None:
    before = os.umask(0o027)
    try:
        put(place.path("f"), mode=0o666)
        os.mkdir(place.path("d"), 0o777)
    finally:
        os.umask(before)
    assert oct(os.stat(place.path("f")).st_mode) == oct(0o100640)
    assert oct(os.stat(place.path("d")).st_mode & 0o777) == oct(0o750)


@check
def create_exclusive(place: Place) -> None:
    put(place.path("f"), b"first")
    fails_with(errno.EEXIST, os.open, place.path("f"), os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    assert get(place.path("f")) == b"first"


@check
@two_mounts
def create_exclusive_on_two_mounts(place: Place) -> None:
    put(place.path("f"), b"first")
    fails_with(errno.EEXIST, os.open, place.other("f"), os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    assert get(place.other("f")) == b"first"


@check
def create_on_existing_keeps_owner_and_mode(place: Place) -> None:
    put(place.path("f"), b"old", 0o604)
    before = os.stat(place.path("f"))
    os.close(os.open(place.path("f"), os.O_CREAT | os.O_WRONLY, 0o777))
    after = os.stat(place.path("f"))
    assert (after.st_mode, after.st_uid, after.st_gid, after.st_ino) == (
        before.st_mode, before.st_uid, before.st_gid, before.st_ino,
    )  # fmt: skip
    assert get(place.path("f")) == b"old"


@check
def write_at_offsets(place: Place) -> None:
    fd = os.open(place.path("f"), os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b"world", 6)
    os.pwrite(fd, b"hello ", 0)
    os.pwrite(fd, b"W", 6)
    assert os.pread(fd, 100, 0) == b"hello World"
    assert os.pread(fd, 3, 4) == b"o W"
    assert os.pread(fd, 10, 11) == b""
    os.close(fd)


@check
def open_truncates(place: Place) -> None:
    put(place.path("f"), b"some contents")
    os.close(os.open(place.path("f"), os.O_WRONLY | os.O_TRUNC))
    assert os.stat(place.path("f")).st_size == 0


@check
def append_from_two_descriptors(place: Place) -> None:
    put(place.path("f"), b"0")
    first = os.open(place.path("f"), os.O_WRONLY | os.O_APPEND)
    second = os.open(place.path("f"), os.O_WRONLY | os.O_APPEND)
    for number in range(1, 10):
        os.write(first if number % 2 else second, b"%d" % number)
    os.close(first)
    os.close(second)
    assert get(place.path("f")) == b"0123456789"


@check
@two_mounts
def append_from_two_mounts(place: Place) -> None:
    put(place.path("f"), b"0")
    first = os.open(place.path("f"), os.O_WRONLY | os.O_APPEND)
    second = os.open(place.other("f"), os.O_WRONLY | os.O_APPEND)
    for number in range(1, 10):
        os.write(first if number % 2 else second, b"%d" % number)
    os.close(first)
    os.close(second)
    assert get(place.path("f")) == b"0123456789"


@check
def truncate_by_path(place: Place) -> None:
    put(place.path("f"), b"0123456789")
    os.truncate(place.path("f"), 4)
    assert get(place.path("f")) == b"0123"
    os.truncate(place.path("f"), 8)
    assert get(place.path("f")) == b"0123\0\0\0\0"


@check
def truncate_by_descriptor(place: Place) -> None:
    fd = os.open(place.path("f"), os.O_RDWR | os.O_CREAT)
    os.write(fd, b"0123456789")
    os.ftruncate(fd, 4)
    assert os.fstat(fd).st_size == 4
    os.ftruncate(fd, 8)
    assert os.pread(fd, 100, 0) == b"0123\0\0\0\0"
    os.close(fd)


@check
def holes_and_large_offsets(place: Place) -> None:
    fd = os.open(place.path("f"), os.O_RDWR | os.O_CREAT)
    offset = 5 << 30
    os.pwrite(fd, b"end", offset)
    assert os.fstat(fd).st_size == offset + 3
    assert os.pread(fd, 4096, 1 << 30) == bytes(4096)
    assert os.pread(fd, 10, offset - 2) == b"\0\0end"
    os.close(fd)


@check
@two_mounts
def written_here_is_read_there(place: Place) -> None:
    put(place.path("f"), b"one")
    assert get(place.other("f")) == b"one"
    os.rename(place.path("f"), place.path("g"))
    assert get(place.other("g")) == b"one"


@check
def reading_needs_no_write_permission(place: Place) -> None:
    put(place.path("f"), b"public", 0o444)
    os.chmod(place.here, 0o755)
    assert as_user(1000, lambda: get(place.path("f"))) == b"public"
    fails_with(errno.EACCES, as_user, 1000, lambda: os.open(place.path("f"), os.O_WRONLY))


@check
def direct_io(place: Place) -> None:
    fd = os.open(place.path("f"), os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    pages = mmap.mmap(-1, 4 * PAGE)
    pages.write(b"d" * 4 * PAGE)
    assert os.pwritev(fd, [pages], 0) == 4 * PAGE
    back = mmap.mmap(-1, 2 * PAGE)
    assert os.preadv(fd, [back], PAGE) == 2 * PAGE
    assert back[:] == b"d" * 2 * PAGE
    os.close(fd)
    assert get(place.path("f")) == b"d" * 4 * PAGE


@check
def fsync_of_a_file(place: Place) -> None:
    fd = os.open(place.path("f"), os.O_RDWR | os.O_CREAT)
    os.write(fd, b"kept")
    os.fsync(fd)
    os.fdatasync(fd)
    os.close(fd)
    assert get(place.path("f")) == b"kept"


@check
def fsync_of_a_folder(place: Place) -> None:
    fd = os.open(place.here, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)


@check
def map_private(place: Place) -> None:
    put(place.path("f"), b"mapped" + bytes(PAGE))
    fd = os.open(place.path("f"), os.O_RDONLY)
    with mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE) as view:
        assert view[:6] == b"mapped"
        view[:6] = b"MAPPED"
    os.close(fd)
    assert get(place.path("f"))[:6] == b"mapped"


@check
def map_shared(place: Place) -> None:
    put(place.path("f"), b"." * 3 * PAGE)
    fd = os.open(place.path("f"), os.O_RDWR)
    with mmap.mmap(fd, 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE) as view:
        view[PAGE : PAGE + 5] = b"pages"
        view.flush()
        assert os.pread(fd, 7, PAGE - 1) == b".pages."
    os.close(fd)
    assert get(place.path("f"))[PAGE - 1 : PAGE + 6] == b".pages."


@check
@two_mounts
def map_shared_reaches_the_other_mount(place: Place) -> None:
    put(place.path("f"), b"." * 2 * PAGE)
    fd = os.open(place.path("f"), os.O_RDWR)
    with mmap.mmap(fd, 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE) as view:
        view[:5] = b"pages"
        view.flush()
        os.fsync(fd)
        assert get(place.other("f"))[:6] == b"pages."
    os.close(fd)


@check
def copy_within_the_mount(place: Place) -> None:
    data = os.urandom(300_000)
    put(place.path("f"), data)
    source = os.open(place.path("f"), os.O_RDONLY)
    target = os.open(place.path("g"), os.O_WRONLY | os.O_CREAT)
    left = len(data)
    while left:
        left -= os.copy_file_range(source, target, left)
    os.close(source)
    os.close(target)
    assert get(place.path("g")) == data


@check
def copy_of_a_range(place: Place) -> None:
    """Over other content, and no further than the end of the source."""
    put(place.path("f"), b"0123456789" * 1000)
    put(place.path("g"), b"x" * 8000)
    source = os.open(place.path("f"), os.O_RDONLY)
    target = os.open(place.path("g"), os.O_RDWR)
    assert os.copy_file_range(source, target, 5, 1003, 10) == 5
    assert os.copy_file_range(source, target, 100, 9995, 7998) == 5
    assert os.copy_file_range(source, target, 100, 10_000, 0) == 0
    os.close(source)
    os.close(target)
    assert get(place.path("g")) == b"x" * 10 + b"34567" + b"x" * 7983 + b"56789"


@check
def write_through_a_link_to_the_same_file(place: Place) -> None:
    put(place.path("f"), b"one")
    os.link(place.path("f"), place.path("g"))
    fd = os.open(place.path("g"), os.O_WRONLY | os.O_APPEND)
    write_all(fd, b" two")
    os.close(fd)
    assert get(place.path("f")) == b"one two"
