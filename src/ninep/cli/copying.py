"""What ``get``, ``put``, ``cp`` and ``sync`` have in common: options, destinations, names."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from ninep.client.address import Location, parse_location

if TYPE_CHECKING:
    from ninep.client.blocking import Client

F = TypeVar("F", bound=Callable[..., Any])
WITH_SPECIALS: Final = "preserve owner and group where permitted, and create devices and FIFOs"


def copying_options(archive: str) -> Callable[[F], F]:
    """The options ``recursive``, ``preserve``, ``archive`` and ``quiet`` of a command; ``archive``
    says what the third preserves besides.
    """
    options = (
        click.option(
            "-r",
            "-R",
            "--recursive",
            is_flag=True,
            help="Copy directories and everything below them; links are copied as links.",
        ),
        click.option("-p", "--preserve", is_flag=True, help="Preserve times and exact permissions."),
        click.option("-a", "--archive", is_flag=True, help=f"Same as -r -p, {archive}."),
        click.option("-q", "--quiet", is_flag=True, help="No progress bar."),
    )

    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


def directory_at(client: Client, path: str) -> str | None:
    """The path of a directory that is there already, with its links resolved; or None."""
    if client.exists(path, follow=True) and client.stat(path, follow=True).is_dir():
        return client.realpath(path)
    return None


def inner_name(path: str, separators: str = "/") -> str:
    """The name of a source in the directory it is copied into; empty if only its content is copied:
    ``.``, ``..``, a root (as in cp(1)).
    """
    last = path.rstrip(separators)
    for separator in separators:
        last = last.rpartition(separator)[2]
    return "" if last in {".", ".."} else last


@contextmanager
def needing_r(recursive: bool) -> Iterator[None]:
    """A source that is a directory is copied with -r only: say so."""
    try:
        yield
    except IsADirectoryError as error:
        if not recursive and error.strerror == os.strerror(errno.EISDIR):
            error.strerror = "is a directory: copy it with -r"
        raise


def location_of(text: str) -> Location:
    """A location of the command line, where it can also be something else."""
    try:
        return parse_location(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
