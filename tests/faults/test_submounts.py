"""Other filesystems mounted below an export: ones that do not answer, that show the kernel's
secrets, or that lose files.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.faults.disks import mounted, needs_root, tmpfs
from tests.faults.fuse import Faulty
from tests.faults.test_broken import until_held
from tests.threats.lab import Lab

from ninep import host
from ninep.drivers.local import LocalDriver, LocalNode, new_handle_cache
from ninep.drivers.local.driver import ExportError
from ninep.errors import linux_errno
from ninep.linux import GETATTR_BASIC, O_RDONLY, O_RDWR, Errno
from ninep.node import User, WouldBlock, serve_in_this_thread
from ninep.wire import messages as m
from ninep.wire.codec import unpack_dirents

pytestmark = [needs_root, pytest.mark.skipif(not host.SEES_MOUNTS, reason="needs openat2(2), Linux 5.6")]
ROOT, MNT, FILE = 0, 1, 2
MODELS = ("passthrough", "mapped-xattr", "mapped-owner", "mapped-file")


@pytest.fixture
def base() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ninep-below.") as folder:
        (Path(folder) / "export" / "mnt").mkdir(parents=True)
        yield Path(folder)


@pytest.fixture
def disk(base: Path) -> Iterator[Faulty]:
    with Faulty(base / "export" / "mnt") as made:
        yield made


def names(client: Any, fid: int) -> set[bytes]:
    return {entry.name for entry in unpack_dirents(client.rpc(m.Treaddir(fid, 0, 8000)).data)}


def others_are_served(lab: Lab) -> None:
    """Another client is answered, and can list the folder in which the mount is."""
    lab.alive()
    with lab.client() as other:
        other.walk(ROOT, 9)
        other.open(9)
        assert b"mnt" in names(other, 9)


@pytest.mark.parametrize("model", MODELS)
def test_a_mount_that_does_not_answer_delays_no_other_client(base: Path, disk: Faulty, model: str) -> None:
    """The first step into it, and then every request for what is below."""
    with Lab(base, model) as lab:
        client = lab.client()
        disk.hold("GETATTR")
        tag = client.send(m.Twalk(ROOT, MNT, [b"mnt"]))
        until_held(disk)
        others_are_served(lab)
        assert not client.arrived(tag)
        disk.go()
        client.reply(tag)
        client.walk(MNT, FILE)
        client.create(MNT, 3, b"file", b"content")
        client.walk(MNT, 4, b"file")
        client.walk(MNT, 5)
        client.open(5)
        for verb, message in {
            "GETATTR": m.Tgetattr(MNT, GETATTR_BASIC),
            "LOOKUP": m.Twalk(ROOT, 6, [b"mnt", b"other"]),
            "STATFS": m.Tstatfs(MNT),
            "READDIR": m.Treaddir(5, 0, 4000),
            "MKDIR": m.Tmkdir(MNT, b"new", 0o755, 0),
            "OPEN": m.Tlopen(4, O_RDONLY),
            "WRITE": m.Twrite(3, 0, b"more"),
            "UNLINK": m.Tunlinkat(MNT, b"file", 0),
            "FLUSH": m.Tclunk(3),
        }.items():
            disk.hold(verb)
            tag = client.send(message)
            until_held(disk)
            others_are_served(lab)
            assert not client.arrived(tag), verb
            disk.go()
            client.any_reply(tag)
        client.clunk(MNT, FILE, 4, 5)


@pytest.mark.parametrize("owner", [0, 1000])
def test_what_is_mounted_on_a_folder_that_was_walked_to_before(base: Path, owner: int) -> None:
    os.chown(base / "export" / "mnt", owner, owner)
    with Lab(base) as lab:
        client = lab.client()
        client.walk(ROOT, MNT, b"mnt")  # and keeps it
        client.walk(ROOT, 3, b"mnt")
        with Faulty(base / "export" / "mnt") as disk:
            disk.hold("GETATTR")
            disk.hold("LOOKUP")
            for message in (
                m.Twalk(ROOT, 4, [b"mnt"]),
                m.Twalk(ROOT, 5, [b"mnt", b"below"]),
                m.Trename(3, ROOT, b"new"),
            ):
                tag = client.send(message)
                until_held(disk)
                others_are_served(lab)
                disk.go()
                client.any_reply(tag)
                disk.hold("GETATTR")
                disk.hold("LOOKUP")
            disk.go()
            assert client.rpc(m.Tgetattr(MNT, GETATTR_BASIC)).attributes.mode & 0o777 == 0o755, "the folder below it"
            client.clunk(MNT, 3, 4)


def test_a_client_that_goes_while_the_mount_does_not_answer(base: Path, disk: Faulty) -> None:
    """What it has open is closed in threads."""
    with Lab(base) as lab:
        client = lab.client()
        client.walk(ROOT, MNT, b"mnt")
        client.create(MNT, 3, b"file", b"content")
        disk.hold("FLUSH")
        client.close()
        until_held(disk)
        others_are_served(lab)
        disk.go()
        lab.wait_until_idle()


def test_no_call_in_the_event_loop(base: Path, disk: Faulty) -> None:
    """Each verb asks for a worker before it asks the mount anything, and leaves nothing
    half done.
    """
    driver = LocalDriver(str(base / "export"), "passthrough", handles=new_handle_cache(100))
    root = driver.attach(User())
    mnt = root.walk(b"mnt")
    opened = mnt.create(b"file", O_RDWR, 0o644, 0, 0)
    assert not mnt.inline
    assert not opened[0].inline
    assert mnt.storage == opened[0].storage
    verbs: list[Callable[[], object]] = [
        lambda: root.walk(b"mnt"),
        lambda: mnt.walk(b"file"),
        lambda: mnt.getattr(GETATTR_BASIC),
        lambda: mnt.create(b"new", O_RDWR, 0o644, 0, 0),
        mnt.opendir,
        mnt.listxattr,
        lambda: opened[0].open(O_RDONLY),
        opened[0].remove,
        opened[0].parent,
        lambda: opened[1].read_now(0, 10),
        lambda: opened[1].read_into(0, [memoryview(bytearray(10))]),
        lambda: opened[1].write(0, b"x"),
        lambda: opened[1].write_from(0, [memoryview(bytearray(10))]),
        lambda: root.rename(b"file", mnt, b"new"),
        lambda: root.link(opened[0], b"new"),
    ]
    for verb in ("GETATTR", "LOOKUP", "STATFS", "OPEN", "READ", "WRITE", "OPENDIR"):
        disk.hold(verb)
    serve_in_this_thread(1)
    try:
        for ask in verbs:
            with pytest.raises(WouldBlock):
                ask()
        assert root.through([b"mnt", b"file"]) == (root, [])
    finally:
        serve_in_this_thread(-1)
        held = disk.held()
        disk.go()
    assert held == 0
    opened[1].close()
    for node in (opened[0], mnt, root):
        node.release()
    driver.close()


def test_sigterm_ends_the_server_while_a_mount_does_not_answer(base: Path, disk: Faulty) -> None:
    """The mount's program is stopped before it takes the request: what it has taken, Linux lets no
    process leave (fuse(4), fs/fuse/dev.c).
    """
    socket = base / "socket"
    argv = [
        sys.executable,
        "-m",
        "ninep.cli.main",
        "serve",
        str(base / "export"),
        "-s",
        "passthrough",
        "-l",
        f"unix:{socket}",
    ]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr
        while "listening" not in server.stderr.readline():
            assert server.poll() is None
        import socket as sockets

        from tests.support.client import TIMEOUT, RawClient

        with sockets.socket(sockets.AF_UNIX) as line:
            line.connect(str(socket))
            client = RawClient(line)
            client.version()
            client.attach()
            disk.stop()
            try:
                client.send(m.Twalk(ROOT, MNT, [b"mnt"]))
                client.walk(ROOT, 5)
                server.send_signal(signal.SIGTERM)
                assert server.wait(TIMEOUT) in {0, 1}
            finally:
                disk.resume()


# -- kinds of filesystems ------------------------------------------------------------------------------------------------


def test_a_fast_filesystem_below_is_served_in_the_event_loop(base: Path) -> None:
    with tmpfs(base / "export" / "mnt"):
        (base / "export" / "mnt" / "file").write_bytes(b"content")
        driver = LocalDriver(str(base / "export"), "passthrough", handles=new_handle_cache(100))
        root = driver.attach(User())
        mnt = root.walk(b"mnt")
        assert mnt.inline
        root.walk(b"mnt").release()  # looked at again, since it was entered across a mount
        serve_in_this_thread(1)
        try:
            again = root.walk(b"mnt")
            file = again.walk(b"file")
            assert file.parent() is again
            again.release()
        finally:
            serve_in_this_thread(-1)
        for node in (file, again, mnt, root):
            node.release()
        driver.close()


def test_procfs_is_refused_unless_it_is_asked_for(base: Path) -> None:
    with mounted(base / "export" / "mnt", "-t", "proc", "proc"):
        with Lab(base, read_only=True) as lab:
            client = lab.client()
            client.refuses(m.Twalk(ROOT, MNT, [b"mnt"]), Errno.EACCES)
            assert client.rpc(m.Twalk(ROOT, MNT, [])).qids == []
            client.refuses(m.Twalk(ROOT, 3, [b"mnt", b"self", b"environ"]), Errno.EACCES)
            client.open(MNT)
            assert b"mnt" in names(client, MNT)
            client.clunk(MNT)
        driver = LocalDriver(
            str(base / "export"), "passthrough", handles=new_handle_cache(100), pseudo_filesystems=True
        )
        root = driver.attach(User())
        mnt = root.walk(b"mnt")
        assert not mnt.inline
        assert content(mnt, b"uptime")
        mnt.release()
        root.release()
        driver.close()


def test_an_export_on_procfs(base: Path) -> None:
    with pytest.raises(ExportError, match=r"procfs.*--pseudo-filesystems"):
        LocalDriver("/proc")
    driver = LocalDriver("/proc", "passthrough", pseudo_filesystems=True)
    root = driver.attach(User())
    assert not root.inline
    root.release()
    driver.close()


# -- files without a name ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["mapped-xattr", "mapped-owner", "mapped-file"])
@pytest.mark.parametrize("known", [True, False])
def test_a_filesystem_that_loses_files_made_without_a_name(
    base: Path, disk: Faulty, model: str, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says yes to O_TMPFILE and to link, and the name is gone with the close. Whether it is
    known to be FUSE, or taken for another one.
    """
    disk.lose()
    if not known:
        plain = host.volume
        monkeypatch.setattr(host, "volume", lambda *given, **named: plain(*given, **named)._replace(slow=False))
    driver = LocalDriver(str(base / "export" / "mnt"), model, handles=new_handle_cache(100))
    root = driver.attach(User())
    for number in range(3):
        node, file = root.create(b"file%d" % number, O_RDWR, 0o640, 5, 6)
        assert file.write(0, b"content", 0) == 7
        file.close()
        found = node.getattr(GETATTR_BASIC)
        assert (found.mode, found.uid, found.gid) == (0o100640, 5, 6)
        node.release()
        root.symlink(b"link%d" % number, b"target", 5, 6)
    made = {name: content(root, name) for name in (b"file0", b"file1", b"file2")}
    assert set(made.values()) == {b"content"}
    for name in (b"link0", b"link2"):
        node = root.walk(name)
        assert node.readlink() == b"target"
        node.release()
    assert disk.lost() == ("0" if known else "1")
    root.release()
    driver.close()


