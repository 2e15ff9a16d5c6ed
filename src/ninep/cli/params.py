"""Arguments and options with a form of their own: locations, sizes, modes, owners. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from ninep.client.address import Location, parse_location

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


class Size(ParamType):
    """A number of bytes, with K or M behind it if that is shorter."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse, or fail with what is wrong."""
        if isinstance(value, int):
            return value
        digits, factor = value, 1
        if value[-1:].upper() in {"K", "M"}:
            digits, factor = value[:-1], 1 << (10 if value[-1].upper() == "K" else 20)
        if not (digits.isascii() and digits.isdigit() and 256 <= int(digits) * factor <= 0x7FFFFFFF):
            self.fail(f"{value!r} is not a message size; 131072, 128K and 1M are", param, ctx)
        return int(digits) * factor


class Mode(ParamType):
    """Permissions in octal."""

    name = "mode"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse, or fail with what is wrong."""
        if isinstance(value, int):
            return value
        try:
            mode = int(value, 8)
        except ValueError:
            mode = -1
        if not 0 <= mode <= 0o7777:
            self.fail(f"{value!r} is not a mode; 755 and 0644 are", param, ctx)
        return mode


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
SIZE: Final = Size()
MODE: Final = Mode()
OWNER: Final = Owner()
