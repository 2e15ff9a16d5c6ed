"""This machine's own kernel as the client: the scenario of the guest tests on a mount by /dev/fuse, and
what the kernel's caches make of changes by others.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.serving import ORDINARY_USER, Server, may_become_another_user

GUEST = Path(__file__).parents[1] / "guest"
LIMIT = 240
MISSING = (
    "/dev/fuse cannot be opened"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK)
    else "fusermount3 is not installed (Debian: fuse3)"
    if shutil.which("fusermount3") is None
    else "the scenario needs root"
    if not may_become_another_user()
    else ""
)
pytestmark = [pytest.mark.skipif(bool(MISSING), reason=MISSING), pytest.mark.slow]
EXCUSED = ("acl_", "devices_work_in_the_guest", "flock_excludes_the_other_mount")
"""ACLs are not served; the mount has nodev; flock(2) is the kernel's own (``locks``)."""


@pytest.fixture
def ground() -> Iterator[Path]:
    """A folder that other users can reach, unlike ``tmp_path``."""
    made = Path(tempfile.mkdtemp(prefix="ninep-fuse."))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@contextmanager
def mounted(
    ground: Path, *options: str, mounts: int = 1, words: str = "cache=none,locks=shared"
) -> Iterator[list[Path]]:
    """The folder that is served, and where it is mounted."""
    folder = ground / "served"
    folder.mkdir()
    places = [ground / f"mount{number}" for number in range(mounts)]
    listen = []
    for place in places:
        place.mkdir()
        listen += ["--listen", f"fuse:{place},{words}"]
    with Server(folder, *options, *listen):
        yield [folder, *places]
    for place in places:
        assert not place.is_mount(), "the end of the server is that of the mount"


@pytest.mark.parametrize("cache", ["none", "1"])
@pytest.mark.parametrize("model", ["passthrough", "none", "mapped-xattr", "mapped-file", "mapped-owner"])
def test_the_scenario(ground: Path, model: str, cache: str) -> None:
    devices = ("--devices",) if model in {"passthrough", "none"} else ()
    with mounted(ground, "--security-model", model, *devices, mounts=2, words=f"cache={cache},locks=shared") as (
        _,
        one,
        two,
    ):
        argv = [sys.executable, "-m", "scenario", one, "--second", two, "--model", model]
        argv += ["--cache", "loose" if cache == "1" else "none"]
        done = subprocess.run(argv, cwd=GUEST, capture_output=True, text=True, timeout=LIMIT, check=False)
    lines = done.stdout.splitlines()
    failed = [line for line in lines if not line.startswith(("ok ", "na "))]
    assert [line for line in failed if not line.split()[1].startswith(EXCUSED)] == [], done.stderr
    assert sum(line.startswith("ok ") for line in lines) > 30, done.stdout + done.stderr


def test_what_the_host_changes_is_seen_at_once_without_a_cache(ground: Path) -> None:
    with mounted(ground) as (folder, mount):
        for number in range(20):
            (folder / "f").write_text(f"{number}")
            assert (mount / "f").read_text() == f"{number}"
            (folder / "f").rename(folder / f"g{number}")
            assert not (mount / "f").exists()
            assert (mount / f"g{number}").read_text() == f"{number}"


def test_what_the_host_changes_is_seen_after_the_time_of_the_cache(ground: Path) -> None:
    with mounted(ground, words="cache=0.3") as (folder, mount):
        (folder / "f").write_text("one")
        assert (mount / "f").read_text() == "one"
        (folder / "f").write_text("three")
        until = time.monotonic() + 60
        while (mount / "f").stat().st_size != 5 and time.monotonic() < until:
            time.sleep(0.05)
        assert (mount / "f").read_text() == "three"


def test_a_node_that_the_host_renamed_is_never_another_file(ground: Path) -> None:
    with mounted(ground, words="cache=3600") as (folder, mount):
        (folder / "f").write_text("one")
        with (mount / "f").open() as opened:
            (folder / "f").rename(folder / "moved")
            (folder / "f").write_text("another")
            assert opened.read() == "one"
            assert os.fstat(opened.fileno()).st_size == 3
        assert (mount / "f").stat().st_size == 3, "the name is kept for an hour"
        (folder / "moved").unlink()
        with pytest.raises(FileNotFoundError):
            (mount / "moved").read_text()


