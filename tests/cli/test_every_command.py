"""What holds for every command that there is, those of groups included: it can be run where the terminal
shows little, its output is closed or full, and its errors are one line that says which command, on which
server, and about which path.

A new command needs a row in ``COMMANDS`` here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import click
import pytest
from tests.cli.conftest import one_line
from tests.serving import Server
from tests.support.client import TIMEOUT

from ninep.cli.main import ninep as program
from ninep.client.blocking import connect

ODD = os.fsencode("Grüße €") + b"\xff"
"""A name that few encodings have."""
GONE = "127.0.0.1:1"
"""Where nothing listens."""


class Case(NamedTuple):
    """A command: words in which `{s}` is a server, `{o}` an odd name, `{t}` a folder of this machine with such
    a folder and file, `{c}` a control socket.
    """

    odd: str
    """Words that name something odd."""
    status: int = 0
    missing: str | None = None
    """Words about a path that is not there."""
    place: str = ""
    """The server and path, or the path, that the line about that begins with, or has (`~`)."""
    unreachable: str | None = None
    """Words about a server that is not there."""


COMMANDS = {
    "serve": Case("{t}/{o}/missing", 1, "{t}/missing", "~{t}/missing"),
    "config check": Case("{t}/{o}/bad.toml", 1, "{t}/missing", "{t}/missing"),
    "config schema": Case(""),
    "config show": Case("{t}/{o}", 0, "--config {t}/missing", "{t}/missing"),
    **{f"service {verb}": Case("", 1) for verb in ("install", "start", "stop", "reload", "status", "remove")},
    "service run": Case("", 2),
    "status": Case("--files --interval 0 --control {c}", 0, "--control {t}/missing", "{t}/missing"),
    "top": Case("--control {c}", 0, "--control {t}/missing", "{t}/missing"),
    "ctl kick": Case("99 --control {c}", 1, "1 --control {t}/missing", "{t}/missing"),
    "ctl lock-break": Case("1 /{o} --control {c}", 1, "1 /a --control {t}/missing", "{t}/missing"),
    "ctl reload": Case("--control {c}", 1, "--control {t}/missing", "{t}/missing"),
    "ctl upgrade": Case("--control {c}", 1, "--control {t}/missing", "{t}/missing"),
    "ctl drain": Case("--control {t}/{o}/no", 1, "--control {t}/missing", "{t}/missing"),
    "tls init": Case("{t}/{o}/file/ca", 1, "{t}/control/ca", "{t}/control/ca"),
    "tls client": Case("{t}/{o} alice", 1, "{t}/missing alice", "{t}/missing/"),
    "tls server": Case("{t}/{o}", 1, "{t}/missing", "{t}/missing/"),
    "tls revoke": Case("{t}/{o} alice", 1, "{t}/missing alice", "{t}/missing/"),
    "probe": Case("{t}/{o}", 0, "{t}/missing", "{t}/missing"),
    "trace": Case("{t}/session.pcap", 0, "{t}/missing", "{t}/missing"),
    "ls": Case("-lR {s}/d", 0, "{s}/missing", "{s}/missing", "{g}/x"),
    "tree": Case("{s}/d", 0, "{s}/missing", "{s}/missing", "{g}/x"),
    "cat": Case("{s}/d/{o}/file", 0, "{s}/missing", "{s}/missing", "{g}/x"),
    "get": Case("-r {s}/d/{o} {t}/got", 0, "{s}/missing {t}", "{s}/missing", "{g}/x {t}"),
    "put": Case("-r {t}/{o} {s}/d/put", 0, "{t}/missing {s}", "{t}/missing", "{t}/{o}/file {g}/x"),
    "cp": Case("-r {s}/d/{o} {s}/d/cp", 0, "{s}/missing /x", "{s}/missing", "{g}/y {g}/x"),
    "sync": Case("{s}/d/{o} {t}/synced", 0, "{s}/missing {t}", "{s}/missing", "{g}/x {t}"),
    "stat": Case("{s}/d/{o} {s}/d/{o}/file", 0, "{s}/missing", "{s}/missing", "{g}/x"),
    "df": Case("{s}/d/{o}", 0, "{s}/missing", "{s}/missing", "{g}/x"),
    "xattr": Case("{s}/d/{o}", 0, "{s}/missing", "{s}/missing", "{g}/x"),
    "du": Case("-a {s}/d", 0, "{s}/missing", "{s}/missing", "{g}/x"),
    "find": Case("{s}/d", 0, "{s}/missing", "{s}/missing", "{g}/x"),
    "edit": Case("{s}/d/{o}/file", 0, "{s}/missing/x", "{s}/missing/x", "{g}/x"),
    "touch": Case("{s}/d/{o}/touched", 0, "{s}/missing/x", "{s}/missing/x", "{g}/x"),
    "mkdir": Case("-p {s}/d/{o}/made", 0, "{s}/missing/x", "{s}/missing/x", "{g}/x"),
    "rm": Case("-rf {s}/d/{o}/nothing", 0, "{s}/missing", "{s}/missing", "{g}/x"),
    "mv": Case("{s}/d/{o}/nothing {s}/d/{o}/to", 1, "{s}/missing /x", "{s}/missing", "{g}/x /y"),
    "ln": Case("-s {o} {s}/d/{o}/missing/link", 1, "{s}/missing {s}/x", "{s}/missing", "{g}/y {g}/x"),
    "chmod": Case("755 {s}/d/{o}", 0, "755 {s}/missing", "{s}/missing", "755 {g}/x"),
    "chown": Case("0 {s}/d/{o}", 0, "0 {s}/missing", "{s}/missing", "0 {g}/x"),
    "completion": Case("bash"),
}

ALL_IN_ONE = """
import json, os, sys
from ninep.cli import output
output.prepare()  # as main() does first, before anything can take the number of a stream that is closed
import ninep.client.blocking, ninep.app.run  # once for all
from ninep.cli.main import main
folder = sys.argv[1]
statuses = {}
for name, words in json.load(open(f"{folder}/commands")).items():
    child = os.fork()
    if not child:
        for number, stream in ((1, sys.argv[2]), (2, f"{folder}/{name}.err")):
            if stream:
                opened = os.open(stream.replace("NAME", name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                if opened != number:
                    os.dup2(opened, number)
                    os.close(opened)
        sys.exit(main([os.fsdecode(bytes.fromhex(word)) for word in words]))
    statuses[name] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
json.dump(statuses, open(f"{folder}/statuses", "w"))
"""
"""Runs each command in a process of its own, forked from one that has begun: a third of a second less."""

WRITE = {"config check", "config schema", "config show", "status", "top", "probe", "trace", "ls", "tree", "cat", "stat", "df",
         "xattr", "du", "find", "completion"}  # fmt: skip
"""The commands that write something there: they end with exit status 141 where it is closed."""

PLAIN = {"PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "LC_ALL": "POSIX", "TERM": "dumb", "COLUMNS": "20"}
PLACES = {
    "POSIX locale, TERM=dumb, 20 columns": PLAIN,
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
}


def leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """The commands that do something."""
    if not isinstance(command, click.Group):
        yield " ".join(path), command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        below = command.get_command(context, name)
        assert below is not None
        yield from leaves(below, (*path, name))


LEAVES = dict(leaves(program))


class World(NamedTuple):
    """A server, and a folder of this machine."""

    server: str
    folder: Path

    def words(self, name: str, text: str) -> list[bytes]:
        """The argv of a command."""
        values = {"s": self.server, "g": GONE, "t": str(self.folder), "c": f"{self.folder}/control"}
        made = [os.fsencode(word.format(o="\0", **values)) for word in text.split()]
        return [*name.encode().split(), *(word.replace(b"\0", ODD) for word in made)]


class Result(NamedTuple):
    status: int
    out: bytes
    err: str


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    odd = os.fsdecode(ODD)
    (folder / odd).mkdir()
    (folder / odd / "file").write_text("content\n")
    (folder / odd / "bad.toml").write_text('workers = "x"\n')
    options = (f"--control={folder}/control", f"--pcap={folder}/session.pcap")
    with Server("mem:", *options) as server:
        address = f"127.0.0.1:{server.port}"
        with connect(address, n_uname=0) as client:
            client.makedirs(f"d/{odd}")
            client.write_bytes(f"d/{odd}/file", b"content\n")
            client.setxattr(f"d/{odd}", "user.\udcff", b"\xff")
        yield World(address, folder)


def run(
    world: World,
    tmp_path: Path,
    words: Callable[[Case], str | None],
    stdout: str = "",
    shell: str = "",
    **environment: str,
) -> dict[str, Result]:
    """The results of all commands that have such words, each in a process of its own."""
    asked = {name: words(case) for name, case in COMMANDS.items()}
    commands = {
        name: [word.hex() for word in world.words(name, text)] for name, text in asked.items() if text is not None
    }
    (tmp_path / "commands").write_text(json.dumps(commands))
    argv = [sys.executable, "-c", ALL_IN_ONE, str(tmp_path), stdout or f"{tmp_path}/NAME.out"]
    if shell:
        argv = ["sh", "-c", f'exec "$@" {shell}', "sh", *argv[:-1], ""]
    base = {key: value for key, value in os.environ.items() if key not in PLAIN}
    done = subprocess.run(
        argv, env=base | {"EDITOR": "true"} | environment, stdin=subprocess.DEVNULL, timeout=10 * TIMEOUT, check=False
    )
    assert done.returncode == 0
    statuses = json.loads((tmp_path / "statuses").read_text())

    def text(name: str, kind: str) -> bytes:
        path = tmp_path / f"{name}.{kind}"
        return path.read_bytes() if path.exists() else b""

    return {
        name: Result(status, text(name, "out"), text(name, "err").decode("utf-8", "surrogateescape"))
        for name, status in statuses.items()
    }


def test_every_command_has_a_row() -> None:
    assert set(COMMANDS) == set(LEAVES)


def faults(found: dict[str, Result], *wanted: Callable[[str, Result], object]) -> list[tuple[str, Result]]:
    """What is not as it has to be; no traceback is, ever."""
    return [
        (name, one)
        for name, one in found.items()
        if "Traceback" in one.err or not any(good(name, one) for good in wanted)
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
class TestWhereLittleIsShown:
    @pytest.mark.parametrize("place", PLACES)
    def test_names_that_the_encoding_lacks(self, world: World, tmp_path: Path, place: str) -> None:
        found = run(world, tmp_path, lambda case: case.odd, **PLACES[place])
        assert not faults(
            found,
            lambda name, one: one.status == COMMANDS[name].status and bool(one.err) == (one.status > 0 and not one.out),
        )

    def test_help(self, world: World, tmp_path: Path) -> None:
        found = run(world, tmp_path, lambda _: "--help", **PLAIN)
        usage = b"Usage: ninep "
        assert not faults(found, lambda name, one: (one.status, one.err) == (0, "") and one.out.startswith(usage))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and a shell that closes descriptors")
class TestAnOutput:
    def test_that_is_closed(self, world: World, tmp_path: Path) -> None:
        found = run(world, tmp_path, lambda case: case.odd, shell="<&- >&-")
        assert not faults(
            found,
            lambda _, one: (one.status, one.err) == (141, ""),
            lambda name, one: one.status == COMMANDS[name].status and bool(one.err) == (one.status > 0),
        )
        assert {name for name, one in found.items() if one.status == 141} == WRITE

    def test_that_is_full(self, world: World, tmp_path: Path) -> None:
        if not os.path.exists("/dev/full"):
            pytest.skip("the host has no /dev/full")
        found = run(world, tmp_path, lambda case: case.odd, stdout="/dev/full")
        full = "ninep: cannot write the output: No space left on device\n"
        assert not faults(
            found,
            lambda _, one: (one.status, one.err) == (1, full),
            lambda name, one: one.status == COMMANDS[name].status and bool(one.err) == (one.status > 0),
        )
        assert {name for name, one in found.items() if one.err == full} == WRITE


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
class TestErrors:
    def test_name_the_command_and_the_path(self, world: World, tmp_path: Path) -> None:
        found = run(world, tmp_path, lambda case: case.missing)

        def one_form(name: str, one: Result) -> bool:
            line = one.err or one.out.decode()  # what `config check` finds is its output
            begin = f"ninep {name}: " if one.err else ""
            place = os.fsdecode(b" ".join(world.words("", COMMANDS[name].place)))
            named = place[1:] in line if place.startswith("~") else line.startswith(f"{begin}{place}")
            return one.status == 1 and one_line(line) and line.startswith(begin) and named

        assert len(found) > 30
        assert not faults(found, one_form)

    def test_name_the_server_that_is_not_there(self, world: World, tmp_path: Path) -> None:
        found = run(world, tmp_path, lambda case: case.unreachable)
        assert len(found) > 15
        assert not faults(
            found,
            lambda name, one: one == (1, b"", f"ninep {name}: {GONE}/x: Connection refused\n"),
        )

    def test_a_wrong_command_line_is_one_line_and_status_2(self, world: World, tmp_path: Path) -> None:
        found = run(world, tmp_path, lambda _: "--no-such-option")
        line = r"ninep {0}: No such option '?--no-such-option'?.* \(try 'ninep {0} --help'\)\n"
        assert not faults(
            found, lambda name, one: one[:2] == (2, b"") and one_line(one.err) and re.match(line.format(name), one.err)
        )


@pytest.mark.parametrize("name", LEAVES)
def test_help_begins_with_a_sentence(name: str) -> None:
    assert LEAVES[name].get_short_help_str(200).endswith((".", ":"))
