"""The Linux kernel's client on a server that is a program of Windows: ``ninep serve`` in Windows
Python under Wine, mapped-xattr on NTFS.

The scenario is the one of Linux hosts. What is known to be different is listed with its reason and
must be so.
"""

from __future__ import annotations

import hashlib
import os
import stat

import pytest
from tests.guest.debs import Unavailable
from tests.guest.machine import Machine, Mount
from tests.wine.lab import Lab, windows_path
from tests.wine.served import WindowsServer
from tests.wine.volume import Volume, ntfs_volume

pytestmark = [pytest.mark.guest, pytest.mark.wine, pytest.mark.slow, pytest.mark.timeout(900)]

LIMIT = 500.0
BIG_MIB = 16
NO_LIST = "Wine does not list streams (FileStreamInformation)"
NO_LONG_PATHS = "Wine opens by the path from the root of Linux, which is no longer than PATH_MAX there"
DIFFERENT = {
    "xattr_set_get_list_remove": NO_LIST,
    "xattr_empty_value": NO_LIST,
    "server_attributes_are_hidden": NO_LIST,
    "xattr_by_descriptor_of_an_unlinked_file": "streams go by the file's name here, and it has none",
    "odd_names": "Wine's names have no lone surrogates",
    "path_of_path_max": NO_LONG_PATHS,
    "deeper_than_path_max": NO_LONG_PATHS,
}
# Linux keeps what it read of a stream under the name that its file had (ntfs-3g's kernel_cache):
# these may go either way.
EITHER = {"rename_over_a_file", "link_counts"}


def test_the_scenario_of_linux_hosts(guest: Machine) -> None:
    try:
        with Lab() as lab, ntfs_volume() as volume:
            with WindowsServer(lab, windows_path(volume.folder), "--security-model", "mapped-xattr") as server:
                with guest.served(server.port, Mount(), times=2) as (here, there):
                    check_scenario(guest, here, there)
                    check_much(guest, here, volume)
                    leave_objects(guest, here)
                assert server.stop() == 0, (
                    server.said()
                )  # Ctrl-C; that there is no traceback is seen to by WindowsServer
            check_streams(volume)
    except Unavailable as missing:
        pytest.skip(f"no Wine: {missing}")


def check_scenario(guest: Machine, here: str, there: str) -> None:
    """Every check but those that take thousands of entries."""
    words = ["--dialect", "9P2000.L", "--cache", "none", "--model", "mapped-xattr", "--server", "root"]
    done = guest.scenario(here, "--second", there, *words, limit=LIMIT)
    lines = [line.split(" ", 2) for line in done.output.splitlines()]
    failed = {name.rstrip(":"): " ".join(why) for word, name, *why in lines if word not in {"ok", "na"}}
    assert failed.keys() - EITHER == DIFFERENT.keys(), done.output
    assert sum(word == "ok" for word, *_ in lines) > 60, done.output


def check_much(guest: Machine, here: str, volume: Volume) -> None:
    """dd there and back, and the same bytes on the host."""
    guest.run(
        f"dd if=/dev/urandom of=/dev/shm/big bs=1M count={BIG_MIB} && cp /dev/shm/big {here}/big", limit=LIMIT
    ).check()
    guest.run("sync; echo 3 > /proc/sys/vm/drop_caches").check()
    told = guest.run(f"dd if={here}/big bs=1M 2>/dev/null | sha256sum; sha256sum < /dev/shm/big", limit=LIMIT).check()
    there, sent = (line.split()[0] for line in told.output.splitlines())
    with (volume.folder / "big").open("rb") as file:
        assert there == sent == hashlib.file_digest(file, "sha256").hexdigest()


def leave_objects(guest: Machine, here: str) -> None:
    """One of each kind, for a look at the volume."""
    commands = [
        f"mkdir -m 2750 {here}/left && cd {here}/left && echo hello > file && chown 1000:70000 file && chmod 4711 file",
        "mknod -m 620 char c 5 1 && mknod -m 660 block b 253 70000 && mkfifo -m 600 fifo && ln -s ../far/target link",
        "ln file second && setfattr -n user.note -v text file",
    ]
    guest.run(" && ".join(commands)).check()


def check_streams(volume: Volume) -> None:
    """What the hypervisor's Windows patches would read."""
    names = ["file", "char", "block", "fifo", "link", "."]
    found = volume.streams(*(f"left/{name}" for name in names))

    def kept(name: str) -> dict[str, int | bytes]:
        streams = found[f"left/{name}"].items()
        return {
            key.removeprefix("user.virtfs."): int.from_bytes(value, "little") if "virtfs" in key else value
            for key, value in streams
        }

    root = {"uid": 0, "gid": 0}
    assert kept("file") == {"uid": 1000, "gid": 70000, "mode": stat.S_IFREG | 0o4711, "user.note": b"text"}
    assert kept("char") == root | {"mode": stat.S_IFCHR | 0o620, "rdev": os.makedev(5, 1)}
    assert kept("block") == root | {"mode": stat.S_IFBLK | 0o660, "rdev": os.makedev(253, 70000)}
    assert kept("fifo") == root | {"mode": stat.S_IFIFO | 0o600, "rdev": 0}
    assert kept("link") == root | {"mode": stat.S_IFLNK | 0o777}
    assert kept(".") == root | {"mode": stat.S_IFDIR | 0o2750}
    assert {len(value) for streams in found.values() for key, value in streams.items() if key.endswith("id")} == {4}
    assert len(found["left/char"]["user.virtfs.rdev"]) == 8
    assert (volume.folder / "left" / "link").read_bytes() == b"../far/target"
    assert (volume.folder / "left" / "second").read_bytes() == b"hello\n"
