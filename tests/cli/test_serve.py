"""``ninep serve`` as a program: what it says, how it begins and ends, and how it refuses."""

from __future__ import annotations

import itertools
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.serving import ORDINARY_USER, Server, may_become_another_user, program
from tests.support.client import TIMEOUT, Failed, RawClient, refused

from ninep.app.exports import parse_export
from ninep.cli.serve import examples
from ninep.linux import NO_ID, Errno
from ninep.transport import addresses
from ninep.wire import messages as m

Serve = Callable[..., Server]


def connect(server: Server, aname: bytes = b"", msize: int = 1 << 20 | 24) -> RawClient:
    """A session with an export."""
    client = RawClient(socket.create_connection(("127.0.0.1", server.port), TIMEOUT))
    client.version(msize=msize)
    client.attach(aname=aname)
    return client


def run(*arguments: str | Path, user: int | None = None) -> subprocess.CompletedProcess[str]:
    """The program where it is expected to end by itself."""
    return subprocess.run(
        [*program(user), "serve", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
        stdin=subprocess.DEVNULL,
    )


class TestSays:
    def test_what_is_served_where_and_how_to_mount_it(self, serve: Serve, export: Path) -> None:
        server = serve(export)
        server.stop()
        assert server.said().splitlines() == [
            f"ninep: serving {export} (mapped-owner)",
            f"ninep: listening on 127.0.0.1:{server.port}",
            f"ninep: in a Linux guest: mount -t 9p -o trans=tcp,port={server.port},version=9p2000.L,msize=1048576 10.0.2.2 /mnt",
        ]

    def test_each_export_and_place(self, serve: Serve, export: Path, tmp_path: Path) -> None:
        other = export / "other"
        other.mkdir()
        server = serve(export, "--export", f"src={other}", "--listen", f"unix:{tmp_path}/s", "-s", "mapped-file", "-r")
        server.stop()
        said = server.said()
        assert f"serving {export} (mapped-file, read-only)" in said
        assert f"serving {other} as 'src' (mapped-file, read-only)" in said
        assert f"listening on unix:{tmp_path}/s" in said
        mounts = [line for line in said.splitlines() if "mount -t 9p" in line]
        assert len(mounts) == 4
        assert sum("aname=src" in line for line in mounts) == 2
        assert sum(line.endswith(f"{tmp_path}/s /mnt") for line in mounts) == 2

    def test_nothing_more_while_all_is_well(self, serve: Serve, export: Path) -> None:
        server = serve(export)
        before = server.said()
        with connect(server) as client:
            client.create(0, 1, b"f", b"hello")
            with refused(Errno.ENOENT):
                client.walk(0, 2, b"nothing")
            with refused(Errno.EEXIST):
                client.rpc(m.Tmkdir(0, b"f", 0o755, NO_ID))
        server.stop()
        assert before in server.said()
        assert len(server.said().splitlines()) == 3

    def test_verbose_says_who_attaches_and_what_is_refused(self, serve: Serve, export: Path) -> None:
        server = serve(export, "--verbose")
        with connect(server) as client:
            client.rpc(m.Tmknod(0, b"fifo", 0o010644, 0, 0, NO_ID))
            client.walk(0, 1, b"fifo")
            with refused(Errno.ENXIO):
                client.open(1)
            with refused(Errno.ENOENT):
                client.walk(0, 2, b"what merely is not there")
            with refused(Errno.ENOENT):
                client.attach(5, b"nothing")
        server.stop()
        said = server.said()
        assert re.search(r"attach 127\.0\.0\.1:\d+: uname=b'root' uid=0 ", said)
        assert re.search(r"refused 127\.0\.0\.1:\d+ Tlopen: ENXIO", said)
        assert "b'nothing'" in said
        assert "merely" not in said

    def test_trace_says_every_message(self, serve: Serve, export: Path) -> None:
        server = serve(export, "--trace")
        with connect(server) as client:
            client.create(0, 1, b"f")
            client.rpc(m.Twrite(1, 0, b"\x1b[31mred" * 1000))
            with refused(Errno.ENOENT):
                client.walk(0, 2, b"\x1b[31mred\n")
        server.stop()
        said = server.said()
        for name in ("Tversion", "Rversion", "Tattach", "Rattach", "Tlcreate", "Twrite", "Rwrite", "Twalk", "Rlerror"):
            assert f"{name}(" in said
        assert "\x1b" not in said
        assert max(map(len, said.splitlines())) < 1000

    def test_names_of_clients_cannot_speak_to_a_terminal(self, serve: Serve, export: Path) -> None:
        server = serve(export, "--verbose")
        client = RawClient(socket.create_connection(("127.0.0.1", server.port), TIMEOUT))
        with client:
            client.version()
            client.attach(uname=b"\x1b]0;owned\x07\nERROR forged")
            with refused(Errno.ENOENT):
                client.attach(1, b"\x1b[2J")
        server.stop()
        assert "\x1b" not in server.said()
        assert not any(line.startswith("ERROR") for line in server.said().splitlines())


class TestServes:
    def test_several_exports(self, serve: Serve, export: Path) -> None:
        for name in ("default", "one", "two"):
            (export / name).mkdir()
            (export / name / name).touch()
        server = serve(export / "default", "-e", f"one={export}/one", "--export", f"two={export}/two,ro")
        for aname in (b"", b"one", b"two"):
            with connect(server, aname) as client:
                client.walk(0, 1, aname or b"default")
                if aname == b"two":
                    with refused(Errno.EROFS):
                        client.rpc(m.Tmkdir(0, b"new", 0o755, NO_ID))
                else:
                    client.rpc(m.Tmkdir(0, b"new", 0o755, NO_ID))

    def test_read_only(self, serve: Serve, export: Path) -> None:
        (export / "f").write_text("hello")
        server = serve(export, "--read-only")
        with connect(server) as client:
            client.walk(0, 1, b"f")
            client.walk(0, 2, b"f")
            client.open(1)
            assert client.read(1) == b"hello"
            for message in (
                m.Tlopen(2, 1),
                m.Tlopen(2, 0o1000),
                m.Tlcreate(0, b"g", 0, 0o644, NO_ID),
                m.Tmkdir(0, b"g", 0o755, NO_ID),
                m.Tunlinkat(0, b"f", 0),
                m.Trenameat(0, b"f", 0, b"g"),
                m.Tsetattr(2, 1, 0, 0, 0, 0, 0, 0, 0, 0),
                m.Tremove(2),
            ):
                with refused(Errno.EROFS):
                    client.rpc(message)
        server.stop()
        assert os.listdir(export) == ["f"]
        assert (export / "f").read_text() == "hello"

    def test_what_is_asked_for_is_what_a_file_gets(self, serve: Serve, export: Path) -> None:
        # Neither this process's umask nor anybody's takes from it.
        before = os.umask(0o077)
        try:
            server = serve(export, "--fmode", "0664", "--dmode", "0o775")
        finally:
            os.umask(before)
        with connect(server) as client:
            client.create(0, 1, b"f", mode=0o640)
            client.mkdir(0, b"d", 0o2750)
            client.walk(0, 2, b"d")
            assert client.rpc(m.Tgetattr(1, 1)).attributes.mode == 0o100640
            assert client.rpc(m.Tgetattr(2, 1)).attributes.mode == 0o042750
        assert (export / "f").stat().st_mode == 0o100664
        assert (export / "d").stat().st_mode == 0o040775

    @pytest.mark.parametrize(
        ("option", "agreed"), [("1M", 1 << 20 | 24), ("8192", 8192), ("64K", 65536 + 24), ("5000", 5000)]
    )
    def test_msize(self, serve: Serve, export: Path, option: str, agreed: int) -> None:
        server = serve(export, "--msize", option)
        with RawClient(socket.create_connection(("127.0.0.1", server.port), TIMEOUT)) as client:
            assert client.version(msize=1 << 24).msize == agreed

    def test_a_unix_socket(self, serve: Serve, export: Path, tmp_path: Path) -> None:
        path = str(tmp_path / "s")
        server = serve(export, "--listen", f"unix:{path}")
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        with RawClient(sock) as client:
            client.version()
            client.attach()
        server.stop()
        assert not os.path.lexists(path)

    def test_a_pipe_ends_the_program(self, export: Path) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [*program(), "serve", export, "--listen", "stdio"], stdin=theirs, stdout=theirs, stderr=subprocess.PIPE
            )
        with RawClient(ours) as client:
            client.version()
            client.attach()
        assert process.wait(TIMEOUT) == 0
        assert process.stderr
        with process.stderr:
            assert b"listening on stdio" in process.stderr.read()


