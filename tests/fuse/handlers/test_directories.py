"""OPENDIR, READDIR, READDIRPLUS."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.fuse_kernel import ROOT, Kernel, refused

from ninep.drivers.local import LocalDriver
from ninep.drivers.local.directory import LocalDir
from ninep.drivers.memory import MemoryDriver
from ninep.linux import DT_DIR, DT_REG, DT_UNKNOWN, Errno
from ninep.node import Driver
from ninep.testing.faults import ALWAYS, Faults
from ninep.wire.fuse import Opcode
from ninep.wire.fuse_codec import ENTRY_OUT_SIZE, dirent_size


@pytest.fixture(params=["memory", "local"])
def driver(request: pytest.FixtureRequest, tmp_path: object) -> Driver:
    """One whose listings are numbered by the server, and one that packs them itself."""
    return MemoryDriver() if request.param == "memory" else LocalDriver(str(tmp_path))


def whole(kernel: Kernel, fh: int, size: int, *, plus: bool = False) -> list[tuple[int, int, int, bytes, int]]:
    """All entries, read in pieces of ``size``."""
    entries: list[tuple[int, int, int, bytes, int]] = []
    while more := kernel.readdir(fh, entries[-1][1] if entries else 0, size, plus=plus):
        entries += more
    return entries


@pytest.mark.parametrize("size", [320, 4096, 1 << 20])
@pytest.mark.parametrize("plus", [False, True])
def test_every_entry_once(kernels: Callable[..., Kernel], driver: Driver, size: int, plus: bool) -> None:
    kernel = kernels(driver)
    names = {b"%d" % number * (number % 9 + 1) for number in range(300)}
    for name in names:
        kernel.create(ROOT, name)
    kernel.mkdir(ROOT, b"directory")
    entries = whole(kernel, kernel.opendir(ROOT), size, plus=plus)
    assert sorted(entry[3] for entry in entries) == sorted([*names, b"directory", b".", b".."])
    types = {name: kind for _, _, kind, name, _ in entries}
    # Where a type would cost a look-up, only a listing with attributes has it.
    assert {types[name] for name in names} <= ({DT_REG} if plus else {DT_REG, DT_UNKNOWN})
    assert types[b"directory"] == DT_DIR


def test_a_listing_with_attributes_looks_its_entries_up(kernels: Callable[..., Kernel], driver: Driver) -> None:
    kernel = kernels(driver)
    made = kernel.create(ROOT, b"f")
    kernel.release(made.fh)
    nodes = {entry[3]: entry[4] for entry in kernel.readdir(kernel.opendir(ROOT), plus=True)}
    assert nodes == {b".": 0, b"..": 0, b"f": made.nodeid}
    kernel.forget(made.nodeid)
    assert kernel.attr(made.nodeid).nlink == 1
    kernel.forget(made.nodeid)
    with refused(Errno.ESTALE):
        kernel.attr(made.nodeid)


def test_inode_numbers_are_those_of_the_attributes(kernels: Callable[..., Kernel], driver: Driver) -> None:
    kernel = kernels(driver)
    made = kernel.create(ROOT, b"f")
    inodes = {entry[3]: entry[0] for entry in kernel.readdir(kernel.opendir(ROOT))}
    assert inodes[b"f"] == made.attr.ino
    assert inodes[b"."] == kernel.attr(ROOT).ino


def test_reading_goes_on_anywhere(kernels: Callable[..., Kernel], driver: Driver) -> None:
    kernel = kernels(driver)
    for number in range(50):
        kernel.create(ROOT, b"%d" % number)
    fh = kernel.opendir(ROOT)
    entries = whole(kernel, fh, 4096)
    for at in (0, 7, 49):
        assert [entry[3] for entry in kernel.readdir(fh, entries[at][1], 65536)][:1] == [entries[at + 1][3]]
    assert kernel.readdir(fh, entries[-1][1]) == []
    assert kernel.readdir(fh, (1 << 63) + 5) == []


@pytest.mark.parametrize("plus", [False, True])
def test_entries_that_did_not_fit_are_not_read_again(
    kernels: Callable[..., Kernel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plus: bool
) -> None:
    for number in range(200):
        (tmp_path / f"entry-{number:05}").touch()
    offsets: list[int] = []
    read = LocalDir.read_packed
    monkeypatch.setattr(LocalDir, "read_packed", lambda *args: offsets.append(args[1]) or read(*args))
    kernel = kernels(LocalDriver(str(tmp_path)), audited=False)
    fh = kernel.opendir(ROOT)
    entries = whole(kernel, fh, 4096, plus=plus)
    assert len(entries) == 202
    assert offsets == sorted(set(offsets))
    assert offsets[-1] == entries[-1][1]  # the end
    assert len(offsets) <= 202 * (24 + len("entry-00000")) // (4096 - 64) + 2


def test_a_listing_from_the_start_is_read_anew(kernels: Callable[..., Kernel], driver: Driver) -> None:
    kernel = kernels(driver)
    for number in range(50):
        kernel.create(ROOT, b"%d" % number)
    fh = kernel.opendir(ROOT)
    assert kernel.readdir(fh, 0, 1024, plus=True)
    kernel.create(ROOT, b"new")
    assert b"new" in {entry[3] for entry in whole(kernel, fh, 4096, plus=True)}


def test_too_little_room_for_one_entry_is_an_error_and_not_the_end(
    kernels: Callable[..., Kernel], driver: Driver
) -> None:
    kernel = kernels(driver)
    kernel.create(ROOT, b"x" * 255)
    fh = kernel.opendir(ROOT)
    entries = whole(kernel, fh, 4096)
    at = [entry[3] for entry in entries].index(b"x" * 255)
    offset = entries[at - 1][1] if at else 0
    room = dirent_size(b"x" * 255, plus=False)
    assert kernel.readdir(fh, offset, room)[0][3] == b"x" * 255
    with refused(Errno.EINVAL):
        kernel.readdir(fh, offset, room - 1)
    with refused(Errno.EINVAL):
        kernel.readdir(fh, offset, room + ENTRY_OUT_SIZE - 1, plus=True)


def test_an_entry_whose_attributes_cannot_be_read_is_listed_all_the_same(kernels: Callable[..., Kernel]) -> None:
    faults = Faults()
    kernel = kernels(layers=[faults])
    kernel.mkdir(ROOT, b"d")
    fh = kernel.opendir(ROOT)
    faults.fail("getattr", Errno.EIO, times=ALWAYS)
    assert {entry[3]: entry[4] for entry in kernel.readdir(fh, plus=True)} == {b".": 0, b"..": 0, b"d": 0}


def test_a_file_is_no_directory(kernel: Kernel) -> None:
    made = kernel.create(ROOT, b"f")
    with refused(Errno.ENOTDIR):
        kernel.opendir(made.nodeid)
    with refused(Errno.ENOTDIR):
        kernel.readdir(made.fh)


def test_a_listing_that_a_thread_reads_is_not_read_at_the_same_time(kernel: Kernel) -> None:
    fh = kernel.opendir(ROOT)
    opened = kernel.dispatcher.session.handle(fh)
    with opened.guard:
        unique = kernel.send(Opcode.READDIR, ROOT, fh, 0, 4096, 0, 0, 0, 0)
        assert [one.unique for one in kernel.dispatcher.ready] == [unique]
    assert kernel.reply(unique)