def test_mappings(ground: Path) -> None:
    """A file that is appended to and mapped: the kernel writes pages through whatever handle there is."""
    with mounted(ground) as (folder, mount):
        (folder / "f").write_bytes(b"0" * 5000)
        appending = os.open(mount / "f", os.O_RDWR | os.O_APPEND)
        with mmap.mmap(appending, 5000) as mapped:
            os.write(appending, b"end")
            mapped[10:14] = b"abcd"
            mapped.flush()
        os.close(appending)
        assert (folder / "f").read_bytes() == b"0" * 10 + b"abcd" + b"0" * 4986 + b"end"


def test_a_lock_of_a_program_of_the_host_is_waited_for(ground: Path) -> None:
    with mounted(ground) as (folder, mount):
        (folder / "f").write_text("x")
        with (folder / "f").open("r+") as host, (mount / "f").open("r+") as ours:
            fcntl.lockf(host, fcntl.LOCK_EX)
            with pytest.raises(BlockingIOError):
                fcntl.lockf(ours, fcntl.LOCK_EX | fcntl.LOCK_NB)
            waiting = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    f"import fcntl; f = open({str(mount / 'f')!r}, 'r+'); print(1, flush=True); fcntl.lockf(f, 2); print(2)",
                ],
                stdout=subprocess.PIPE,
                text=True,
            )
            assert waiting.stdout is not None
            assert waiting.stdout.readline() == "1\n"
            fcntl.lockf(host, fcntl.LOCK_UN)
            assert waiting.communicate(timeout=LIMIT)[0] == "2\n"


@pytest.mark.parametrize("locks", ["local", "shared"])
def test_locks_of_both_kinds_on_one_file(ground: Path, locks: str) -> None:
    """As on any other file system of Linux, flock(2) and fcntl(2) do not exclude each other."""
    with mounted(ground, words=f"locks={locks}") as (_, mount), (mount / "f").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with (mount / "f").open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_the_mountpoint_must_be_a_free_folder(ground: Path) -> None:
    (ground / "file").write_text("kept")
    for place, words in ((ground / "file", "mounts on a folder"), (ground / "none", "No such file")):
        done = subprocess.run(
            [sys.executable, "-m", "ninep", "serve", ground, "--listen", f"fuse:{place}"],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == 1
        assert words in done.stderr
    assert (ground / "file").read_text() == "kept"


def test_a_process_that_waits_for_a_lock_can_be_killed(ground: Path) -> None:
    with mounted(ground) as (folder, mount):
        (folder / "f").write_text("x")
        with (folder / "f").open("r+") as host:
            fcntl.lockf(host, fcntl.LOCK_EX)
            waiting = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    f"import fcntl; f = open({str(mount / 'f')!r}, 'r+'); print(1, flush=True); fcntl.lockf(f, 2)",
                ],
                stdout=subprocess.PIPE,
                text=True,
            )
            assert waiting.stdout is not None
            waiting.stdout.readline()
            waiting.terminate()
            assert waiting.wait(LIMIT) == -15
            waiting.stdout.close()


def test_two_folders_at_once_and_read_only(ground: Path) -> None:
    (ground / "b").mkdir()
    (ground / "b" / "f").write_text("contents")
    exports = ("--export", f"b={ground / 'b'},ro")
    with mounted(ground, *exports, words="export=b") as (_, mount):
        assert (mount / "f").read_text() == "contents"
        with pytest.raises(OSError, match="Read-only file system"):
            (mount / "g").write_text("x")


def test_an_ordinary_user_is_kept_out_by_permissions(ground: Path) -> None:
    with mounted(ground) as (folder, mount):
        (folder / "secret").write_text("x")
        (folder / "secret").chmod(0o600)
        (folder / "open").write_text("y")
        (folder / "open").chmod(0o644)
        folder.chmod(0o755)
        secret, known = (
            subprocess.run(
                ["cat", mount / name],
                user=ORDINARY_USER,
                group=ORDINARY_USER,
                capture_output=True,
                check=False,
                cwd="/",
            )
            for name in ("secret", "open")
        )
        assert b"Permission denied" in secret.stderr
        assert known.stdout == b"y", known.stderr
