"""``ls`` and ``tree``."""

from __future__ import annotations

import stat as modes
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from ninep.cli import output
from ninep.cli.params import LOCATION
from ninep.cli.remote import Remote, remote_command
from ninep.cli.show import human, mode_text, printable, when
from ninep.client.address import Location
from ninep.client.errors import NoSuchExport
from ninep.client.paths import decode, join, split
from ninep.wire.modes import major, minor

if TYPE_CHECKING:
    from ninep.client.blocking import Client
    from ninep.client.stat import DirEntry, FileStat

ORDERS: Final[dict[str, Callable[[DirEntry], Any]]] = {
    "name": lambda entry: entry.name,
    "time": lambda entry: -entry.stat.st_mtime_ns if entry.stat else 0,
    "size": lambda entry: -entry.stat.st_size if entry.stat else 0,
}


@dataclass(frozen=True)
class Style:
    """The options of a listing."""

    long: bool
    everything: bool
    human: bool
    reverse: bool
    order: str
    tty: bool

    @property
    def needs_stat(self) -> bool:
        """Whether attributes have to be requested."""
        return self.long or self.order != "name"

    def text(self, name: str) -> str:
        """A name as it is printed."""
        return printable(name) if self.tty else name

    def sorted(self, entries: Iterable[DirEntry]) -> list[DirEntry]:
        """The entries to show, in the selected order."""
        shown = sorted(
            [entry for entry in entries if self.everything or not entry.name.startswith(".")], key=ORDERS["name"]
        )
        shown.sort(key=ORDERS[self.order])
        return shown[::-1] if self.reverse else shown


def _size(found: FileStat, style: Style) -> str:
    if modes.S_ISCHR(found.st_mode) or modes.S_ISBLK(found.st_mode):
        return f"{major(found.st_rdev)}, {minor(found.st_rdev)}"
    return human(found.st_size) if style.human else str(found.st_size)


def _target(client: Client, entry: DirEntry, style: Style) -> str:
    if not entry.is_symlink():
        return ""
    try:
        target = entry.stat.target if entry.stat and entry.stat.target is not None else client.readlink(entry.path)
    except OSError:
        return " -> ?"
    return f" -> {style.text(target)}"


def _show(client: Client, entries: list[DirEntry], style: Style) -> None:
    """Print sorted entries, in columns with ``-l``."""
    if not style.long:
        for entry in entries:
            output.line(style.text(entry.name))
        return
    rows: list[tuple[str, ...]] = []
    for entry in entries:
        found = entry.stat
        if found is None:
            rows.append(("??????????", "?", "?", "?", "?", "?", style.text(entry.name)))
            continue
        owner = str(found.st_uid) if found.st_uid is not None else printable(found.user)
        group = str(found.st_gid) if found.st_gid is not None else printable(found.group)
        name = style.text(entry.name) + _target(client, entry, style)
        links = str(found.st_nlink)
        rows.append((mode_text(found.st_mode), links, owner, group, _size(found, style), when(found.st_mtime), name))
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(6)]
    for mode, links, owner, group, size, time, name in rows:
        output.line(
            f"{mode} {links:>{widths[1]}} {owner:<{widths[2]}} {group:<{widths[3]}} {size:>{widths[4]}} {time:>{widths[5]}} {name}"
        )


def resolved(client: Client, path: str) -> str:
    """The path with all links resolved except one at its end, for commands that act on the entry
    itself.
    """
    names = split(path, physical=True)
    if not names or names[-1] == b"..":
        return client.realpath(path)
    return join(client.realpath(b"/".join(names[:-1])), decode(names[-1]))


@remote_command(
    "ninep ls 127.0.0.1:5640",
    "ninep ls -l HOST:5640/dir/file",
    "ninep ls -lRh unix:/run/files.sock:/dir",
    "ninep ls --aname EXPORT HOST:564",
)
@click.argument("locations", nargs=-1, required=True, type=LOCATION, metavar="LOCATION...")
@click.option("-l", "long", is_flag=True, help="Mode, links, owner, group, size and time of each entry.")
@click.option("-a", "--all", "everything", is_flag=True, help="Include names that begin with a dot.")
@click.option("-R", "--recursive", is_flag=True, help="List subdirectories recursively.")
@click.option("-d", "--directory", is_flag=True, help="List the directory itself, not its content.")
@click.option("-h", "--human", is_flag=True, help="Sizes as 1.5K, 20M (with -l).")
@click.option("-t", "order", flag_value="time", help="Sort by time, newest first.")
@click.option("-S", "order", flag_value="size", help="Sort by size, largest first.")
@click.option("-r", "--reverse", is_flag=True, help="Reverse the order.")
def ls(
    remote: Remote, locations: tuple[Location, ...], recursive: bool, directory: bool, order: str | None, **style: Any
) -> None:
    """List directories of a server. If it has several exports and none is chosen by --aname, their
    names are listed.
    """
    how = Style(**style, order=order or "name", tty=output.is_terminal())
    given = list(remote.expand(locations))
    headings = len(given) > 1 or recursive
    first = True
    for location in given:
        with remote.each(location):
            try:
                client = remote.client(location)
            except NoSuchExport as error:
                if remote.aname or location.path != "/" or not error.exports:
                    raise
                _show_exports(remote, location, error.exports, how)
                continue
            path = resolved(client, location.path)
            found = client.stat(path)
            if found.is_symlink() and not how.long and not directory:
                path = client.realpath(path)
                found = client.stat(path)
            if directory or not found.is_dir():
                _show(client, [_entry(str(location), path, found)], how)
                first = False
                continue
            for shown in _directories(remote, client, path, recursive, how):
                if headings:
                    prefix = "" if first else "\n"
                    output.line(f"{prefix}{how.text(str(Location(location.address, shown[0])))}:")
                first = False
                _show(client, shown[1], how)


