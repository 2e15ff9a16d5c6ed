"""The table of commands, help, errors and exit statuses."""

from __future__ import annotations

import socket
import subprocess
import sys

import click
import pytest
from tests.cli.conftest import one_line
from tests.support.client import TIMEOUT

import ninep as package
from ninep.cli.main import COMMANDS, LazyGroup, main
from ninep.cli.main import ninep as program

CLIENT_COMMANDS = [
    name
    for name in COMMANDS
    if name not in {"serve", "config", "status", "top", "ctl", "service", "tls", "probe", "trace", "completion"}
]


def test_the_version(ninep):
    assert ninep("--version").lines == [f"ninep {package.__version__}"]


def test_help_teaches(ninep):
    for arguments in ([], ["--help"]):
        done = ninep(*arguments)
        assert done.status == 0
        text = done.out.decode()
        assert "HOST:PORT/PATH" in text
        assert all(f"  {name} " in text for name in COMMANDS)


@pytest.mark.parametrize("width", [30, 60, 80])
def test_the_table_is_written_as_click_writes_one(width):
    """Where every line fits, and where some are wrapped."""
    ours, clicks = (click.HelpFormatter(width=width) for _ in range(2))
    program.format_commands(click.Context(program), ours)
    with clicks.section("Commands"):
        clicks.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])
    assert ours.getvalue() == clicks.getvalue()


@pytest.mark.parametrize("name", CLIENT_COMMANDS)
def test_the_help_of_each_command(ninep, name):
    done = ninep(name, "--help")
    assert done.status == 0
    text = done.out.decode()
    assert "Examples:" in text
    assert f"ninep {name}" in text.partition("Examples:")[2]
    assert "Connection:" in text
    assert "--aname" in text


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_table_is_right(name):
    assert isinstance(program, LazyGroup)
    command = program.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    assert command.name == name


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["--nonsense"],
        ["ls"],
        ["ls", "--nonsense", "host"],
        ["ls", ":"],
        ["ls", "host:port"],
        ["ls", "--dialect", "9P3000", "host"],
        ["ls", "--msize", "much", "host"],
        ["ls", "--timeout", "-1", "host"],
        ["cat"],
        ["cat", "/no/server"],
        ["get"],
        ["get", "--setid", "host:1/a"],
        ["put", "file"],
        ["put", "file", "::"],
        ["mkdir", "-m", "999", "host/x"],
        ["rm", "host"],
        ["rm", "-r", "host:1/"],
        ["mv", "host/x"],
        ["mv", "host:1/x", "host:2/x"],
        ["ln", "host:1/x", "host:2/x"],
        ["chmod", "u+q", "host/x"],
        ["chown", "root", "host/x"],
        ["chown", ":", "host/x"],
        ["xattr", "host/x", "--remove"],
        ["xattr", "host/x", "user.a", "--remove", "--set", "1"],
        ["tree", "-L", "0", "host"],
    ],
)
def test_a_wrong_command_line_is_one_line_and_status_2(ninep, arguments):
    done = ninep(*arguments)
    assert done.status == 2
    assert done.out == b""
    assert one_line(done.err), done.err
    assert done.err.startswith("ninep")


@pytest.mark.parametrize("name", ["ls", "cat", "stat", "tree", "df"])
def test_a_server_that_is_not_there_is_one_line_and_status_1(ninep, name):
    done = ninep(name, "127.0.0.1:1/x")
    assert done.status == 1
    assert one_line(done.err), done.err
    assert "127.0.0.1:1" in done.err
    assert "refused" in done.err


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no unix sockets")
def test_a_path_that_is_too_long_for_a_socket_is_one_line(ninep):
    path = "/" + "x" * 150
    done = ninep("ls", f"unix:{path}")
    assert done == (1, b"", f"ninep ls: unix:{path}:/: AF_UNIX path too long\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls", "{}"],
        ["tree", "{}"],
        ["cat", "{}"],
        ["get", "{}"],
        ["stat", "{}"],
        ["df", "{}/below"],
        ["xattr", "{}"],
        ["mkdir", "{}/below"],
        ["rm", "{}"],
        ["rm", "-r", "{}"],
        ["mv", "{}", "/x"],
        ["ln", "{}", "/x"],
        ["chmod", "600", "{}"],
        ["chown", "1", "{}"],
        ["put", __file__, "{}/below"],
    ],
)
def test_errors_name_the_server_and_the_path(ninep, server, arguments):
    if arguments[0] == "ln":
        arguments = ["ln", "{}", f"{server}/x"]
    done = ninep(*(one.format(f"{server}/nothing") for one in arguments))
    assert done.status == 1
    assert one_line(done.err)
    assert done.err.startswith(f"ninep {arguments[0]}: {server}/nothing")
    assert done.err.endswith(": No such file or directory\n")


def test_directories_that_need_r(ninep, server, files, tmp_path):
    files.mkdir("dir")
    (tmp_path / "here").mkdir()
    assert ninep("get", f"{server}/dir", tmp_path) == (
        1,
        b"",
        f"ninep get: {server}/dir: is a directory: copy it with -r\n",
    )
    assert ninep("put", tmp_path / "here", server) == (
        1,
        b"",
        f"ninep put: {tmp_path}/here: is a directory: copy it with -r\n",
    )
    assert ninep("rm", f"{server}/dir") == (
        1,
        b"",
        f"ninep rm: {server}/dir: is a directory: -r removes it with everything below, -d if it is empty\n",
    )


def test_what_is_no_directory_is_found_at_run_time(ninep, server, files):
    files.write_bytes("file", b"")
    for arguments in (
        ("get", f"{server}/file", f"{server}/file", "nowhere/"),
        ("put", __file__, __file__, f"{server}/file"),
        ("put", "-", f"{server}/"),
        ("mv", f"{server}/file", f"{server}/file", "/file"),
    ):
        done = ninep(*arguments)
        assert done.status == 1
        assert one_line(done.err), done.err
        assert "directory" in done.err


def test_interruption(monkeypatch, ninep):
    def interrupted(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("ninep.client.blocking.connect", interrupted)
    assert ninep("ls", "host").status == 130


def test_a_closed_output(server, files):
    files.write_bytes("large", bytes(10_000_000))
    command = [sys.executable, "-m", "ninep.cli.main", "cat", f"{server}/large"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        assert program.stdout
        assert program.stderr
        program.stdout.read(10)
        program.stdout.close()
        assert program.stderr.read() == b""
        assert program.wait(TIMEOUT) == 141


def test_the_entry_point_loads_no_client_and_no_rich():
    code = (
        "import sys, ninep.cli.main\n"
        "heavy = {'asyncio', 'rich', 'ninep.client.blocking', 'ninep.wire.codec'} & set(sys.modules)\n"
        "sys.exit(' '.join(heavy) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=TIMEOUT)


def test_main_takes_the_arguments_of_the_process(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ninep", "--version"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("ninep ")
