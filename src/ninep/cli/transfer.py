"""``cat``, ``get`` and ``put``."""

from __future__ import annotations

import os
import sys
from contextlib import closing

import click

from ninep.cli.params import LOCATION
from ninep.cli.progress import Bar
from ninep.cli.remote import Remote, remote_command
from ninep.client.address import Location, parse_location
from ninep.client.local import Keep, child
from ninep.client.paths import base_name, join


@remote_command(
    "ninep cat HOST:5640/file",
    "ninep cat HOST:5640/disk.img | zstd > disk.img.zst",
)
@click.argument("locations", nargs=-1, required=True, type=LOCATION, metavar="LOCATION...")
def cat(remote: Remote, locations: tuple[Location, ...]) -> None:
    """Write files to standard output, one after the other."""
    output = sys.stdout.buffer
    for location in locations:
        with remote.each(location):
            client = remote.client(location.address)
            with client.open(location.path, follow=True) as file, closing(file.chunks()) as pieces:
                for piece in pieces:
                    output.write(piece)
            output.flush()


def _keep(preserve: bool, archive: bool) -> Keep:
    return Keep(times=preserve or archive, owner=archive)


@remote_command(
    "ninep get HOST:5640/file",
    "ninep get HOST:5640/file other-name",
    "ninep get -r HOST:5640/dir HOST:5640/file backup/",
)
@click.argument("sources", nargs=-1, required=True, metavar="LOCATION... [DESTINATION]")
@click.option("-r", "-R", "--recursive", is_flag=True, help="Directories and everything below them; links stay links.")
@click.option("-p", "--preserve", is_flag=True, help="Keep times and exact permissions.")
@click.option("-a", "--archive", is_flag=True, help="As -r -p, and keep owner and group where this user may.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
def get(remote: Remote, sources: tuple[str, ...], recursive: bool, preserve: bool, archive: bool, quiet: bool) -> None:
    """Copy files from a server to this host. The last of several arguments is the local DESTINATION: if it is a directory, things are
    copied into it; else one thing is copied to that name. With a single argument it is the current directory.

    A file appears when it is complete. What cannot be copied is reported, and the rest goes on.
    """
    *named, destination = sources if len(sources) > 1 else (*sources, os.curdir)
    locations = [_location(text) for text in named]
    inside = os.path.isdir(destination)
    if not inside and (len(locations) > 1 or destination.endswith(("/", os.sep))):
        raise click.UsageError(f"{destination}: not a directory of this host")
    with Bar(enabled=not quiet) as bar:
        for location in locations:
            with remote.each():
                client = remote.client(location.address)
                target = destination
                if inside and base_name(location.path):
                    target = child(destination, base_name(location.path), str(location))
                client.get(
                    location.path,
                    target,
                    recursive=recursive or archive,
                    keep=_keep(preserve, archive),
                    onerror=remote.report,
                    progress=bar.moved,
                )


@remote_command(
    "ninep put file HOST:5640/dir",
    "ninep put -r src tests HOST:5640/project",
    "tar c . | ninep put - HOST:5640/backup.tar",
)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.argument("destination", type=LOCATION)
@click.option("-r", "-R", "--recursive", is_flag=True, help="Directories and everything below them; links stay links.")
@click.option("-L", "--dereference", is_flag=True, help="Copy what links lead to, not the links.")
@click.option("-p", "--preserve", is_flag=True, help="Keep times and exact permissions.")
@click.option("-a", "--archive", is_flag=True, help="As -r -p, and keep owner and group where the server lets.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
def put(
    remote: Remote,
    sources: tuple[str, ...],
    destination: Location,
    recursive: bool,
    dereference: bool,
    preserve: bool,
    archive: bool,
    quiet: bool,
) -> None:
    """Copy files of this host to a server. If DESTINATION is a directory, things are copied into it; else one thing is copied to that
    name. SOURCE ``-`` is standard input.
    """
    client = remote.client(destination.address)
    inside = client.exists(destination.path, follow=True) and client.stat(destination.path, follow=True).is_dir()
    if not inside and (len(sources) > 1 or destination.path.endswith("/")):
        raise click.UsageError(f"{destination}: not a directory of the server")
    with Bar(enabled=not quiet) as bar:
        for source in sources:
            with remote.each():
                if source == "-":
                    if inside:
                        raise click.UsageError(f"{destination}: standard input needs the name of a file")
                    with client.open(destination.path, "wb", follow=True) as file:
                        while data := sys.stdin.buffer.read(1 << 20):
                            file.write(data)
                    continue
                name = os.path.basename(os.path.abspath(source))
                client.put(
                    source,
                    join(destination.path, name) if inside and name else destination.path,
                    recursive=recursive or archive,
                    dereference=dereference,
                    keep=_keep(preserve, archive),
                    onerror=remote.report,
                    progress=bar.moved,
                )


def _location(text: str) -> Location:
    try:
        return parse_location(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
