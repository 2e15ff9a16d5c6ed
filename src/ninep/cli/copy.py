"""``cp``."""

from __future__ import annotations

import errno

import click

from ninep.cli.copying import WITH_SPECIALS, copying_options, directory_at, inner_name, location_of, needing_r
from ninep.cli.params import LOCATION
from ninep.cli.progress import Bar
from ninep.cli.remote import RECONNECT, Remote, remote_command
from ninep.client.address import Location
from ninep.client.copied import Copied
from ninep.client.local import Keep
from ninep.client.paths import join


def destination_of(text: str, source: Location) -> Location:
    """A destination that was given as a location, or as a path of the source's server."""
    return Location(source.address, text) if text.startswith("/") else location_of(text)


@remote_command(
    "ninep cp HOST:5640/file HOST:5640/copy",
    "ninep cp -r HOST:5640/dir OTHER:5640/backup/",
    "ninep cp HOST:5640/a/*.c /b",
    reconnect=RECONNECT,
)
@click.argument("sources", nargs=-1, required=True, type=LOCATION, metavar="SOURCE...")
@click.argument("destination")
@copying_options(WITH_SPECIALS)
def cp(
    remote: Remote,
    sources: tuple[Location, ...],
    destination: str,
    recursive: bool,
    preserve: bool,
    archive: bool,
    quiet: bool,
) -> None:
    """Copy files on a server, or from one server to another. DESTINATION is a location, or a path on
    the server of the first SOURCE. If it is a directory, the files are copied into it; otherwise
    one file is copied to that name. Of SOURCE ``DIR/.`` the content is copied.

    The content passes through this host: 9P has no message that copies. Below DESTINATION nothing
    is written through symbolic links.
    """
    given = list(remote.expand(sources))
    if not given:
        return
    to = destination_of(destination, given[0])
    recursive = recursive or archive
    client = remote.client(to)
    folder = directory_at(client, to.path)
    if folder is None and (len(given) > 1 or (to.path.endswith("/") and not recursive)):
        raise NotADirectoryError(errno.ENOTDIR, "is not a directory of the server", str(to))
    copied = Copied()
    with Bar(enabled=not quiet) as bar:
        for source in given:
            with remote.each(), needing_r(recursive):
                reading = remote.client(source)
                client = remote.client(to)  # errors are of this one, unless they name another
                name = inner_name(source.path) if folder is not None else ""
                client.copy_from(
                    reading,
                    source.path,
                    join(folder, name) if folder is not None and name else to.path,
                    recursive=recursive,
                    follow=not name,
                    keep=Keep(times=preserve or archive, owner=archive, specials=archive),
                    onerror=remote.report,
                    progress=bar.moved,
                    copied=copied,
                    shown=lambda path, address=source.address: str(Location(address, path)),  # type: ignore[misc]
                )
