"""Standard output: encodings that lack characters, outputs that are closed or full."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest
from tests.support.client import TIMEOUT

from ninep.cli import output
from ninep.cli.output import ENCODING_ERRORS, OutputGone

NAMES = {"Grüße €": "Grüße €".encode(), "\udcff\udc80": b"\xff\x80"}
COMMANDS = [["ls"], ["ls", "-lR"], ["tree"], ["stat"], ["xattr"], ["df"]]


@pytest.fixture
def odd(server, files):
    """A server with names that few encodings have."""
    files.mkdir("dir")
    for name in NAMES:
        files.write_bytes(f"dir/{name}", b"")
    return f"{server}/dir"


def run(*arguments, shell="", environment=None, **options):
    command = [sys.executable, "-m", "ninep.cli.main", *arguments]
    if shell:
        command = ["sh", "-c", f'exec "$@" {shell}', "sh", *command]
    options = {"stdout": subprocess.PIPE, **options}
    done = subprocess.run(
        command,
        stderr=subprocess.PIPE,
        env={**os.environ, **(environment or {})},
        timeout=TIMEOUT,
        check=False,
        **options,
    )
    assert b"Traceback" not in done.stderr
    assert b"Error" not in done.stderr.replace(b"IOError", b"")
    return done


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("utf-8", "Grüße €".encode()),
        ("ascii", b"Gr\\xfc\\xdfe \\u20ac"),
        ("cp1252", "Grüße €".encode("cp1252")),
        ("latin-1", b"Gr\xfc\xdfe \\u20ac"),
    ],
)
def test_what_an_encoding_lacks_is_escaped(encoding, written):
    raw = io.BytesIO()
    text = io.TextIOWrapper(raw, encoding=encoding, errors=ENCODING_ERRORS)
    text.write("Grüße € \udcff\n")
    text.flush()
    assert raw.getvalue() == written + b" \xff\n"


@pytest.mark.parametrize("command", COMMANDS[:4], ids=" ".join)
@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "cp1252"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"LC_ALL": "POSIX"},
    ],
    ids=str,
)
def test_every_command_in_every_encoding(odd, command, environment):
    done = run(*command, odd if command != ["stat"] else f"{odd}/Grüße €", environment=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    if command != ["stat"]:
        assert b"\xff\x80" in done.stdout
    assert b"Gr" in done.stdout


@pytest.mark.parametrize(
    "environment", [{"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, {"LC_ALL": "C.UTF-8"}], ids=str
)
def test_copies_keep_the_bytes_of_names(odd, files, tmp_path, environment):
    assert run("get", "-r", odd, "copy", cwd=tmp_path, environment=environment).returncode == 0
    assert set(os.listdir(os.fsencode(tmp_path / "copy"))) == set(NAMES.values())
    assert (
        run("put", "-r", "copy", odd.removesuffix("dir") + "back", cwd=tmp_path, environment=environment).returncode
        == 0
    )
    assert set(files.listdir("back")) == set(NAMES)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell that closes descriptors")
@pytest.mark.parametrize("shell", [">&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_output_that_is_closed(odd, files, command, shell):
    if command == ["xattr"]:
        files.setxattr("dir", "user.x", b"1")
    done = run(*command, odd, shell=shell)
    assert (done.returncode, done.stdout, done.stderr) == (141, b"", b"")


@pytest.mark.skipif(sys.platform == "win32", reason="a shell that closes descriptors")
def test_commands_that_say_nothing_need_no_output(odd, files, tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    for arguments in (["put", "file", odd], ["mkdir", f"{odd}/new"], ["get", f"{odd}/file", "back"]):
        done = run(*arguments, shell="<&- >&- 2>&-", cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert files.read_bytes("dir/file") == b"content"
    assert (tmp_path / "back").read_bytes() == b"content"
    done = run("put", "-", f"{odd}/stdin", shell="<&-")
    assert (done.returncode, done.stderr) == (0, b"")
    assert files.read_bytes("dir/stdin") == b""


@pytest.mark.skipif(sys.platform == "win32", reason="a shell that closes descriptors")
@pytest.mark.parametrize("arguments", [["ls"], ["tree"], ["stat"], ["cat"], ["--help"], ["ls", "--help"]], ids=" ".join)
def test_an_output_that_is_full(odd, files, arguments):
    if not os.path.exists("/dev/full"):
        pytest.skip("the host has no /dev/full")
    files.write_bytes("dir/file", bytes(100))
    place = [] if "--help" in arguments else [f"{odd}/file"] if arguments == ["cat"] else [odd]
    done = run(*arguments, *place, shell="> /dev/full")
    assert done.returncode == 1
    assert done.stderr == b"ninep: cannot write the output: No space left on device\n"


@pytest.mark.parametrize("command", [["ls"], ["ls", "-l"], ["tree"]], ids=" ".join)
def test_a_reader_that_goes(server, files, command):
    """`| head`: more is listed than a pipe takes."""
    files.mkdir("many")
    for n in range(1500):
        files.symlink("x", f"many/{n:0200}")
    program = [sys.executable, "-m", "ninep.cli.main", *command, f"{server}/many"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout
        assert running.stderr
        running.stdout.read(10)
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(TIMEOUT) == 141


def test_which_ends_are_failures():
    assert OutputGone(BrokenPipeError(32, "Broken pipe")).closed
    assert not OutputGone(OSError(28, "No space left on device")).closed


def test_text_and_bytes_keep_their_order(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="utf-8"))
    output.line("first")
    output.raw(b"second")
    output.line()
    output.flush()
    assert raw.getvalue() == b"first\nsecond\n"
