"""Types of arguments and options: locations, sizes, modes, owners."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

from ninep.client.address import Location, parse_location
from ninep.options import mode, size

if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType  # generic only in later releases of click


class LocationType(ParamType):
    """``HOST:PORT/PATH`` or ``unix:SOCKET:/PATH``."""

    name = "location"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Location:
        """Parse the value, or fail with the reason."""
        if isinstance(value, Location):
            return value
        try:
            return parse_location(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Checked(ParamType):
    """An option that is parsed by a function that raises ``ValueError`` with a message."""

    def __init__(self, name: str, check: Callable[[str], Any], words: Iterable[str] = ()) -> None:
        self.name = name
        self._check = check
        self._words = tuple(words)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002
        """The words that are possible, if there is a list of them."""
        return [CompletionItem(word) for word in self._words if word.startswith(incomplete)]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Called by click."""
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
        """Parse the value, or fail with the reason."""
        if isinstance(value, tuple):
            return value[0], value[1]
        uid, _, gid = value.partition(":")
        numbers: list[int | None] = []
        for text in (uid, gid):
            if text and not (text.isascii() and text.isdigit() and int(text) < 0xFFFFFFFF):
                self.fail(f"{value!r}: expected numbers: UID, UID:GID or :GID", param, ctx)
            numbers.append(int(text) if text else None)
        if numbers == [None, None]:
            self.fail(f"{value!r}: expected UID, UID:GID or :GID", param, ctx)
        return numbers[0], numbers[1]


def complete(kind: str) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    """``shell_complete`` of an argument that is a ``file`` or a ``dir`` of this host."""
    return lambda _context, _parameter, incomplete: [CompletionItem(incomplete, type=kind)]


LOCATION: Final = LocationType()
SIZE: Final = Checked("size", size(256, 0x7FFFFFFF).read)
MODE: Final = Checked("mode", mode(0o7777).read)
OWNER: Final = Owner()
