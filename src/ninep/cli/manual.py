"""Manual pages in man(7), one for each command: ``python -m ninep.cli.manual DIRECTORY``.

They are made by the commands' own help: a formatter that writes roff takes the place of the one for
terminals, so that a page has the sections, options and examples of ``--help``, and no list of its
own.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click

from ninep import __version__
from ninep.cli.main import COMMANDS, ninep

STATUS: Final = (
    ("0", "Success."),
    ("1", "Something failed; each failure is a line on standard error."),
    ("2", "The command line is wrong."),
    ("130", "Interrupted."),
    ("141", "The reader of the output has closed it."),
)
_ESCAPES: Final = {"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq"}
_SPECIAL: Final = re.compile(r"[\\\-'`^~\"]")


def escaped(text: str) -> str:
    """Text for groff, which has other characters for some of ASCII's."""
    return _SPECIAL.sub(lambda found: _ESCAPES[found[0]], text)


def _line(text: str) -> str:
    """A line that is no request, even if it begins with a dot."""
    return rf"\&{escaped(text)}" if text.startswith(".") else escaped(text)


class Roff(click.HelpFormatter):
    """Writes what click writes to terminals as man(7)."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:  # noqa: ARG002 - click's signature
        """The synopsis."""
        self.write(f".SH SYNOPSIS\n.B {escaped(prog)}\n{_line(args)}\n")

    def write_heading(self, heading: str) -> None:
        """A section."""
        self.write(f".SH {escaped(heading.upper())}\n")

    def write_paragraph(self) -> None:
        """Sections and paragraphs have their own space."""

    def write_text(self, text: str) -> None:
        """Paragraphs; those that begin with a backspace as they are."""
        for paragraph in re.split(r"\n[ \t]*\n", text.strip("\n")):
            lines = paragraph.splitlines()
            while lines and not lines[0].strip(" \t"):
                lines.pop(0)
            if lines and lines[0].strip() == "\b":
                self._as_it_is(lines[1:])
            elif lines:
                self.write(".PP\n" + "".join(f"{_line(line.strip())}\n" for line in lines))

    def _as_it_is(self, lines: Sequence[str]) -> None:
        if lines and lines[0].rstrip() == "Examples:":
            self.write_heading("Examples")
            lines = lines[1:]
        else:
            self.write(".PP\n")
        self.write(".nf\n" + "".join(f"{_line(line)}\n" for line in lines) + ".fi\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:  # noqa: ARG002
        """Terms, each with its definition."""
        for term, definition in rows:
            self.write(f".TP\n.B {escaped(term)}\n{_line(' '.join(definition.split()))}\n")

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """A section without indentation."""
        self.write_heading(name)
        yield

    @contextmanager
    def indentation(self) -> Iterator[None]:
        """That of man(7) is enough."""
        yield


def _page(name: str, line: str, command: click.Command, others: Sequence[str]) -> str:
    title = name.replace(" ", "-")
    context = click.Context(command, info_name=name)
    formatter = Roff(width=100)
    formatter.write(f'.TH {escaped(title.upper())} 1 "" "ninep {escaped(__version__)}" "User Commands"\n')
    formatter.write(f".SH NAME\n{escaped(title)} \\- {escaped(line.rstrip('.'))}\n")
    command.format_usage(context, formatter)
    formatter.write_heading("Description")
    command.format_help_text(context, formatter)
    command.format_options(context, formatter)
    if isinstance(command, click.Group):
        command.format_commands(context, formatter)
    command.format_epilog(context, formatter)
    formatter.write_heading("Exit status")
    formatter.write_dl(STATUS)
    formatter.write_heading("See also")
    formatter.write(" ,\n".join(f".BR {escaped(other)} (1)" for other in others).replace(" (1) ,", " (1),") + "\n")
    return formatter.getvalue()


def pages() -> dict[str, str]:
    """The pages by their file names."""
    found = {}
    context = click.Context(ninep, info_name="ninep")
    found["ninep.1"] = _page(
        "ninep",
        "serve folders over 9P, and use the files of any 9P server",
        ninep,
        [f"ninep-{name}" for name in COMMANDS],
    )
    for name, (_, line) in COMMANDS.items():
        command = ninep.get_command(context, name)
        assert command is not None  # noqa: S101 - it stands in the table
        found[f"ninep-{name}.1"] = _page(f"ninep {name}", line, command, ["ninep"])
        if isinstance(command, click.Group):
            for below, one in command.commands.items():
                if one.hidden:
                    continue
                short = one.get_short_help_str(200)
                found[f"ninep-{name}-{below}.1"] = _page(f"ninep {name} {below}", short, one, [f"ninep-{name}"])
    return found


def main(directory: str) -> None:
    """Write all pages."""
    Path(directory).mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        Path(directory, name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
