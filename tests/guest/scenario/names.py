"""Names: rename, link, symlink, unlink while open, odd and long names, folders."""

from __future__ import annotations

import errno
import os
import stat

from .registry import Place, check, fails_with, get, put, two_mounts

PATH_MAX = 4096  # the kernel's limit for a path it is given, with its NUL


@check
def rename_over_a_file(place: Place) -> None:
    put(place.path("f"), b"new", 0o640)
    put(place.path("g"), b"old", 0o600)
    os.rename(place.path("f"), place.path("g"))
    assert sorted(os.listdir(place.here)) == ["g"]
    assert get(place.path("g")) == b"new"
    assert stat.S_IMODE(os.stat(place.path("g")).st_mode) == 0o640


@check
def rename_to_another_folder(place: Place) -> None:
    os.mkdir(place.path("a"))
    os.mkdir(place.path("b"))
    put(place.path("a", "f"), b"moved", 0o604)
    os.rename(place.path("a", "f"), place.path("b", "g"))
    assert os.listdir(place.path("a")) == []
    assert get(place.path("b", "g")) == b"moved"
    assert stat.S_IMODE(os.stat(place.path("b", "g")).st_mode) == 0o604
    os.rename(place.path("a"), place.path("b", "a"))
    assert sorted(os.listdir(place.path("b"))) == ["a", "g"]


@check
def rename_over_an_open_file(place: Place) -> None:
    put(place.path("f"), b"new")
    put(place.path("g"), b"old")
    fd = os.open(place.path("g"), os.O_RDWR)
    os.rename(place.path("f"), place.path("g"))
    assert os.pread(fd, 10, 0) == b"old"
    os.pwrite(fd, b"written to the old one", 0)
    assert os.fstat(fd).st_size == 22
    os.close(fd)
    assert get(place.path("g")) == b"new"


@check
def rename_an_open_file(place: Place) -> None:
    fd = os.open(place.path("f"), os.O_RDWR | os.O_CREAT)
    os.write(fd, b"before")
    os.rename(place.path("f"), place.path("g"))
    os.write(fd, b" after")
    os.fchmod(fd, 0o640)
    assert os.fstat(fd).st_size == 12
    os.close(fd)
    assert get(place.path("g")) == b"before after"
    assert stat.S_IMODE(os.stat(place.path("g")).st_mode) == 0o640


@check
def rename_a_folder_with_open_files_below(place: Place) -> None:
    os.makedirs(place.path("a", "b"))
    fd = os.open(place.path("a", "b", "f"), os.O_RDWR | os.O_CREAT)
    os.write(fd, b"before")
    os.rename(place.path("a"), place.path("z"))
    os.write(fd, b" after")
    assert os.fstat(fd).st_size == 12
    os.close(fd)
    assert get(place.path("z", "b", "f")) == b"before after"
    assert not os.path.exists(place.path("a"))


@check
def rename_errors(place: Place) -> None:
    os.makedirs(place.path("d", "e"))
    put(place.path("f"))
    fails_with(errno.ENOENT, os.rename, place.path("none"), place.path("x"))
    fails_with(errno.EISDIR, os.rename, place.path("f"), place.path("d"))
    fails_with(errno.ENOTDIR, os.rename, place.path("d"), place.path("f"))
    os.mkdir(place.path("other"))
    fails_with(errno.ENOTEMPTY, os.rename, place.path("other"), place.path("d"))
    fails_with(errno.EINVAL, os.rename, place.path("d"), place.path("d", "e", "d"))


@check
def unlink_and_rmdir_errors(place: Place) -> None:
    os.makedirs(place.path("d", "e"))
    put(place.path("f"))
    fails_with(errno.ENOTEMPTY, os.rmdir, place.path("d"))
    fails_with(errno.ENOTDIR, os.rmdir, place.path("f"))
    fails_with(errno.EISDIR, os.unlink, place.path("d"))
    fails_with(errno.ENOENT, os.unlink, place.path("none"))
    fails_with(errno.EEXIST, os.mkdir, place.path("d"))
    fails_with(errno.ENOTDIR, os.stat, place.path("f", "below"))
    os.rmdir(place.path("d", "e"))
    os.rmdir(place.path("d"))
    os.unlink(place.path("f"))
    assert os.listdir(place.here) == []


@check
def unlink_while_open(place: Place) -> None:
    fd = os.open(place.path("f"), os.O_RDWR | os.O_CREAT, 0o600)
    os.write(fd, b"0123456789")
    os.unlink(place.path("f"))
    assert os.listdir(place.here) == []
    assert os.fstat(fd).st_size == 10
    os.ftruncate(fd, 5)
    assert os.fstat(fd).st_size == 5
    assert os.pread(fd, 100, 0) == b"01234"
    os.pwrite(fd, b"more", 5)
    assert os.pread(fd, 100, 0) == b"01234more"
    os.fchmod(fd, 0o640)
    assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o640
    os.close(fd)


@check
def unlink_while_open_and_made_again(place: Place) -> None:
    put(place.path("f"), b"old")
    fd = os.open(place.path("f"), os.O_RDWR)
    os.unlink(place.path("f"))
    put(place.path("f"), b"a new one")
    assert os.fstat(fd).st_size == 3
    assert os.pread(fd, 10, 0) == b"old"
    os.ftruncate(fd, 1)
    os.close(fd)
    assert get(place.path("f")) == b"a new one"


