"""Disks that fail: a filesystem whose requests fail one by one, that waits, whose program dies, and
images that lost a part of themselves.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults import disks
from tests.faults.disks import needs_root
from tests.faults.fuse import Faulty
from tests.faults.test_full import FILE, FOLDER, ROOT, VERBS, hidden, prepare, state, undo
from tests.support.client import Failed
from tests.threats.lab import MAPPED, Lab
from tests.threats.verbs import setattr_

from ninep.linux import GETATTR_BASIC, SETATTR_MODE, Errno
from ninep.wire import messages as m

pytestmark = needs_root
CODES = (Errno.EIO, Errno.EDQUOT, Errno.EACCES, Errno.EROFS, Errno.ENOMEM)
LARGE = 1 << 20


@pytest.fixture
def base() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ninep-broken.") as folder:
        yield Path(folder)


@pytest.fixture
def disk(base: Path) -> Iterator[Faulty]:
    with Faulty(base / "export") as made:
        yield made


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("passthrough", Errno.EIO),
        ("mapped-owner", Errno.EIO),
        ("mapped-xattr", Errno.EIO),
        ("mapped-xattr", Errno.EDQUOT),
        ("mapped-file", Errno.EIO),
        ("mapped-file", Errno.EACCES),
    ],
)
def test_each_request_fails_in_turn(base: Path, disk: Faulty, model: str, code: Errno) -> None:
    """Every verb, with its first change of the disk failing, then its second ...: the client is
    told so, and nothing has changed; or it is done.
    """
    failures = 0
    with Lab(base, model) as lab:
        client = lab.client()
        prepare(client)
        for verb, act in VERBS.items():
            for number in range(1, 30):
                before, litter = state(client), hidden(lab.top)
                disk.fail(changing=number, code=code)
                said = None
                try:
                    act(client)
                except Failed as failure:
                    said = failure.code
                hit = disk.failed()
                failures += bool(hit)
                if said is None:
                    assert state(client) != before, f"{verb} said that it was done; {hit or 'nothing'} had failed"
                    undo(client, lab)
                else:
                    assert said == code, f"{verb}: {said} although {hit} failed with {code.name}"
                    assert state(client) == before, f"{verb}, when its {number}. change ({hit}) failed"
                    assert hidden(lab.top) == litter, f"{verb}, when its {number}. change ({hit}) failed"
                if not hit:
                    break
            else:
                raise AssertionError(f"{verb} never ends")
        client.clunk(FILE, FOLDER)
    assert failures > len(VERBS)


@pytest.mark.parametrize("request_", ["READ", "WRITE", "FSYNC", "READDIR", "OPEN", "SETATTR"])
def test_the_client_is_told_what_the_disk_says(base: Path, disk: Faulty, request_: str) -> None:
    asks = {
        "READ": m.Tread(FILE, 0, 100),
        "WRITE": m.Twrite(FILE, 0, b"x"),
        "FSYNC": m.Tfsync(FILE, 0),
        "READDIR": m.Treaddir(FOLDER, 0, 4000),
        "OPEN": m.Tlopen(3, 0),
        "SETATTR": setattr_(SETATTR_MODE, fid=FILE, mode=0o600),
    }
    with Lab(base) as lab:
        client = lab.client()
        client.create(ROOT, FILE, b"file")
        client.rpc(m.Twrite(FILE, 0, b"content"))
        client.walk(ROOT, 3, b"file")
        handle = os.open(lab.top / "file", os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)
        client.mkdir(ROOT, b"folder")
        client.walk(ROOT, FOLDER, b"folder")
        client.open(FOLDER)
        for code in CODES:
            disk.fail_all(request_, code)
            client.refuses(asks[request_], code)
            assert disk.failed() == request_
        client.rpc(asks[request_])
        client.clunk(FILE, FOLDER, 3)


@pytest.mark.parametrize("held", ["WRITE", "FSYNC", "GETATTR"])
def test_a_disk_that_does_not_answer_delays_no_other_client(base: Path, disk: Faulty, held: str) -> None:
    with Lab(base) as lab:
        client = lab.client()
        client.create(ROOT, FILE, b"file")
        disk.hold(held)
        asked = {
            "WRITE": m.Twrite(FILE, 0, b"late"),
            "FSYNC": m.Tfsync(FILE, 0),
            "GETATTR": m.Tgetattr(FILE, GETATTR_BASIC),
        }[held]
        tag = client.send(asked)
        until_held(disk)
        if held != "GETATTR":  # which everybody needs
            lab.alive()
        flush = client.send(m.Tflush(tag))
        assert not client.arrived(tag)
        disk.go()
        client.reply(tag)
        client.reply(flush)
        client.rpc(m.Tgetattr(FILE, GETATTR_BASIC))
        client.clunk(FILE)


def until_held(disk: Faulty) -> None:
    wait = threading.Event()
    for _ in range(12_000):
        if disk.held():
            return
        wait.wait(0.01)
    raise AssertionError("nothing came to the disk")


def test_a_client_that_leaves_while_the_disk_does_not_answer(base: Path, disk: Faulty) -> None:
    with Lab(base) as lab:
        client = lab.client()
        client.create(ROOT, FILE, b"file")
        disk.hold("WRITE")
        client.send(m.Twrite(FILE, 0, b"late"))
        until_held(disk)
        client.close()
        lab.alive()
        disk.go()
        lab.wait_until_idle()
        assert (lab.top / "file").read_bytes() == b"late", "a write is done whole, though nobody waits for it"


def test_a_filesystem_whose_program_died(base: Path, disk: Faulty) -> None:
    """ENOTCONN for everything on it; the server goes on, and other exports too."""
    with Lab(base) as lab:
        client = lab.client()
        client.create(ROOT, FILE, b"file")
        client.walk(ROOT, FOLDER)
        disk.die()
        for message in (
            m.Tgetattr(FILE, GETATTR_BASIC),
            m.Twrite(FILE, 0, b"x"),
            m.Tmkdir(FOLDER, b"d", 0o755, 0),
            m.Twalk(FOLDER, 9, [b"file"]),
            m.Tstatfs(FOLDER),
        ):
            client.refuses(message, Errno.ENOTCONN, Errno.ECONNABORTED, Errno.EIO)
        client.errors_of(m.Tclunk(FILE))
        lab.gone = True


# -- images that lost a part -------------------------------------------------------------------------------------------


def test_blocks_that_cannot_be_read(base: Path) -> None:
    """EIO for what is on the lost part, and the true content for what is not: never zeros."""
    image = base / "image"
    with disks.ext4(base / "export", image, megabytes=8), Lab(base) as lab:
        content = os.urandom(4 * LARGE)
        path = lab.top / "file"
        path.write_bytes(content)
        client = lab.client(msize=LARGE)
        client.walk(ROOT, FILE, b"file")
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)
        os.truncate(image, 3 * LARGE)
        client.open(FILE)
        told = set()
        for offset in range(0, len(content), 65536):
            try:
                assert client.read(FILE, offset, 65536) == content[offset : offset + 65536]
                told.add(0)
            except Failed as failure:
                told.add(int(failure.code))
        assert told <= {0, Errno.EIO}
        assert Errno.EIO in told
        client.clunk(FILE)


def test_writes_that_never_reach_the_disk(base: Path) -> None:
    """The image's own disk is full: the kernel took the writes, Tfsync says that they are lost."""
    with disks.tmpfs(base / "under", "size=1m"):
        disks.make_image(base / "under" / "image", 16, "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard")
        with disks.mounted(base / "export", "-o", "loop", base / "under" / "image"), Lab(base) as lab:
            client = lab.client(msize=65536)
            client.create(ROOT, FILE, b"file")
            for offset in range(0, 4 * LARGE, 60000):
                client.rpc(m.Twrite(FILE, offset, b"x" * 60000))
            client.refuses(m.Tfsync(FILE, 0), Errno.EIO, Errno.ENOSPC)
            client.clunk(FILE)


