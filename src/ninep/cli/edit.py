"""``edit``."""

from __future__ import annotations

import errno
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ninep.cli.params import LOCATION
from ninep.cli.remote import Remote, remote_command
from ninep.client.address import Location
from ninep.client.errors import ServerPath
from ninep.client.paths import base_name, local_name, to_host

if TYPE_CHECKING:
    from ninep.client.blocking import Client
    from ninep.client.stat import FileStat


def _local(directory: str, path: str) -> Path:
    """The name of the copy: that of the file if this host can have it, for the editor to know what
    is in it.
    """
    try:
        return Path(directory, to_host(local_name(base_name(path))))
    except ValueError:
        return Path(directory, "file")


def _same(before: FileStat, now: FileStat) -> bool:
    return replace(before, st_atime_ns=0) == replace(now, st_atime_ns=0)


@remote_command(
    "ninep edit HOST:5640/notes",
    "EDITOR='code --wait' ninep edit HOST:5640/etc/config",
)
@click.argument("location", type=LOCATION)
@click.option("-e", "--editor", metavar="COMMAND", help="The editor  [default: VISUAL, EDITOR, or that of the system]")
def edit(remote: Remote, location: Location, editor: str | None) -> None:
    """Edit a file of a server: a copy of it is opened in an editor, and written back if it was
    changed. A file that does not exist is made.

    If the file on the server was changed meanwhile, nothing is written, and the copy is kept.
    """
    client = remote.client(location)
    path = client.realpath(location.path)
    before = client.stat(path) if client.exists(path) else None
    if before is not None and not before.is_file():
        raise OSError(errno.EINVAL, "is not a regular file", ServerPath(path))
    content = client.read_bytes(path) if before is not None else b""
    directory = tempfile.mkdtemp(prefix="ninep-")
    copy = _local(directory, path)
    copy.write_bytes(content)
    try:
        click.edit(filename=str(copy), editor=editor)
        edited = copy.read_bytes()
        if edited != content:
            _write_back(client, path, before, edited)
    except BaseException:
        click.echo(f"{remote.command}: what was edited is in {copy}", err=True)
        raise
    copy.unlink()
    os.rmdir(directory)


def _write_back(client: Client, path: str, before: FileStat | None, edited: bytes) -> None:
    now = client.stat(path) if client.exists(path) else None
    if (now is None) != (before is None) or (now and before and not _same(before, now)):
        words = "was changed on the server meanwhile, and is not overwritten"
        raise OSError(errno.EBUSY, words, ServerPath(path))
    client.write_bytes(path, edited, permissions=0o666 & ~_umask())


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
