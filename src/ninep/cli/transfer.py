"""``cat``, ``get`` and ``put``."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import ExitStack, closing

import click

from ninep.cli import output
from ninep.cli.copying import WITH_SPECIALS, copying_options, directory_at, inner_name, location_of, needing_r
from ninep.cli.params import LOCATION, complete
from ninep.cli.progress import Bar
from ninep.cli.remote import RECONNECT, Remote, remote_command
from ninep.client.address import Location
from ninep.client.copied import Copied
from ninep.client.destination import Destination, Target
from ninep.client.local import Keep
from ninep.client.paths import from_host, join


@remote_command(
    "ninep cat HOST:5640/file",
    "ninep cat HOST:5640/disk.img | zstd > disk.img.zst",
    reconnect=RECONNECT,
)
@click.argument("locations", nargs=-1, required=True, type=LOCATION, metavar="LOCATION...")
def cat(remote: Remote, locations: tuple[Location, ...]) -> None:
    """Write files to standard output, one after the other."""
    for location in remote.expand(locations):
        with remote.each(location):
            client = remote.client(location)
            with client.open(location.path, follow=True) as file, closing(file.chunks()) as pieces:
                for piece in pieces:
                    output.raw(piece)
            output.flush()


@remote_command(
    "ninep get HOST:5640/file",
    "ninep get HOST:5640/file other-name",
    "ninep get -r HOST:5640/dir HOST:5640/file backup/",
    reconnect=RECONNECT,
)
@click.argument(
    "sources", nargs=-1, required=True, metavar="LOCATION... [DESTINATION]", shell_complete=complete("file")
)
@copying_options("and preserve owner and group where permitted")
@click.option(
    "--setid",
    is_flag=True,
    help="With -a: also preserve the set-user-ID and set-group-ID bits of files, which the server chooses.",
)
def get(
    remote: Remote, sources: tuple[str, ...], recursive: bool, preserve: bool, archive: bool, setid: bool, quiet: bool
) -> None:
    """Copy files from a server to this host. The last of several arguments is the local
    DESTINATION: if it is a directory, the files are copied into it; otherwise one file is copied to
    that name. With a single argument it is the current directory.

    A file appears when it is complete. Failures are reported, and the copy continues. Below
    DESTINATION nothing is written through symbolic links: a link at the path of a file is replaced,
    a link at the path of a directory refused.
    """
    *named, destination = sources if len(sources) > 1 else (*sources, os.curdir)
    locations = list(remote.expand([location_of(text) for text in named]))
    if setid and not archive:
        raise click.UsageError("--setid needs -a: without, no owner and none of these bits are preserved")
    recursive = recursive or archive
    inside = os.path.isdir(destination)
    if not inside and (len(locations) > 1 or (not recursive and destination.endswith(("/", os.sep)))):
        raise NotADirectoryError(errno.ENOTDIR, "is not a directory of this host", destination)
    with Bar(enabled=not quiet) as bar, ExitStack() as stack:
        folder = stack.enter_context(Destination(destination)) if inside else None
        for location in locations:
            with remote.each(), needing_r(recursive):
                client = remote.client(location)
                target: Target | str = destination
                if folder is not None:
                    name = inner_name(location.path)
                    target = folder.child(name, str(location)) if name else Target(folder, "", typed=True)
                client.get(
                    location.path,
                    target,
                    recursive=recursive,
                    keep=Keep(times=preserve or archive, owner=archive, setid=archive and setid),
                    onerror=remote.report,
                    progress=bar.moved,
                )


@remote_command(
    "ninep put file HOST:5640/dir",
    "ninep put -r src tests HOST:5640/project",
    "tar c . | ninep put - HOST:5640/backup.tar",
    reconnect=RECONNECT,
)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...", shell_complete=complete("file"))
@click.argument("destination", type=LOCATION)
@copying_options(WITH_SPECIALS)
@click.option("-L", "--dereference", is_flag=True, help="Follow symbolic links in SOURCE.")
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
    """Copy files of this host to a server. If DESTINATION is a directory, the files are copied into
    it; otherwise one file is copied to that name. SOURCE ``-`` is standard input; of SOURCE ``.``
    and ``DIR/.`` the content is copied.
    """
    client = remote.client(destination)
    recursive = recursive or archive
    folder = directory_at(client, destination.path)
    a_tree = recursive and len(sources) == 1 and os.path.isdir(sources[0])
    if folder is None and (len(sources) > 1 or (destination.path.endswith("/") and not a_tree)):
        raise NotADirectoryError(errno.ENOTDIR, "is not a directory of the server", str(destination))
    copied = Copied()
    with Bar(enabled=not quiet) as bar:
        for source in sources:
            with remote.each(), needing_r(recursive):
                if source == "-":
                    if folder is not None:
                        raise IsADirectoryError(
                            errno.EISDIR,
                            "is a directory, and standard input needs the name of a file",
                            str(destination),
                        )
                    with client.open(destination.path, "wb", follow=True) as file:
                        while data := sys.stdin.buffer.read(1 << 20):
                            file.write(data)
                    continue
                name = "" if folder is None else inner_name(os.path.splitdrive(source)[1], f"{os.sep}{os.altsep or ''}")
                client.put(
                    source,
                    join(folder, from_host(name)) if folder is not None and name else destination.path,
                    recursive=recursive,
                    dereference=dereference,
                    follow=not name,
                    keep=Keep(times=preserve or archive, owner=archive, specials=archive),
                    onerror=remote.report,
                    progress=bar.moved,
                    copied=copied,
                )
