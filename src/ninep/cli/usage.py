"""``du``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from ninep.cli import output
from ninep.cli.listing import resolved
from ninep.cli.params import LOCATION
from ninep.cli.remote import Remote, remote_command
from ninep.cli.show import human, printable
from ninep.client.address import Location

if TYPE_CHECKING:
    from ninep.client.blocking import Client
    from ninep.client.stat import FileStat


@dataclass
class _Directory:
    """A directory whose entries are being added up."""

    path: str
    total: int
    below: list[tuple[str, int]] = field(default_factory=list)
    """Its directories that are still to be added, with their own sizes."""


class _Sum:
    """Adds up the sizes below a directory."""

    def __init__(self, remote: Remote, client: Client, apparent: bool, everything: bool) -> None:
        self._remote = remote
        self._client = client
        self._apparent = apparent
        self._everything = everything
        self._linked: set[int] = set()

    def size(self, found: FileStat) -> int:
        """Bytes of one file; 0 for another name of one that was counted."""
        if found.st_nlink > 1 and not found.is_dir():
            if found.st_ino in self._linked:
                return 0
            self._linked.add(found.st_ino)
        return found.st_size if self._apparent else found.st_blocks * 512

    def below(self, top: str, found: FileStat) -> Iterator[tuple[int, str, int]]:
        """Sizes in bytes, paths and depths of a file and of the directories below it (with
        ``everything`` of all files), each directory after what is in it.
        """
        own = self.size(found)
        if not found.is_dir():
            yield own, top, 0
            return
        stack: list[_Directory] = []
        todo: tuple[str, int] | None = (top, own)
        while todo is not None or stack:
            if todo is not None:
                stack.append(_Directory(*todo))
                yield from self._list(stack[-1], len(stack))
            todo = stack[-1].below.pop() if stack[-1].below else None
            if todo is None:
                done = stack.pop()
                yield done.total, done.path, len(stack)
                if stack:
                    stack[-1].total += done.total

    def _list(self, directory: _Directory, depth: int) -> Iterator[tuple[int, str, int]]:
        """Add the entries of a directory; those that are none themselves are yielded with
        ``everything``.
        """
        from ninep.client.blocking.tree import check_depth  # noqa: PLC0415 - not for --help
        from ninep.client.errors import about  # noqa: PLC0415

        with self._remote.below(), about(directory.path):
            check_depth(depth - 1)
            for entry in self._client.scandir(directory.path, stat=True):
                if entry.stat is None:
                    with self._remote.below():
                        self._client.stat(entry.path)  # raises the error of the missing attributes
                    continue
                size = self.size(entry.stat)
                if entry.is_dir():
                    directory.below.append((entry.path, size))
                    continue
                directory.total += size
                if self._everything:
                    yield size, entry.path, depth
        directory.below.reverse()


@remote_command(
    "ninep du -sh HOST:5640/dir",
    "ninep du -h -d 1 HOST:5640",
)
@click.argument("locations", nargs=-1, required=True, type=LOCATION, metavar="LOCATION...")
@click.option("-s", "--summarize", is_flag=True, help="One line for each LOCATION.")
@click.option("-a", "--all", "everything", is_flag=True, help="A line for each file, too.")
@click.option("-d", "--max-depth", type=click.IntRange(min=0), metavar="N", help="Lines of directories so deep only.")
@click.option("-h", "--human", "short", is_flag=True, help="Sizes as 1.5G instead of KiB.")
@click.option("--apparent-size", "apparent", is_flag=True, help="Add up sizes instead of what is allocated on disk.")
def du(
    remote: Remote,
    locations: tuple[Location, ...],
    summarize: bool,
    everything: bool,
    max_depth: int | None,
    short: bool,
    apparent: bool,
) -> None:
    """Show how much space files and directories take. A file with several names counts once."""
    if summarize and (everything or max_depth is not None):
        raise click.UsageError("-s excludes -a and -d: it is -d 0")
    deepest = 0 if summarize else max_depth
    tty = output.is_terminal()

    for location in remote.expand(locations):
        with remote.each(location):
            client = remote.client(location)
            path = resolved(client, location.path)
            adding = _Sum(remote, client, apparent, everything)
            for size, shown, depth in adding.below(path, client.stat(path)):
                if deepest is None or depth <= deepest:
                    text = str(Location(location.address, shown))
                    amount = human(size) if short else str(-(-size // 1024))
                    output.line(f"{amount}\t{printable(text) if tty else text}")
