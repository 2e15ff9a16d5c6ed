"""The pages for other programs: each says what was tried, stands in the site's table of contents, and
has only lines that our program takes.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from ninep.cli.main import ninep

DOCS = Path(__file__).parent.parent / "docs"
PAGES = [path for path in sorted(DOCS.glob("howto-*.md")) if path.stem not in {"howto-virtio", "howto-virtiofs"}]
VALUES = {"$XDG_RUNTIME_DIR": "/run/user/1000", "HOST": "192.0.2.1", "C:\\src": "C:/src"}
COMMANDS = sorted(
    {
        line.replace(" ...", "")
        for path in PAGES
        for line in re.findall(r"^(?:limactl shell \w+ )?(ninep \w+ [^\n#`&]*)$", path.read_text(), re.MULTILINE)
    }
)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_says_what_was_tried(path: Path) -> None:
    text = path.read_text()
    assert re.search(r"\b[Tt]ried\b", text)
    assert re.search(r"\b[Nn]ot tried\b", text)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_stands_in_the_table_of_contents(path: Path) -> None:
    assert f"\n{path.stem}\n" in (DOCS / "index.md").read_text()
    assert f"](docs/{path.name})" in (DOCS.parent / "README.md").read_text()


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 8


@pytest.mark.parametrize("line", COMMANDS)
def test_our_program_takes_the_line(line: str) -> None:
    """The options, and the forms of their values; nothing is started."""
    for word, value in VALUES.items():
        line = line.replace(word, value)
    _, name, *words = shlex.split(line)
    command = ninep.get_command(click.Context(ninep), name)
    assert command is not None
    command.make_context(name, words)


def test_a_wrong_line_would_be_refused() -> None:
    command = ninep.get_command(click.Context(ninep), "serve")
    assert command is not None
    with pytest.raises(click.UsageError):
        command.make_context("serve", ["src", "--lisen", "x"])
