"""Options in groups: the help of a command with many options has a section for each group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class _Option(click.Option):
    def __init__(self, *args: Any, group: str = "", **named: Any) -> None:
        super().__init__(*args, **named)
        self.group = group


def grouped(group: str, *declarations: str, **named: Any) -> Callable[[F], F]:
    """``click.option``, under a heading."""
    return click.option(*declarations, cls=_Option, group=group, **named)


class Grouped(click.Command):
    """A command whose help has a section for each group, in the order in which they
    first appear.
    """

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Called by click."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in sorted(self.get_params(ctx), key=lambda one: not getattr(one, "group", "")):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                sections.setdefault(getattr(param, "group", "") or "Other options", []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)
