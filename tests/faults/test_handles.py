"""A process that has no handle left, and folders that may not be written any more in the middle of
a change.
"""

from __future__ import annotations

import os
import resource
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.faults.test_kill import children, wait_for
from tests.serving import ORDINARY_USER
from tests.support.client import Failed, RawClient
from tests.threats.process import Program
from tests.threats.verbs import setattr_

from ninep.linux import AT_REMOVEDIR, GETATTR_BASIC, NO_ID, O_RDWR, SETATTR_MODE, SETATTR_SIZE, Errno
from ninep.wire import messages as m

ROOT, FILE, FOLDER = 0, 1, 2
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes rights away from an ordinary user: needs root")


@contextmanager
def no_handles_left(pid: int, spare: int = 0) -> Iterator[None]:
    """A running process may open ``spare`` more, and no others."""
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    taken = {int(number) for number in os.listdir(f"/proc/{pid}/fd")}
    most = next(number for number in range(1 << 16) if len(set(range(number)) - taken) > spare)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most - 1, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def fill(client: RawClient, folder: int, first: int = 0) -> tuple[int, set[object]]:
    """Make files until the server says no: the number of the last, and what it said."""
    for number in range(first, 10_000):
        fid = 100 + number
        client.walk(folder, fid)
        try:
            client.rpc(m.Tlcreate(fid, b"f%d" % number, O_RDWR, 0o644, NO_ID))
        except Failed as failure:
            client.clunk(fid)
            return number, {failure.code}
    raise AssertionError("there is no end of it")


@pytest.mark.parametrize("model", ["passthrough", "mapped-owner", "mapped-xattr", "mapped-file"])
def test_no_handle_left(export: Path, model: str) -> None:
    """EMFILE for what needs one more for good; whatever is open goes on, its attributes too; nothing
    half made is left; and all is well when there are handles again.
    """
    if model == "passthrough" and os.geteuid() != 0:
        pytest.skip("needs root")
    with Program(export, "--security-model", model) as server, server.client() as client:
        client.create(ROOT, FILE, b"file", b"content")
        client.mkdir(ROOT, b"folder")
        client.walk(ROOT, FOLDER, b"folder")
        with no_handles_left(server.pid, spare=9):
            made, said = fill(client, FOLDER)
            assert said <= {Errno.EMFILE, Errno.ENFILE}, said
            assert client.read(FILE) == b"content"
            assert client.rpc(m.Twrite(FILE, 0, b"CONTENT")).count == 7
            for fid in (FILE, *range(100, 100 + made)):
                client.rpc(setattr_(SETATTR_MODE | SETATTR_SIZE, fid=fid, mode=0o640, size=5))
                seen = client.rpc(m.Tgetattr(fid, GETATTR_BASIC)).attributes
                assert (seen.size, seen.mode) == (5, 0o100640)
            client.rpc(m.Tmkdir(FOLDER, b"made", 0o755, NO_ID))
            client.rpc(m.Trenameat(FOLDER, b"made", ROOT, b"moved"))
            client.rpc(m.Tunlinkat(ROOT, b"moved", AT_REMOVEDIR))
            again, said = fill(client, FOLDER, first=made)
            assert again == made, "what was kept for attributes was given to an open file"
            assert said <= {Errno.EMFILE, Errno.ENFILE}, said
        files = {path.name for path in (export / "folder").iterdir()} - {".virtfs_metadata"}
        assert files == {f"f{number}" for number in range(made)}, "something is left of a create that failed"
        for number in range(made):
            client.clunk(100 + number)
        client.create(FOLDER, 3, b"f%d" % made)
        server.alive()


def test_connections_without_handles(export: Path) -> None:
    """Nobody new comes in, those who are there are served, and the server is not busy with it."""
    with Program(export) as server, server.client() as client, ExitStack() as stack:
        with no_handles_left(server.pid):
            others = [stack.enter_context(server.connect()) for _ in range(3)]
            calm(server)
            client.rpc(m.Tgetattr(ROOT, GETATTR_BASIC))
        for other in others:
            other.close()
        server.alive()


def test_the_parent_of_workers_without_handles(export: Path) -> None:
    """As any server; what waited at the door is let in later."""
    with Program(export, "--workers", "2") as server, server.client() as client, ExitStack() as stack:
        with no_handles_left(server.pid):
            waiting = stack.enter_context(server.connect())
            before = server.said().count("\n")
            calm(server)
            client.rpc(m.Tgetattr(ROOT, GETATTR_BASIC))
            assert server.said().count("\n") - before < 10, "the log is flooded"
            assert "Too many open files" in server.said()
        waiting.version()
        waiting.attach()
        assert len(children(server.pid)) == 2


def test_a_worker_that_cannot_be_replaced_yet(export: Path) -> None:
    """The parent lives on without it, tries again, and has them all when the system lets it."""
    with Program(export, "--workers", "2") as server:
        first = children(server.pid)
        with no_handles_left(server.pid):
            victim = min(first)
            os.kill(victim, signal.SIGKILL)
            wait_for(lambda: "cannot start a worker: Too many open files" in server.said(), server.said())
            calm(server)
            assert children(server.pid) == first - {victim}
        wait_for(lambda: len(children(server.pid)) == 2, "it is never replaced")
        server.alive()