class TestEnds:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_by_a_signal(self, serve: Serve, export: Path, number: signal.Signals, workers: str) -> None:
        server = serve(export, "--workers", workers)
        client = connect(server)
        client.create(0, 1, b"f", b"hello")
        os.kill(server.pid, number)
        assert client.ended()
        client.close()
        server.stop()  # which looks at the exit status

    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_not_by_a_hangup_that_was_ignored_at_the_start(self, serve: Serve, export: Path, workers: str) -> None:
        """nohup(1)."""
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            server = serve(export, "--workers", workers)
        finally:
            signal.signal(signal.SIGHUP, before)
        os.kill(server.pid, signal.SIGHUP)
        with connect(server) as client:
            client.create(0, 1, b"f")
        server.stop()

    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_by_many_signals(self, serve: Serve, export: Path, workers: str) -> None:
        """Ctrl-C, and the service manager's SIGTERM while it ends: still a clean end."""
        server = serve(export, "--workers", workers)
        with connect(server):
            while os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                os.kill(server.pid, signal.SIGINT)
                os.kill(server.pid, signal.SIGTERM)
        server.stop()

    def test_after_answering_what_has_come(self, serve: Serve, export: Path) -> None:
        server = serve(export)
        with connect(server) as client:
            client.create(0, 1, b"f", b"hello")
            tags = client.send_all(m.Twrite(1, 0, b"x" * (1 << 20)), m.Tfsync(1))
            client.reply(tags[0])
            os.kill(server.pid, signal.SIGTERM)
            client.reply(tags[1])
            assert client.ended()
        server.stop()
        assert (export / "f").stat().st_size == 1 << 20


