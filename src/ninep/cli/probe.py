"""``probe``: what the file system of a folder can do."""

from __future__ import annotations

import json
from typing import Final

import click

from ninep.app.probing import probe_folder
from ninep.cli import output
from ninep.drivers.local.probe import lines

EXAMPLES: Final = """\b
Examples:
  ninep probe /mnt/cluster               what the file system there can do
  ninep probe /mnt/cluster /mnt/second   and what of it a second mount of the same folder sees
  ninep probe --no-write /mnt/cluster    what can be told without a file being made
"""


@click.command(epilog=EXAMPLES)
@click.argument("dir", metavar="DIR")
@click.argument("other", metavar="[OTHER]", required=False)
@click.option("--no-write", is_flag=True, help="Make nothing, and leave out what cannot be told without.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def probe(dir: str, other: str | None, no_write: bool, as_json: bool) -> int:
    """Try what the file system of a folder can do, and say what 'ninep serve' does where something
    is missing.

    Makes a directory with a few files there, and removes it. OTHER: the same folder by another mount
    of a cluster, to be compared.
    """
    try:
        kind, waits, model, found = probe_folder(dir, other, writes=not no_write)
    except OSError as error:
        click.echo(f"ninep probe: {dir}: {error.strerror or error}", err=True)
        return 1
    if as_json:
        table = {"file_system": kind, "security_model": model, "found": [one._asdict() for one in found]}
        output.line(json.dumps(table))
        return 0
    output.line(f"file system: {kind}" + (", may wait" if waits else ""))
    output.line(f"security model: {model or 'none that suits'}")
    for line in lines(found):
        output.line(line)
    return 0
