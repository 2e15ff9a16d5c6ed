"""``find``."""

from __future__ import annotations

import re
import stat as modes
import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

import click

from ninep.cli import output
from ninep.cli.listing import resolved
from ninep.cli.params import LOCATION, Checked
from ninep.cli.remote import Remote, remote_command
from ninep.cli.show import printable
from ninep.cli.touch import SECOND, TIME
from ninep.client.address import Location
from ninep.client.paths import base_name
from ninep.options import read_amount

if TYPE_CHECKING:
    from ninep.client.blocking import Client
    from ninep.client.stat import FileStat

    Test = Callable[[str, FileStat], bool]

TYPES: Final = {
    "f": modes.S_IFREG,
    "d": modes.S_IFDIR,
    "l": modes.S_IFLNK,
    "c": modes.S_IFCHR,
    "b": modes.S_IFBLK,
    "p": modes.S_IFIFO,
    "s": modes.S_IFSOCK,
}
_SIZE: Final = re.compile(r"([-+]?)(.+)")


def read_size(text: str) -> tuple[str, int]:
    """``+1M``, ``-10K`` or ``512``, in bytes, with the sign. ``ValueError`` with a sentence."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a size: write +1M (more), -1M (less) or a number of bytes")
    return found[1], int(read_amount(found[2]))


def _tests(
    name: str | None, kind: str | None, size: tuple[str, int] | None, newer: int | None, minutes: int | None
) -> list[Test]:
    tests: list[Test] = []
    if name is not None:
        tests.append(lambda path, _found: fnmatchcase(base_name(path), name))
    if kind is not None:
        tests.append(lambda _path, found: modes.S_IFMT(found.st_mode) == TYPES[kind])
    if size is not None:
        sign, amount = size
        compare: dict[str, Callable[[int], bool]] = {
            "+": lambda given: given > amount,
            "-": lambda given: given < amount,
            "": lambda given: given == amount,
        }
        tests.append(lambda _path, found: compare[sign](found.st_size))
    since = time.time_ns() - minutes * 60 * SECOND if minutes is not None else newer
    if since is not None:
        tests.append(lambda _path, found: found.st_mtime_ns > since)
    return tests


def _found_below(remote: Remote, client: Client, top: str, deepest: int | None) -> Iterator[tuple[str, FileStat]]:
    """A file and everything below it, each directory before its entries."""
    from ninep.client.blocking.tree import check_depth  # noqa: PLC0415 - not for --help
    from ninep.client.bounds import MemoryBudget, size_of  # noqa: PLC0415
    from ninep.client.errors import about  # noqa: PLC0415

    own = client.stat(top)
    yield top, own
    held = MemoryBudget()
    pending = [(top, 1, 0)] if own.is_dir() else []
    while pending:
        path, depth, size = pending.pop()
        held.free(size)
        if deepest is not None and depth > deepest:
            continue
        below = []
        with remote.below(), about(path):
            check_depth(depth)
            for entry in client.scandir(path, stat=True):
                if entry.stat is not None:
                    yield entry.path, entry.stat
                if entry.is_dir():
                    below.append((entry.path, depth + 1, held.reserve(size_of(entry))))
        pending += reversed(below)


@remote_command(
    "ninep find HOST:5640/dir --name '*.c'",
    "ninep find HOST:5640 --type f --size +100M",
    "ninep find HOST:5640 --newer 2024-05-01",
)
@click.argument("locations", nargs=-1, required=True, type=LOCATION, metavar="LOCATION...")
@click.option("--name", "-name", metavar="PATTERN", help="Names that match, as in a shell: '*.c'.")
@click.option(
    "--type",
    "-type",
    "kind",
    type=click.Choice(list(TYPES)),
    help="f file, d directory, l link, c and b devices, p FIFO, s socket.",
)
@click.option(
    "--size",
    "-size",
    type=Checked("size", read_size),
    metavar="[+|-]SIZE",
    help="Larger, smaller, or of this size in bytes; with K, M, G.",
)
@click.option(
    "--newer", "-newer", type=TIME, metavar="TIME", help="Changed after this time: 2024-05-01 12:00, or @SECONDS."
)
@click.option("--mmin", "minutes", type=click.IntRange(min=0), metavar="N", help="Changed within the last N minutes.")
@click.option(
    "--max-depth", "-maxdepth", type=click.IntRange(min=0), metavar="N", help="No deeper; 0 is LOCATION alone."
)
@click.option("-0", "--print0", "zero", is_flag=True, help="End each line with NUL, for xargs -0.")
def find(
    remote: Remote,
    locations: tuple[Location, ...],
    name: str | None,
    kind: str | None,
    size: tuple[str, int] | None,
    newer: int | None,
    minutes: int | None,
    max_depth: int | None,
    zero: bool,
) -> None:
    """List the files below LOCATION that fulfil all conditions. Links are not followed."""
    if newer is not None and minutes is not None:
        raise click.UsageError("--newer and --mmin exclude each other")
    tests = _tests(name, kind, size, newer, minutes)
    tty = output.is_terminal()
    for location in remote.expand(locations):
        with remote.each(location):
            client = remote.client(location)
            for path, found in _found_below(remote, client, resolved(client, location.path), max_depth):
                if all(test(path, found) for test in tests):
                    text = str(Location(location.address, path))
                    if zero:
                        output.raw(text.encode("utf-8", "surrogateescape") + b"\0")
                    else:
                        output.line(printable(text) if tty else text)