@check
def link_counts(place: Place) -> None:
    put(place.path("f"), b"shared", 0o640)
    os.link(place.path("f"), place.path("g"))
    first, second = os.stat(place.path("f")), os.stat(place.path("g"))
    assert (first.st_ino, first.st_nlink) == (second.st_ino, 2)
    os.chmod(place.path("g"), 0o604)
    assert stat.S_IMODE(os.stat(place.path("f")).st_mode) == 0o604
    os.unlink(place.path("f"))
    assert os.stat(place.path("g")).st_nlink == 1
    assert get(place.path("g")) == b"shared"
    fails_with(errno.EEXIST, os.link, place.path("g"), place.path("g"))
    fails_with(errno.ENOENT, os.link, place.path("f"), place.path("h"))


@check
def folder_link_count(place: Place) -> None:
    os.makedirs(place.path("d", "one"))
    os.mkdir(place.path("d", "two"))
    put(place.path("d", "file"))
    count = os.stat(place.path("d")).st_nlink
    assert count in (1, 4), count  # 1: a filesystem that does not count
    os.rmdir(place.path("d", "two"))
    assert os.stat(place.path("d")).st_nlink in (1, 3)


@check
def symlink_targets(place: Place) -> None:
    targets = {"file": "f", "dangling": "does/not/exist", "up": "../..", "absolute": "/etc/none", "long": "t" * 4095}
    put(place.path("f"), b"behind")
    for name, target in targets.items():
        os.symlink(target, place.path(name))
    for name, target in targets.items():
        assert os.readlink(place.path(name)) == target, name
        found = os.lstat(place.path(name))
        assert stat.S_ISLNK(found.st_mode)
        assert found.st_size == len(target), name
    assert get(place.path("file")) == b"behind"
    fails_with(errno.ENOENT, os.stat, place.path("dangling"))
    fails_with(errno.EEXIST, os.symlink, "x", place.path("dangling"))
    fails_with(errno.EINVAL, os.readlink, place.path("f"))
    os.rename(place.path("dangling"), place.path("renamed"))
    assert os.readlink(place.path("renamed")) == "does/not/exist"
    os.unlink(place.path("file"))
    assert get(place.path("f")) == b"behind"


@check
def symlink_to_a_folder_is_followed(place: Place) -> None:
    os.mkdir(place.path("d"))
    put(place.path("d", "f"), b"inside")
    os.symlink("d", place.path("way"))
    assert get(place.path("way", "f")) == b"inside"
    fails_with(errno.ELOOP, os.open, place.path("way"), os.O_RDONLY | os.O_NOFOLLOW)
    os.symlink("loop", place.path("loop"))
    fails_with(errno.ELOOP, os.stat, place.path("loop"))


@check
def odd_names(place: Place) -> None:
    here = os.fsencode(place.here)
    names = [
        b"\xff\xfe",
        b"new\nline",
        b"back\\slash",
        b" ",
        b"...",
        b"-",
        b"\xc3\xa4",
        b"a\xcc\x88",
        b"C:x",
        b"n" * 255,
    ]
    for name in names:
        put(os.fsdecode(here + b"/" + name), name)
    assert sorted(os.listdir(here)) == sorted(names)
    for name in names:
        assert get(os.fsdecode(here + b"/" + name)) == name
    fails_with(errno.ENAMETOOLONG, os.mkdir, here + b"/" + b"n" * 256)


@check
def path_of_path_max(place: Place) -> None:
    path = place.here
    while len(path) < PATH_MAX - 1 - 2 * 201:
        path += "/" + "d" * 200
        os.mkdir(path)
    path += "/" + "e" * (PATH_MAX - 1 - len(path) - 2 - 100)
    os.mkdir(path)
    file = path + "/" + "f" * (PATH_MAX - 1 - len(path) - 1)
    assert len(file) == PATH_MAX - 1
    put(file, b"deep")
    assert get(file) == b"deep"
    assert os.listdir(path) == [os.path.basename(file)]
    os.chmod(file, 0o604)
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o604
    os.rename(file, path + "/g")
    assert get(path + "/g") == b"deep"
    os.unlink(path + "/g")
    os.rmdir(path)


@check
def deeper_than_path_max(place: Place) -> None:
    levels, name = 30, "d" * 200
    folder = os.open(place.here, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=folder)
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
        os.close(folder)
        folder = below
    file = os.open("f", os.O_RDWR | os.O_CREAT, dir_fd=folder)
    os.write(file, b"deep")
    assert os.pread(file, 10, 0) == b"deep"
    os.close(file)
    assert os.listdir(folder) == ["f"]
    os.unlink("f", dir_fd=folder)
    for _ in range(levels):
        above = os.open("..", os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
        os.rmdir(name, dir_fd=above)
        os.close(folder)
        folder = above
    assert os.listdir(folder) == []
    os.close(folder)


@check
@two_mounts
def unlinked_there_while_open_here(place: Place) -> None:
    fd = os.open(place.path("f"), os.O_RDWR | os.O_CREAT)
    os.write(fd, b"still here")
    os.unlink(place.other("f"))
    os.pwrite(fd, b"STILL", 0)
    assert os.pread(fd, 100, 0) == b"STILL here"
    os.close(fd)