def _show_exports(remote: Remote, location: Location, names: Iterable[str], style: Style) -> None:
    """The names of a server's exports, where none has been chosen."""
    for name in names:
        output.line(style.text(name))
    output.flush()
    click.echo(f"{remote.command}: these are the exports of {location.address}: choose one by --aname NAME", err=True)


def _entry(name: str, path: str, found: FileStat) -> DirEntry:
    from ninep.client.stat import DirEntry, kind_of_mode  # noqa: PLC0415 - not for --help

    return DirEntry(name, path, kind_of_mode(found.st_mode), found.st_ino, found)


def _directories(
    remote: Remote, client: Client, top: str, recursive: bool, style: Style
) -> Iterable[tuple[str, list[DirEntry]]]:
    """The directories to list, each with its sorted entries."""
    from ninep.client.blocking.tree import check_depth  # noqa: PLC0415 - not for --help
    from ninep.client.bounds import MemoryBudget, size_of  # noqa: PLC0415
    from ninep.client.errors import about  # noqa: PLC0415

    budget = MemoryBudget()
    pending = [(top, 0, 0)]
    while pending:
        path, depth, size = pending.pop()
        budget.free(size)
        with remote.below():
            with about(path):
                check_depth(depth)
                entries = style.sorted(MemoryBudget().collect(client.scandir(path, stat=style.needs_stat)))
            yield path, entries
            if recursive:
                below = [entry for entry in reversed(entries) if entry.is_dir()]
                pending += [(entry.path, depth + 1, budget.reserve(size_of(entry))) for entry in below]


def _branches(
    remote: Remote, client: Client, top: str, style: Style, level: int | None
) -> Iterator[tuple[DirEntry, str]]:
    """Everything below a directory, each entry with the lines of the tree in front of it."""
    from ninep.client.blocking.tree import check_depth  # noqa: PLC0415 - not for --help
    from ninep.client.bounds import MemoryBudget, size_of  # noqa: PLC0415
    from ninep.client.errors import about  # noqa: PLC0415

    held = MemoryBudget()

    def inside(path: str, depth: int) -> list[DirEntry]:
        """The entries in reverse order: they are removed from the end."""
        with remote.below(), about(path):
            check_depth(depth)
            entries = held.collect(client.scandir(path))
            shown = style.sorted(entries)
            held.free(sum(map(size_of, entries)) - sum(map(size_of, shown)))
            return shown[::-1]
        return []

    branches = [(inside(top, 0), "")]
    while branches:
        entries, indent = branches[-1]
        if not entries:
            branches.pop()
            continue
        entry = entries.pop()
        yield entry, indent + ("|-- " if entries else "`-- ")
        held.free(size_of(entry))
        if entry.is_dir() and len(branches) != level:
            branches.append((inside(entry.path, len(branches)), indent + ("|   " if entries else "    ")))


@remote_command(
    "ninep tree HOST:5640/dir",
    "ninep tree -L 2 HOST:5640",
)
@click.argument("location", type=LOCATION)
@click.option("-L", "--level", type=click.IntRange(min=1), metavar="N", help="Maximum depth.")
@click.option("-a", "--all", "everything", is_flag=True, help="Include names that begin with a dot.")
def tree(remote: Remote, location: Location, level: int | None, everything: bool) -> None:
    """Show everything below a directory as a tree."""
    style = Style(False, everything, False, False, "name", output.is_terminal())
    client = remote.client(location)
    output.line(style.text(str(location)))
    counts = [0, 0]
    for entry, lead in _branches(remote, client, client.realpath(location.path), style, level):
        counts[not entry.is_dir()] += 1
        output.line(f"{lead}{style.text(entry.name)}{_target(client, entry, style)}")
    directories, files = counts
    output.line(
        f"\n{directories} director{'y' if directories == 1 else 'ies'}, {files} file{'' if files == 1 else 's'}"
    )
