"""Options of the command line, generated from rows (``ninep.options``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

from ninep.cli.groups import grouped
from ninep.cli.params import Checked
from ninep.options import FLAG, Row

F = TypeVar("F", bound=Callable[..., Any])


def option_of(row: Row) -> Callable[[F], F]:
    """The option of a row. A missing option is None, or an empty tuple, which distinguishes it from
    the default.
    """
    names = [f"--{row.key}", *([f"-{row.short}"] if row.short else []), row.name]
    shown = "" if row.default in (None, (), False) else f"  [default: {row.show(row.default)}]"
    if row.kind is FLAG:
        return grouped(row.group, *names, is_flag=True, default=None, help=row.help)
    return grouped(
        row.group,
        *names,
        default=None,
        multiple=row.repeat,
        metavar=row.kind.metavar,
        type=Checked(row.key, row.kind.value, cast("Iterable[str]", row.kind.schema.get("enum", ()))),
        help=row.help + shown,
    )


def options_of(rows: Iterable[Row]) -> Callable[[F], F]:
    """The options of several rows, in their order."""

    def decorate(function: F) -> F:
        for row in reversed(list(rows)):
            function = option_of(row)(function)
        return function

    return decorate


def given(values: dict[str, Any]) -> dict[str, Any]:
    """The options that were given."""
    return {name: value for name, value in values.items() if value is not None and value != ()}