# -- folders that go away ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["passthrough", *MAPPED])
def test_a_disk_unmounted_under_the_export(base: Path, model: str) -> None:
    """``umount -l``: the server holds its root and serves on; what is below the name now is never
    shown.
    """
    with disks.tmpfs(base / "export"), Lab(base, model) as lab:
        client = lab.client()
        client.create(ROOT, FILE, b"file", b"content")
        disks.unmount(lab.top)
        (lab.top / "below").write_bytes(lab.canary.marker)
        assert client.read(FILE) == b"content"
        client.create(ROOT, 3, b"more", b"more")
        client.walk(ROOT, FOLDER)
        client.open(FOLDER)
        assert sorted(client.names(FOLDER)) == [b"file", b"more"]
        client.refuses(m.Twalk(ROOT, 9, [b"below"]), Errno.ENOENT)
        with lab.client() as second:
            second.walk(ROOT, 1, b"file")
        client.clunk(FILE, FOLDER, 3)
    assert [path.name for path in (base / "export").iterdir()] == ["below"]


def test_a_disk_unmounted_below_the_export(base: Path) -> None:
    with Lab(base) as lab, disks.tmpfs(lab.top / "disk"):
        client = lab.client()
        client.walk(ROOT, FOLDER, b"disk")
        client.create(FOLDER, FILE, b"file", b"content")
        disks.unmount(lab.top / "disk")
        assert client.read(FILE) == b"content"
        client.clunk(FILE)
        assert not client.walk_or_not(ROOT, 9, b"disk", b"file")
        assert (lab.top / "disk").exists()
        client.errors_of(m.Tmkdir(FOLDER, b"new", 0o755, 0))
        client.clunk(FOLDER)


def test_a_folder_deleted_in_the_middle_of_a_create(base: Path) -> None:
    """By the host, again and again: ENOENT or done, and never a record or a file somewhere else."""
    for model in ("passthrough", *MAPPED):
        where = base / model
        where.mkdir()
        with Lab(where, model) as lab:
            client = lab.client()
            for turn in range(20):
                client.mkdir(ROOT, b"d")
                client.walk(ROOT, FOLDER, b"d")
                deleter = threading.Thread(target=delete, args=(lab.top / "d",))
                deleter.start()
                for number in range(5):
                    client.walk(FOLDER, 3)
                    said = client.errors_of(m.Tlcreate(3, b"f%d" % number, 2, 0o644, 100))
                    assert said <= {Errno.ENOENT, Errno.ESTALE, Errno.EIO}, (turn, said)
                    client.clunk(3)
                deleter.join()
                client.clunk(FOLDER)
                delete(lab.top / "d")
                assert {path.name for path in lab.top.iterdir()} <= {".virtfs_metadata"}


def delete(folder: Path) -> None:
    disks.run("rm", "-rf", folder)
