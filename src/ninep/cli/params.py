"""Arguments and options with a form of their own: locations, sizes, modes, owners. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from ninep.client.address import Location, parse_location
from ninep.options import mode, size

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # generic in later releases of click only


class LocationType(ParamType):
    """``HOST:PORT/PATH`` or ``unix:SOCKET:/PATH``."""

    name = "location"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Location:
        """Parse, or fail with what is wrong."""
        if isinstance(value, Location):
            return value
        try:
            return parse_location(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Checked(ParamType):
    """An option's text through a function that raises ``ValueError`` with a sentence."""

    def __init__(self, name: str, check: Callable[[str], Any]) -> None:
        self.name = name
        self._check = check

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Click's call."""
        if not isinstance(value, str):
            return value
        try:
            return self._check(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Owner(ParamType):
    """``UID``, ``UID:GID`` or ``:GID``."""

    name = "owner"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int | None, int | None]:
        """Parse, or fail with what is wrong."""
        if isinstance(value, tuple):
            return value[0], value[1]
        uid, _, gid = value.partition(":")
        numbers: list[int | None] = []
        for text in (uid, gid):
            if text and not (text.isascii() and text.isdigit() and int(text) < 0xFFFFFFFF):
                self.fail(
                    f"{value!r}: users and groups of a server are given by number: UID, UID:GID or :GID", param, ctx
                )
            numbers.append(int(text) if text else None)
        if numbers == [None, None]:
            self.fail(f"{value!r} names neither an owner nor a group", param, ctx)
        return numbers[0], numbers[1]


LOCATION: Final = LocationType()
SIZE: Final = Checked("size", size(256, 0x7FFFFFFF).read)
MODE: Final = Checked("mode", mode(0o7777).read)
OWNER: Final = Owner()
