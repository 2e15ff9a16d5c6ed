"""What is neither file nor folder: devices, FIFOs, sockets; and the filesystem as a whole."""

from __future__ import annotations

import errno
import os
import socket
import stat
import threading

from .registry import Place, check, fails_with, get, put

DEVICES = {
    "null": (stat.S_IFCHR | 0o666, os.makedev(1, 3)),
    "zero": (stat.S_IFCHR | 0o640, os.makedev(1, 5)),
    "disk": (stat.S_IFBLK | 0o660, os.makedev(8, 17)),
    "high": (stat.S_IFCHR | 0o600, os.makedev(4094, 1048575)),  # all of 32 bits, but not -1, "unknown" on disk
}


@check
def mknod_devices(place: Place) -> None:
    before = os.umask(0)
    for name, (mode, device) in DEVICES.items():
        os.mknod(place.path(name), mode, device)
    os.umask(before)
    for name, (mode, device) in DEVICES.items():
        found = os.lstat(place.path(name))
        assert oct(found.st_mode) == oct(mode), name
        assert found.st_rdev == device, name
    fails_with(errno.EEXIST, os.mknod, place.path("null"), stat.S_IFCHR | 0o600, os.makedev(1, 3))


@check
def devices_work_in_the_guest(place: Place) -> None:
    os.mknod(place.path("zero"), stat.S_IFCHR | 0o600, os.makedev(1, 5))
    with open(place.path("zero"), "rb", buffering=0) as zero:
        assert zero.read(16) == bytes(16)


@check
def mknod_fifo_and_socket(place: Place) -> None:
    before = os.umask(0)
    os.mkfifo(place.path("fifo"), 0o640)
    os.mknod(place.path("socket"), stat.S_IFSOCK | 0o604)
    os.umask(before)
    assert oct(os.lstat(place.path("fifo")).st_mode) == oct(stat.S_IFIFO | 0o640)
    assert oct(os.lstat(place.path("socket")).st_mode) == oct(stat.S_IFSOCK | 0o604)
    os.rename(place.path("fifo"), place.path("pipe"))
    assert stat.S_ISFIFO(os.lstat(place.path("pipe")).st_mode)
    os.unlink(place.path("pipe"))
    os.unlink(place.path("socket"))
    assert os.listdir(place.here) == []


@check
def mknod_regular_file(place: Place) -> None:
    os.mknod(place.path("f"), stat.S_IFREG | 0o640)
    assert oct(os.lstat(place.path("f")).st_mode) == oct(stat.S_IFREG | 0o640)
    assert get(place.path("f")) == b""


@check
def fifo_carries_data(place: Place) -> None:
    os.mkfifo(place.path("fifo"))

    def write() -> None:
        with open(place.path("fifo"), "wb") as fifo:
            fifo.write(b"through")

    writer = threading.Thread(target=write)
    writer.start()
    assert get(place.path("fifo")) == b"through"
    writer.join()


@check
def unix_socket_listens(place: Place) -> None:
    os.chdir(place.here)  # sun_path is short
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("s")
        server.listen()
        client.connect("s")
        assert stat.S_ISSOCK(os.stat("s").st_mode)
    os.chdir("/")


@check
def nodes_show_their_type_in_listings(place: Place) -> None:
    put(place.path("file"))
    os.mkdir(place.path("folder"))
    found = {entry.name: (entry.is_file(), entry.is_dir()) for entry in os.scandir(place.here)}
    assert found == {"file": (True, False), "folder": (False, True)}


@check
def statfs(place: Place) -> None:
    found = os.statvfs(place.here)
    assert found.f_bsize > 0
    assert 0 < found.f_bavail <= found.f_bfree <= found.f_blocks
    assert found.f_namemax == 255
    put(place.path("f"))
    assert os.statvfs(place.path("f")).f_blocks == found.f_blocks
