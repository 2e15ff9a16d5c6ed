"""This machine's own kernel as the client: the scenario of the guest tests on a mount by /dev/fuse, and
what the kernel's caches make of changes by others.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.serving import ORDINARY_USER, Server, may_become_another_user
from tests.test_metrics import numbers, ports

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
EXCUSED = ("devices_work_in_the_guest", "flock_excludes_the_other_mount")
"""The mount has nodev; flock(2) is the kernel's own (``locks``)."""


SERVERS: list[Server] = []
"""Those that were started: the last one serves what is mounted."""


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
    with Server(folder, *options, *listen) as server:
        SERVERS.append(server)
        yield [folder, *places]
    for place in places:
        assert not place.is_mount(), "the end of the server is that of the mount"


@pytest.mark.parametrize("cache", ["none", "1"])
@pytest.mark.parametrize("model", ["passthrough", "none", "mapped-xattr", "mapped-file", "mapped-owner"])
def test_the_scenario(ground: Path, model: str, cache: str) -> None:
    devices = ("--devices",) if model in {"passthrough", "none"} else ()
    words = f"cache={cache},locks=shared,posix-acl"
    with mounted(ground, "--security-model", model, *devices, mounts=2, words=words) as (
        _,
        one,
        two,
    ):
        argv = [sys.executable, "-m", "scenario", one, "--second", two, "--model", model]
        argv += ["--cache", "loose" if cache == "1" else "none"]
        done = subprocess.run(argv, cwd=GUEST, capture_output=True, text=True, timeout=LIMIT, check=False)
    lines = done.stdout.splitlines()
    failed = [line for line in lines if not line.startswith(("ok ", "na "))]
    excused = (*EXCUSED, "acl_") if model == "none" else EXCUSED  # which has no ACLs (QEMU's rule)
    assert [line for line in failed if not line.split()[1].startswith(excused)] == [], done.stderr
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
    (ground / "served").mkdir()
    for place, words in ((ground / "file", "mounts on a folder"), (ground / "none", "No such file")):
        done = subprocess.run(
            [sys.executable, "-m", "ninep", "serve", ground / "served", "--listen", f"fuse:{place}"],
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert done.returncode == 1
        assert words in done.stderr
    assert (ground / "file").read_text() == "kept"


def test_a_folder_is_not_mounted_inside_itself(ground: Path) -> None:
    """Each level would be there again below: requests without end that wait for each other."""
    (ground / "served" / "a" / "b").mkdir(parents=True)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ninep",
            "serve",
            ground / "served",
            "--listen",
            f"fuse:{ground / 'served' / 'a' / 'b'}",
        ],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 2
    assert "inside" in done.stderr
    with Server(ground / "served", "--listen", f"fuse:{ground / 'served'}"):
        assert os.listdir(ground / "served" / "a") == ["b"], "over itself it may be"


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


def test_metrics_tell_of_each_kind_of_request(ground: Path) -> None:
    with mounted(ground, "--metrics", "0") as (_, mount):
        (mount / "f").write_text("data")
        (port,) = ports(SERVERS[-1])
        found = numbers(port)
    assert found["fuse_requests_total CREATE"] == found["fuse_requests_total WRITE"] == 1
    assert found["fuse_seconds_count WRITE"] == 1
    assert found["fuse_requests_total LOOKUP"] >= found["fuse_seconds_count LOOKUP"] >= 1
    assert (found["open_connections"], found["sessions"], found["fids"]) == (1, 1, 2)


def test_each_request_is_traced(ground: Path) -> None:
    with mounted(ground, "--trace") as (_, mount):
        (mount / "f").write_text("data")
        said = SERVERS[-1].said()
    assert re.search(r"<- \d+ WRITE node=2 uid=0 .*b'data'\)", said)
    assert re.search(r"-> \d+ WRITE 24 bytes", said)


def test_acls(ground: Path, model: str) -> None:
    """By the programs of the package acl."""
    with mounted(ground, "--security-model", model, words="cache=1,posix-acl") as (folder, mount):
        folder.chmod(0o755)
        (mount / "f").write_text("shared")
        (mount / "f").chmod(0o600)
        setting = ["setfacl", "-m", f"u:{ORDINARY_USER}:r", mount / "f"]
        done = subprocess.run(setting, capture_output=True, text=True, timeout=LIMIT, check=False)
        if model == "none":
            assert "Operation not supported" in done.stderr
            return
        assert done.returncode == 0, done.stderr
        assert (mount / "f").stat().st_mode & 0o777 == 0o640
        assert _as_user("cat", mount / "f") == "shared"
        (mount / "f").chmod(0o600)
        assert _acl(mount / "f") == {"user::rw-", f"user:{ORDINARY_USER}:r--", "group::---", "mask::---", "other::---"}
        assert _as_user("cat", mount / "f") != "shared"
        (mount / "d").mkdir()
        subprocess.run(["setfacl", "-d", "-m", f"u:{ORDINARY_USER}:rwx", mount / "d"], timeout=LIMIT, check=True)
        (mount / "d" / "e").mkdir()
        (mount / "d" / "g").write_text("inherited")
        assert _acl(mount / "d" / "g") == {
            "user::rw-",
            f"user:{ORDINARY_USER}:rwx",
            "group::r-x",
            "mask::rw-",
            "other::r--",
        }
        assert _acl(mount / "d", default=True) == _acl(mount / "d" / "e", default=True) != set()
        subprocess.run(["setfacl", "-b", mount / "f"], timeout=LIMIT, check=True)
        assert _acl(mount / "f") == {"user::rw-", "group::---", "other::---"}
        assert "system.posix_acl_access" not in os.listxattr(mount / "f")


def _acl(path: Path, *, default: bool = False) -> set[str]:
    argv = ["getfacl", "-cnpE", "--default" if default else "--access", path]
    return set(subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT, check=True).stdout.split())


def _as_user(*argv: str | Path) -> str:
    done = subprocess.run(
        argv,
        user=ORDINARY_USER,
        group=ORDINARY_USER,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        cwd="/",
    )
    return done.stdout