def calm(server: Program) -> None:
    """It does not turn in circles: in half a second (or more, on a busy machine) it takes a quarter
    of one of the processor at most.
    """
    before = server.processor
    threading.Event().wait(0.5)
    spent = server.processor - before
    assert spent < 0.25, f"busy with nothing: {spent:.2f} s of processor time\n{server.said()[-500:]}"


# -- rights that are taken away in the middle --------------------------------------------------------------------------


@needs_root
def test_metadata_that_may_not_be_written(export: Path) -> None:
    """mapped-file, as an ordinary user, whose folder of metadata is closed: EACCES, and neither a
    file nor a record is made, moved or changed.

    A record that is there is written in place: that needs a folder that may be searched, not one
    that may be written.
    """
    os.chown(export, ORDINARY_USER, ORDINARY_USER)
    with Program(export, "--security-model", "mapped-file", user=ORDINARY_USER) as server, server.client() as client:
        client.create(ROOT, FILE, b"file", b"content", mode=0o640)
        metadata = export / ".virtfs_metadata"
        record = (metadata / "file").read_bytes()
        for mode in (0o500, 0o000):
            metadata.chmod(mode)
            for message in (
                *([] if mode else [setattr_(SETATTR_MODE, fid=FILE, mode=0o600)]),
                m.Tmkdir(ROOT, b"new", 0o755, NO_ID),
                m.Tsymlink(ROOT, b"new", b"file", NO_ID),
                m.Tmknod(ROOT, b"new", 0o010644, 0, 0, NO_ID),
                m.Tlink(ROOT, FILE, b"new"),
                m.Trenameat(ROOT, b"file", ROOT, b"new"),
            ):
                with pytest.raises(Failed) as caught:
                    client.rpc(message)
                assert caught.value.code == Errno.EACCES, message
            client.walk(ROOT, 9)
            with pytest.raises(Failed) as caught:
                client.rpc(m.Tlcreate(9, b"new", O_RDWR, 0o644, NO_ID))
            assert caught.value.code == Errno.EACCES
            client.clunk(9)
            metadata.chmod(0o700)
            assert {path.name for path in export.iterdir()} == {"file", ".virtfs_metadata"}
            assert [path.name for path in metadata.iterdir()] == ["file"]
            assert (metadata / "file").read_bytes() == record
        metadata.chmod(0o500)
        client.rpc(setattr_(SETATTR_MODE, fid=FILE, mode=0o600))
        assert (metadata / "file").read_bytes() != record


@needs_root
@pytest.mark.parametrize("model", ["passthrough", "mapped-owner", "mapped-xattr", "mapped-file"])
def test_a_folder_that_may_not_be_written(export: Path, model: str) -> None:
    """The record may be made, the entry may not: the record goes again."""
    os.chown(export, ORDINARY_USER, ORDINARY_USER)
    with Program(export, "--security-model", model, user=ORDINARY_USER) as server, server.client() as client:
        client.create(ROOT, FILE, b"file", b"content")
        before = everything(export)
        export.chmod(0o500)
        client.walk(ROOT, 9)
        with pytest.raises(Failed) as caught:
            client.rpc(m.Tlcreate(9, b"new", O_RDWR, 0o644, NO_ID))
        assert caught.value.code == Errno.EACCES
        client.clunk(9)
        for message in (
            m.Tmkdir(ROOT, b"new", 0o755, NO_ID),
            m.Tsymlink(ROOT, b"new", b"file", NO_ID),
            m.Tlink(ROOT, FILE, b"new"),
            m.Trenameat(ROOT, b"file", ROOT, b"new"),
            m.Tunlinkat(ROOT, b"file", 0),
        ):
            with pytest.raises(Failed) as caught:
                client.rpc(message)
            assert caught.value.code == Errno.EACCES, message
        assert everything(export) == before
        export.chmod(0o700)
        client.rpc(m.Trenameat(ROOT, b"file", ROOT, b"new"))


@needs_root
@pytest.mark.parametrize("model", ["mapped-owner", "mapped-xattr"])
def test_attributes_that_may_not_be_written(export: Path, model: str) -> None:
    """A file that came to belong to somebody else: EACCES or EPERM, and owner and mode are both as
    they were.
    """
    os.chown(export, ORDINARY_USER, ORDINARY_USER)
    with Program(export, "--security-model", model, user=ORDINARY_USER) as server, server.client() as client:
        client.create(ROOT, FILE, b"file", b"content", mode=0o4711)
        os.chown(export / "file", 0, 0)
        (export / "file").chmod(0o644)
        before = everything(export)
        for message in (setattr_(SETATTR_MODE, fid=FILE, mode=0o600), setattr_(6, fid=FILE, uid=5, gid=6)):
            with pytest.raises(Failed) as caught:
                client.rpc(message)
            assert caught.value.code in {Errno.EACCES, Errno.EPERM}
        assert everything(export) == before


def everything(folder: Path) -> dict[str, tuple[object, ...]]:
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        values = [(key, os.getxattr(path, key)) for key in os.listxattr(path)]
        found[str(path)] = (
            status.st_mode,
            status.st_uid,
            status.st_nlink,
            values,
            path.read_bytes() if path.is_file() else b"",
        )
    return found
