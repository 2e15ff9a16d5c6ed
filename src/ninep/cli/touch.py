"""``touch``."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

import click

from ninep.cli.params import LOCATION, Checked
from ninep.cli.remote import Remote, remote_command
from ninep.client.address import Location

if TYPE_CHECKING:
    from ninep.client.stat import Time

SECOND: Final = 1_000_000_000


def read_time(text: str) -> int:
    """``2024-05-01 12:00``, ``2024-05-01T12:00:00+02:00`` or ``@SECONDS``, in nanoseconds since 1970;
    local time unless it says otherwise. ``ValueError`` with a sentence.
    """
    try:
        if text.startswith("@"):
            seconds, _, fraction = text[1:].partition(".")
            return int(seconds) * SECOND + int(f"{fraction:0<9.9}" if fraction else 0)
        moment = datetime.fromisoformat(text)  # without a zone: local time
        return int(moment.replace(microsecond=0).timestamp()) * SECOND + moment.microsecond * 1000
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"{text!r} is not a time: write 2024-05-01 12:00:00, or @SECONDS since 1970") from None


TIME: Final = Checked("time", read_time)


@remote_command(
    "ninep touch HOST:5640/file",
    "ninep touch -d '2024-05-01 12:00' HOST:5640/file",
)
@click.argument("locations", nargs=-1, required=True, type=LOCATION, metavar="LOCATION...")
@click.option("-c", "--no-create", is_flag=True, help="Do not make files that do not exist.")
@click.option("-a", "only_access", is_flag=True, help="Set the time of the last access only.")
@click.option("-m", "only_change", is_flag=True, help="Set the time of the last change only.")
@click.option(
    "-d", "--date", type=TIME, metavar="TIME", help="This time instead of the server's: 2024-05-01 12:00, or @SECONDS."
)
def touch(
    remote: Remote,
    locations: tuple[Location, ...],
    no_create: bool,
    only_access: bool,
    only_change: bool,
    date: int | None,
) -> None:
    """Set the times of files to now, and make those that do not exist."""
    time: Time = "now" if date is None else date
    access = None if only_change and not only_access else time
    change = None if only_access and not only_change else time
    for location in remote.expand(locations):
        with remote.each(location):
            client = remote.client(location)
            if not client.exists(location.path, follow=True):
                if no_create:
                    continue
                client.open(location.path, "ab", follow=True).close()
                if date is None:
                    continue
            client.utime(location.path, atime=access, mtime=change, follow=True)
