"""``ninep config``: the configuration file checked, shown as it holds, and described.

Exit status: 1 if there is a mistake in a file or no file, 2 for a wrong command line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

import click

from ninep.app.config_file import dotted, quoted
from ninep.app.config_schema import file_schema
from ninep.app.settings import BadConfig, Holding, Sources, found_file
from ninep.cli.groups import Grouped
from ninep.cli.serve import serve_options, sources
from ninep.host.config_paths import config_paths
from ninep.options import BadOption
from ninep.server.limits import BadLimit

COLUMN: Final = 44
"""Where the origin of a value stands."""

EXAMPLES: Final = """\b
Examples:
  ninep config check ninep.toml         all mistakes, each with file and line
  ninep config show                     what 'ninep serve' would serve, and where each value is from
  ninep config show ~/src --read-only   with options of 'ninep serve'
  ninep config schema > ninep.schema.json
"""


@click.group(epilog=EXAMPLES)
def config() -> None:
    """Check and show the configuration file of 'ninep serve'."""


@config.command()
@click.argument("file", required=False, metavar="[FILE]")
def check(file: str | None) -> int:
    """Print all mistakes of a configuration file, a line each: FILE:LINE: key: what is wrong.

    Without FILE: of the one at the usual place. Nothing is opened or listened at. Exit status 1 if
    there is a mistake.
    """
    file = file or found_file()
    if file is None:
        return _failed("check", f"there is no configuration file: {', '.join(config_paths())}", 1)
    try:
        Sources(file=file).settings()
    except BadConfig as error:
        for mistake in error.mistakes:
            click.echo(_one_line(str(mistake)))
        return 1
    return 0


@config.command(cls=Grouped)
@serve_options
def show(**options: Any) -> int:
    """Print the configuration that 'ninep serve' would have with the same options, as TOML, and
    behind each value where it is from: a file and line, the command line, or the default.
    """
    try:
        holdings = sources(**options).holdings()
    except BadConfig as error:
        return _failed("show", str(error), 1)
    except (BadOption, BadLimit) as error:
        return _failed("show", str(error), 2)
    for line in _document(holdings):
        click.echo(line)
    return 0


@config.command()
def schema() -> int:
    """Print the JSON schema of the configuration file."""
    click.echo(json.dumps(file_schema(), indent=2))
    return 0


def _failed(command: str, sentences: str, status: int) -> int:
    for line in sentences.splitlines():
        click.echo(f"ninep config {command}: {line}", err=True)
    return status


def _document(holdings: Iterable[Holding]) -> Iterator[str]:
    table: tuple[str, ...] = ()
    for one in holdings:
        if one.table != table:
            table = one.table
            yield from ("", f"[{dotted(*table)}]")
        yield f"{f'{one.key} = {_value(one.value)}':{COLUMN}}  # {_one_line(one.origin)}"


def _value(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case list():
            return f"[{', '.join(map(_value, value))}]"
        case int() | float():
            return f"{value:g}" if isinstance(value, float) else str(value)
    return quoted(str(value))


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in text)