HANGS = """
import logging, threading
from concurrent.futures import ThreadPoolExecutor
from ninep.app import process
from ninep.server.server import THREAD_NAME
logging.basicConfig()
pool = ThreadPoolExecutor(3, thread_name_prefix=THREAD_NAME)
pool.submit(int).result()
begun = threading.Event()
{hang}
pool.shutdown(wait=False)
process.exit_without_hung_threads({wait})
print("ended by itself")
"""


class TestHanging:
    """A device that does not answer cannot keep the program from ending."""

    def run(self, hang: str, wait: float) -> subprocess.CompletedProcess[str]:
        script = HANGS.format(hang=hang, wait=wait)
        return subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=TIMEOUT, check=False
        )

    def test_what_hangs_is_left(self) -> None:
        done = self.run("pool.submit(lambda: (begun.set(), threading.Event().wait())); begun.wait()", 0.1)
        assert done.returncode == 1
        assert "does not answer" in done.stderr

    def test_nothing_hangs(self) -> None:
        done = self.run("", TIMEOUT / 2)
        assert (done.returncode, done.stdout, done.stderr) == (0, "ended by itself\n", "")


class TestRefuses:
    """One line on stderr, nothing served; exit status 2 for what cannot be meant, 1 for what cannot
    be done here.
    """

    def one_line(self, done: subprocess.CompletedProcess[str], *words: str, status: int = 1) -> None:
        assert done.returncode == status, done
        assert done.stdout == ""
        assert done.stderr.startswith("ninep serve: ")
        assert done.stderr.count("\n") == 1, done.stderr
        for word in words:
            assert word in done.stderr

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["--bogus"], ["--bogus"]),
            (["more"], ["more"]),
            (["--listen", "nowhere"], ["HOST:PORT"]),
            (["--listen", "127.0.0.1:port"], ["port"]),
            (["--security-model", "maped"], ["mapped-owner", "mapped-xattr", "mapped-file", "passthrough", "none"]),
            (["--fmode", "0680"], ["octal"]),
            (["--dmode", "1777"], ["octal"]),
            (["--multidevs", "x"], ["remap"]),
            (["--port", "65536"], ["--port", "65536"]),
            (["--port", "5640", "--listen", "localhost"], ["--port and --listen exclude each other"]),
            (["--msize", "huge"], ["size"]),
            (["--msize", "1M", "--limit", "msize=2M"], ["msize: 1M and limit msize=2M exclude each other"]),
            (["--limit", "fids=5", "--limit", "fids=6"], ["fids=5 and --limit fids=6 exclude each other"]),
            (["--allow", "cid:3"], ["allow: cid:3 names no client that can come by 127.0.0.1:5640"]),
            (["--listen", "unix:/s", "--allow", "10.0.0.0/8"], ["names no client", "gid, uid"]),
            (["--squash", "peer"], ["squash", "unix:PATH"]),
            (["--anon", "5"], ["anon has no effect"]),
            (["--msize", "4095"], ["4096"]),
            (["--msize", "5M"], ["5M is out of range (4096 to 4M)"]),
            (["--msize", "8M"], ["8M is out of range (4096 to 4M)"]),
            (["--limit", "msize=8M"], ["8M is out of range (4096 to 4M)"]),
            (["--export", "x"], ["NAME=DIR"]),
            (["--export", "=x"], ["NAME=DIR"]),
            (["--export", "a=.", "--export", "a=."], ["'a'"]),
            (["--export", "a=.", "--export", "/a/=."], ["'a'"]),
            (["--listen", "stdio", "--listen", "stdio"], ["stdio"]),
            (["--listen", "0.0.0.0:0"], ["--allow"]),
            (["--workers", "0"], ["--workers"]),
            (["--workers", "2", "--listen", "stdio"], ["stdio"]),
        ],
        ids=" ".join,
    )
    def test_options_that_cannot_be(self, export: Path, options: list[str], words: list[str]) -> None:
        self.one_line(run(export, *options), *words, status=2)

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["--listen", "stdio"], ["pipes"]),
            (["--listen", "fd:199"], ["fd:199"]),
            (["--listen", "systemd"], ["systemd"]),
            (["--ready-fd", "199"], ["--ready-fd 199"]),
        ],
        ids=" ".join,
    )
    def test_what_is_not_there(self, export: Path, options: list[str], words: list[str]) -> None:
        self.one_line(run(export, *options), *words)

    def test_nothing_to_serve(self) -> None:
        self.one_line(run(), "folder", status=2)

    def test_a_folder_that_is_not_there(self, export: Path) -> None:
        self.one_line(run(export / "nothing"), str(export / "nothing"), "no such folder")
        self.one_line(run(export, "--export", f"a={export}/nothing"), "no such folder")

    def test_exports_that_share_files_and_keep_owners_in_different_ways(self, serve: Serve, export: Path) -> None:
        (export / "inner").mkdir()
        options = [export, "--export", f"inner={export}/inner,model=none"]
        for workers in ("1", "2"):
            done = run(*options, "--workers", workers)
            self.one_line(done, "'inner'", str(export), "mapped-owner", "none", "--allow-overlap", status=2)
        server = serve(*options, "--allow-overlap")
        server.stop()
        assert "forge" in server.said()

    def test_a_file(self, export: Path) -> None:
        (export / "f").touch()
        self.one_line(run(export / "f"), "not a folder")

    def test_a_filesystem_without_attributes(self) -> None:
        self.one_line(run("/proc", "--pseudo-filesystems"), "/proc", "extended attributes", "mapped-file")

    def test_a_busy_port(self, export: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as busy:
            place = f"127.0.0.1:{busy.getsockname()[1]}"
            for workers in ("1", "2"):
                self.one_line(run(export, "--listen", place, "--workers", workers), place, "in use")

    def test_a_busy_socket(self, export: Path, tmp_path: Path) -> None:
        place = f"unix:{tmp_path}/s"
        with socket.socket(socket.AF_UNIX) as busy:
            busy.bind(f"{tmp_path}/s")
            busy.listen()
            self.one_line(run(export, "--listen", place), place, "in use")

    def test_nothing_is_served_if_one_of_several_places_is_taken(self, export: Path, tmp_path: Path) -> None:
        free = tmp_path / "free"
        with socket.create_server(("127.0.0.1", 0)) as busy:
            place = f"127.0.0.1:{busy.getsockname()[1]}"
            self.one_line(run(export, "--listen", f"unix:{free}", "--listen", place), place)
        assert not os.path.lexists(free)

    def test_a_folder_that_may_not_be_read(self, export: Path) -> None:
        export.chmod(0)
        try:
            self.one_line(run(export, user=ORDINARY_USER if may_become_another_user() else None), "permission denied")
        finally:
            export.chmod(0o755)


def test_failures_of_a_client_are_not_those_of_the_program(serve: Serve, export: Path) -> None:
    server = serve(export)
    with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        sock.settimeout(TIMEOUT)
        assert sock.recv(100) == b""
    with connect(server) as client, pytest.raises(Failed):
        client.rpc(m.Tclunk(99))
    server.stop()


@pytest.mark.parametrize("windows", [False, True], ids=["unix", "windows"])
def test_the_examples_are_in_the_paths_of_the_system(windows: bool) -> None:
    """Each is a command line that is understood."""
    lines = [line.split("  ")[1].strip() for line in examples(windows=windows).splitlines() if "ninep serve" in line]
    assert len(lines) == (7 if windows else 9)
    assert all((":\\" in line) == windows for line in lines)
    for line in lines:
        words = line.split()
        for option, value in itertools.pairwise(words):
            if option == "--listen":
                assert addresses.parse(value)
            elif option == "--export":
                assert parse_export(value)[1] in {"/data/b", "D:\\data\\b"}


class TestConfigurationFile:
    """What stands in it is for ``tests/app/test_config_file.py``."""

    def test_it_serves_what_stands_there(self, serve: Serve, export: Path, tmp_path: Path) -> None:
        file = tmp_path / "ninep.toml"
        file.write_text(f'read-only = true\n[exports.src]\ntarget = "{export}"\n')
        server = serve(f"--config={file}")
        with connect(server, b"src") as client, refused(Errno.EROFS):
            client.create(0, 1, b"f", b"hello")
        server.stop()
        assert f"serving {export} as 'src' (mapped-owner, read-only)" in server.said()

    def test_one_that_is_found_is_used_if_nothing_else_is_named(
        self, serve: Serve, export: Path, tmp_path: Path
    ) -> None:
        file = tmp_path / "ninep" / "ninep.toml"
        file.parent.mkdir()
        file.write_text(f'[exports.src]\ntarget = "{export}"\n')
        environment = {"XDG_CONFIG_HOME": str(tmp_path)}
        assert f"serving {export} as 'src'" in serve("--verbose", environment=environment).said()
        assert "'src'" not in serve(export, environment=environment).said()

    def test_its_mistakes_are_lines_and_status_1(self, tmp_path: Path) -> None:
        file = tmp_path / "ninep.toml"
        file.write_text("workers = 0\nfoo = 1\n")
        done = run("--config", file)
        assert done.returncode == 1
        assert done.stderr.splitlines() == [
            f"ninep serve: {file}:1: workers: 0 is out of range (1 to 256)",
            f"ninep serve: {file}:2: foo: there is no such option",
        ]

    def test_one_that_is_not_there(self, tmp_path: Path) -> None:
        done = run("--config", tmp_path / "no.toml")
        assert (done.returncode, done.stderr) == (
            1,
            f"ninep serve: {tmp_path}/no.toml: cannot read it: No such file or directory\n",
        )
