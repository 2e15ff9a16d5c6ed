"""``mkdir``, ``rm``, ``mv``, ``ln``, ``chmod`` and ``chown``."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import click

from ninep.cli.listing import resolved
from ninep.cli.params import LOCATION, MODE, OWNER, Checked
from ninep.cli.remote import Remote, remote_command
from ninep.cli.symbolic import ModeChange, read_mode
from ninep.client.address import Location, parse_location
from ninep.client.copied import Copied
from ninep.client.errors import ServerPath
from ninep.client.paths import base_name, join

if TYPE_CHECKING:
    from ninep.client.blocking import Client


_ROOT: Final = "the root of an export cannot be removed"
_NEEDS_R: Final = "is a directory: -r removes it with everything below, -d if it is empty"


@remote_command(
    "ninep mkdir HOST:5640/dir",
    "ninep mkdir -p HOST:5640/a/b/c",
)
@click.argument("locations", nargs=-1, required=True, type=LOCATION, metavar="LOCATION...")
@click.option("-p", "--parents", is_flag=True, help="Make missing parent directories; accept an existing directory.")
@click.option("-m", "--mode", type=MODE, default="777", show_default=True, help="Permissions, in octal.")
def mkdir(remote: Remote, locations: tuple[Location, ...], parents: bool, mode: int) -> None:
    """Make directories."""
    for location in locations:
        with remote.each(location):
            client = remote.client(location)
            if parents:
                client.makedirs(location.path, mode, exist_ok=True)
            else:
                client.mkdir(resolved(client, location.path), mode)


@remote_command(
    "ninep rm HOST:5640/file",
    "ninep rm -r HOST:5640/dir",
)
@click.argument("locations", nargs=-1, required=True, type=LOCATION, metavar="LOCATION...")
@click.option("-r", "-R", "--recursive", is_flag=True, help="Remove directories and everything below them.")
@click.option("-d", "--dir", "empty", is_flag=True, help="Remove empty directories.")
@click.option("-f", "--force", is_flag=True, help="Ignore files that do not exist.")
def rm(remote: Remote, locations: tuple[Location, ...], recursive: bool, empty: bool, force: bool) -> None:
    """Remove files, and with -r whole trees. Links are removed, not followed."""
    for location in locations:
        if location.path.strip("/") in {"", ".", ".."}:
            raise click.UsageError(f"{location}: {_ROOT}")
    for location in remote.expand(locations):
        with remote.each(location):
            client = remote.client(location)
            try:
                path = resolved(client, location.path)
                if path == "/":
                    raise OSError(errno.EBUSY, _ROOT)
                if not client.stat(path).is_dir():
                    client.remove(path)
                elif recursive:
                    client.rmtree(path, onerror=remote.report)
                elif empty:
                    client.rmdir(path)
                else:
                    raise IsADirectoryError(errno.EISDIR, _NEEDS_R)
            except FileNotFoundError:
                if not force:
                    raise


def _destination(text: str, source: Location) -> str:
    """The path of a destination that was given as a location of the same server, or as a path
    alone.
    """
    if text.startswith("/"):
        return text
    try:
        location = parse_location(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if location.address != source.address:
        raise click.UsageError(
            f"{location.address} is a different server from {source.address}: use get and put to copy between servers"
        )
    return location.path


def into(client: Client, path: str, name: str) -> str:
    """The path of the destination for a file called ``name``: in ``path`` if that is a directory,
    otherwise ``path`` itself.
    """
    if client.exists(path, follow=True) and client.stat(path, follow=True).is_dir():
        return join(client.realpath(path), name)
    return resolved(client, path)


@remote_command(
    "ninep mv HOST:5640/old HOST:5640/new",
    "ninep mv HOST:5640/file /dir",
)
@click.argument("sources", nargs=-1, required=True, type=LOCATION, metavar="LOCATION...")
@click.argument("destination")
def mv(remote: Remote, sources: tuple[Location, ...], destination: str) -> None:
    """Move and rename files on a server. DESTINATION is a location of the same server, or a path on
    it. If it is a directory, the files are moved into it; otherwise an existing file is replaced,
    unless it is another one of the SOURCES.
    """
    sources = tuple(remote.expand(sources))
    if not sources:
        return
    paths = [_destination(destination, source) for source in sources]
    client = remote.client(sources[0])
    if len(sources) > 1 and not client.stat(paths[0], follow=True).is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "several SOURCES need a directory as DESTINATION", ServerPath(paths[0]))
    moved = Copied()
    for source, path in zip(sources, paths, strict=True):
        with remote.each():
            old = resolved(client, source.path)
            new = into(client, path, base_name(source.path))
            if len(sources) == 1:
                client.rename(old, new)
                continue
            if client.exists(new):
                client.refuse_if_made(new, client.stat(new).st_ino, moved)
            client.rename(old, new)
            moved.record_remote(client.stat(new).st_ino, new)


@remote_command(
    "ninep ln HOST:5640/file HOST:5640/name",
    "ninep ln -s ../file HOST:5640/dir/link",
)
@click.argument("target")
@click.argument("location", type=LOCATION)
@click.option("-s", "--symbolic", is_flag=True, help="Make a symbolic link; TARGET is stored unchanged.")
@click.option("-f", "--force", is_flag=True, help="Replace an existing file or link.")
def ln(remote: Remote, target: str, location: Location, symbolic: bool, force: bool) -> None:
    """Make LOCATION a hard link to TARGET (a location of the same server or a path on it); with -s
    a symbolic link.
    """
    existing = target if symbolic else _destination(target, location)
    client = remote.client(location)
    path = into(client, location.path, base_name(target.rstrip("/") if symbolic else existing))
    if force and client.exists(path):
        client.remove(path)
    if symbolic:
        client.symlink(target, path)
    else:
        client.link(resolved(client, existing), path)


def _below(remote: Remote, client: Client, path: str, recursive: bool) -> Iterator[tuple[str, bool]]:
    """The path, and with ``recursive`` everything below it, each with whether it is a link.
    Children come before their directory.
    """
    found = client.stat(path)
    if recursive and found.is_dir():
        for _, directories, others in client.walk(path, topdown=False, onerror=remote.report):
            for entry in (*others, *directories):
                yield entry.path, entry.is_symlink()
    yield path, found.is_symlink()


def _on_each(
    remote: Remote, locations: tuple[Location, ...], recursive: bool, follow: bool, act: Callable[[Client, str], None]
) -> None:
    """Call ``act`` for each location, and with ``recursive`` for everything below. With ``follow``,
    links on the command line are followed, others are skipped.
    """
    for location in remote.expand(locations):
        with remote.each(location):
            client = remote.client(location)
            path = client.realpath(location.path) if follow else resolved(client, location.path)
            for found, is_link in _below(remote, client, path, recursive):
                if not (is_link and follow):
                    with remote.each():
                        act(client, found)


@remote_command(
    "ninep chmod 640 HOST:5640/file",
    "ninep chmod -R u+rwX,go-w HOST:5640/dir",
)
@click.argument("mode", type=Checked("mode", read_mode))
@click.argument("locations", nargs=-1, required=True, type=LOCATION, metavar="LOCATION...")
@click.option("-R", "--recursive", is_flag=True, help="Also change everything below.")
def chmod(remote: Remote, mode: ModeChange, locations: tuple[Location, ...], recursive: bool) -> None:
    """Change permissions, in octal or as changes: u+x,go-w (chmod(1))."""

    def change(client: Client, path: str) -> None:
        found = client.stat(path)
        client.chmod(path, mode(found.st_mode & 0o7777, found.is_dir()))

    _on_each(remote, locations, recursive, True, change)


@remote_command(
    "ninep chown 1000:1000 HOST:5640/file",
    "ninep chown -R :100 HOST:5640/dir",
)
@click.argument("owner", type=OWNER)
@click.argument("locations", nargs=-1, required=True, type=LOCATION, metavar="LOCATION...")
@click.option("-R", "--recursive", is_flag=True, help="Also change everything below.")
def chown(
    remote: Remote, owner: tuple[int | None, int | None], locations: tuple[Location, ...], recursive: bool
) -> None:
    """Set owners and groups, by number: UID, UID:GID or :GID. Of a symbolic link, the
    link's own.
    """
    _on_each(remote, locations, recursive, False, lambda client, path: client.chown(path, *owner))