def content(root: LocalNode, name: bytes) -> bytes:
    node = root.walk(name)
    file = node.open(O_RDONLY)
    try:
        return bytes(file.read(0, 100))
    finally:
        file.close()
        node.release()


def test_attributes_that_cannot_be_listed_are_none(base: Path, disk: Faulty) -> None:
    """ENODATA for listxattr(2), as some FUSE filesystems answer for their own files."""
    driver = LocalDriver(str(base / "export" / "mnt"), "mapped-xattr", handles=new_handle_cache(100))
    root = driver.attach(User())
    (base / "export" / "mnt" / "file").write_bytes(b"")
    disk.fail_all("LISTXATTR", Errno.ENODATA)
    node = root.walk(b"file")
    assert node.listxattr() == []
    disk.failed()
    node.release()
    root.release()
    driver.close()


def test_errors_of_a_mount_are_the_clients(base: Path, disk: Faulty) -> None:
    driver = LocalDriver(str(base / "export"), "passthrough", handles=new_handle_cache(100))
    root = driver.attach(User())
    disk.fail_all("GETATTR", Errno.EIO)
    with pytest.raises(OSError) as failure:  # noqa: PT011 - the errno is what counts
        root.walk(b"mnt")
    assert linux_errno(failure.value) is Errno.EIO
    disk.failed()
    root.release()
    driver.close()
