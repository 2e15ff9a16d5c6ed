"""Every line of the documentation that calls our program, in whatever page, is one that it takes: the
command is there, its options are, and their values have such a form.  Nothing is started.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from ninep.cli.main import ninep

TOP = Path(__file__).parent.parent
PAGES = [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]
WITH_PLUGINS = {"extend.md"}  # its programs are run with what they add by tests/app/test_plugin.py
SHELLS = {"sh", "console", "powershell", "ini", ""}
CALL = re.compile(
    r"(?:^|&& |; |\| |^ExecStart=|-- )\s*(?:\$ |sudo |limactl shell \w+ |[A-Z_]+=\S+ )*(?:[.\w%/\\]*[/\\])?ninep (?=[a-z])"
)
REDIRECTION = re.compile(r"\s\d?[<>]+ ?\S+")
VALUES = {
    "--msize SIZE": "--msize 64K",
    "HOST:PORT": "192.0.2.1:5640",
    ":PORT": ":5640",
    "NAME=VALUE": "fids=100",
    "NAME=NUMBER": "fids=100",
    " --listen ...": "",
    " ...": "",
    "C:\\": "C:/",
    "%h": "/home/user",
}
"""What stands for something that differs, and one such thing."""


def code(text: str) -> Iterator[str]:
    """The lines of a page that can be typed, and the words between back quotes."""
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if language in SHELLS:
            yield from block.replace("\\\n", " ").splitlines()
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from (words.replace("\n", " ") for words in re.findall(r"`([^`]*)`", prose))


def calls(text: str) -> Iterator[str]:
    """What follows the name of our program."""
    for line in code(text):
        for found in CALL.finditer(line):
            yield REDIRECTION.sub("", line[found.end() :]).strip()


LINES = sorted(
    {(page.name, line) for page in PAGES if page.name not in WITH_PLUGINS for line in calls(page.read_text())}
)


def words(line: str) -> list[str]:
    """The arguments, as a shell would have them, up to the end of the command."""
    for stands, value in VALUES.items():
        line = line.replace(stands, value)
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
    lexer.whitespace_split = True
    lexer.commenters = "#"
    found = list(lexer)
    return found[: next((at for at, word in enumerate(found) if set(word) <= set("|&;")), None)]


def take(arguments: list[str]) -> None:
    """Let click read them. ``UsageError``."""
    command: click.Command = ninep
    while isinstance(command, click.Group) and arguments:
        found = command.get_command(click.Context(command), arguments[0])
        if found is None:
            raise click.UsageError(f"there is no command {arguments[0]}")
        command, arguments = found, arguments[1:]
    if arguments and arguments != ["--help"]:  # a name alone is about the command
        command.make_context(command.name, arguments)


def test_there_are_lines() -> None:
    assert len(LINES) > 150
    assert len({page for page, _ in LINES}) > 20


@pytest.mark.parametrize(("page", "line"), LINES)
def test_our_program_takes_it(page: str, line: str) -> None:
    take(words(line))


@pytest.mark.parametrize(
    "line", ["serve src --lisen x", "nothing", "ls --dialect 9P", "ctl kick 3 4", "serve a:1 --port x"]
)
def test_a_wrong_one_would_be_refused(line: str) -> None:
    with pytest.raises(click.UsageError):
        take(words(line))


def test_what_is_found_on_a_page() -> None:
    page = "```sh\nsudo ninep ls a   # b\nx | .venv/bin/ninep get b > c & y\n```\nand `ninep stat\nd`.\n"
    assert [words(line) for line in calls(page)] == [["ls", "a"], ["get", "b"], ["stat", "d"]]
