"""A server's configuration from where it stands: the command line over a file over the defaults.

``Sources`` remembers what the command line said and which file there is; ``settings`` reads the
file anew each time. Nothing is opened.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from ninep.app import config_file
from ninep.app.config import ServerConfig, limits_with
from ninep.app.config_file import EXPORTS, LIMIT_TABLE, LIMITS, TARGET, Contents, ExportTable, Mistake, Place, dotted
from ninep.app.exports import ExportConfig, export_rows, merged
from ninep.host.config_paths import config_paths
from ninep.options import BadOption, rows
from ninep.server.limits import BadLimit, Limits, option_name

DEFAULT, COMMAND_LINE = "default", "command line"
MSIZE: Final = "msize"
_SERVER: Final = frozenset(row.name for row in rows(ServerConfig))


class BadConfig(BadOption):
    """A configuration file with mistakes: all of them, a line each."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__("\n".join(map(str, mistakes)))
        self.mistakes = mistakes


class NamedExport(NamedTuple):
    """An export of the command line."""

    name: str
    target: str
    options: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    """What was given there: options, ``msize`` among them, and limits by Python names."""

    exports: Sequence[NamedExport] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)


NOTHING: Final = CommandLine()


class Holding(NamedTuple):
    """What holds, and where it is from."""

    table: tuple[str, ...]
    """The keys of its table; empty: the top."""
    key: str
    value: Any
    origin: str


def found_file(places: Iterable[str] | None = None) -> str | None:
    """The first file that there is at the usual places."""
    return next((path for path in (config_paths() if places is None else places) if os.path.isfile(path)), None)


class Sources:
    """The command line and a file.

    Args:
        command_line: its values are checked already.
        file: its path; None: there is none.
    """

    def __init__(self, command_line: CommandLine = NOTHING, file: str | None = None) -> None:
        self.command_line = command_line
        self.file = file

    def settings(self) -> ServerConfig:
        """The configuration as it is now. ``BadConfig`` with what is wrong in the file,
        ``BadOption`` or ``BadLimit`` without one.
        """
        if self.file is None:
            return self._made(Contents(""))
        contents = config_file.read(self.file)
        mistakes = [*contents.mistakes, *self._unfit(contents)]
        if not mistakes:
            try:
                return self._made(contents)
            except (BadOption, BadLimit) as error:
                mistakes.append(_blame(str(error), contents))
        raise BadConfig(config_file.in_order(mistakes, contents.files))

    def _for_all(self, contents: Contents) -> dict[str, Any]:
        """Options for all exports: the command line's replace the file's."""
        from_file = {name: one.value for name, one in contents.options.items()}
        return {
            name: value
            for name, value in (from_file | dict(self.command_line.options)).items()
            if name not in _SERVER and name != MSIZE
        }

    def _own(self, table: ExportTable) -> dict[str, Any]:
        """What an export of the file states itself, and the command line does not state for
        all.
        """
        for_all = self.command_line.options.keys() - _SERVER
        return {name: one.value for name, one in table.options.items() if name not in for_all}

    def _named(self, contents: Contents) -> list[NamedExport]:
        """The exports of the file, and those of the command line, which replace them by name."""
        asked = list(self.command_line.exports)
        replaced = {one.name.strip("/") for one in asked}
        of_file = [
            NamedExport(name, table.target.value, self._own(table))
            for name, table in contents.exports.items()
            if table.target is not None and name.strip("/") not in replaced
        ]
        return [*of_file, *asked]

    def _made(self, contents: Contents) -> ServerConfig:
        given = {name: one.value for name, one in contents.options.items()} | dict(self.command_line.options)
        limits = {name: one.value for name, one in contents.limits.items()} | dict(self.command_line.limits)
        return ServerConfig(
            merged(self._named(contents), self._for_all(contents)),
            limits_with(given.get(MSIZE), limits),
            **{name: value for name, value in given.items() if name in _SERVER},
        )

    def _unfit(self, contents: Contents) -> list[Mistake]:
        """All options of exports that their driver or model does not have, or that contradict
        others.
        """
        found = []
        for_all = self._for_all(contents)
        for name, table in contents.exports.items():
            if table.good and table.target is not None:
                found += _unfit(name, table, for_all)
        return found

    # -- where each value is from ----------------------------------------------------------------------------------------

    def holdings(self) -> list[Holding]:
        """All that holds, and where each value is from, in the order of the rows. As ``settings``
        otherwise.
        """
        settings = self.settings()
        contents = Contents("") if self.file is None else config_file.read(self.file)
        return [
            *self._server_holdings(settings, contents),
            *self._limit_holdings(settings.limits, contents),
            *(one for export in settings.exports for one in self._export_holdings(export, contents)),
        ]

    def _origin(self, name: str, contents: Contents) -> str:
        if name in self.command_line.options:
            return COMMAND_LINE
        given = contents.options.get(name)
        return DEFAULT if given is None else str(given.place)

    def _server_holdings(self, settings: ServerConfig, contents: Contents) -> list[Holding]:
        return [
            Holding((), row.key, _written(row, getattr(settings, row.name)), self._origin(row.name, contents))
            for row in rows(ServerConfig)
            if getattr(settings, row.name) is not None
        ]

    def _limit_holdings(self, limits: Limits, contents: Contents) -> list[Holding]:
        found = []
        for name in LIMITS.values():
            origin = DEFAULT
            if name.name == MSIZE and self._origin(MSIZE, contents) != DEFAULT:
                origin = self._origin(MSIZE, contents)
            elif name.name in self.command_line.limits:
                origin = COMMAND_LINE
            elif name.name in contents.limits:
                origin = str(contents.limits[name.name].place)
            found.append(Holding((LIMIT_TABLE,), option_name(name.name), getattr(limits, name.name), origin))
        return found

    def _export_holdings(self, export: ExportConfig, contents: Contents) -> list[Holding]:
        path = (EXPORTS, export.name)
        asked = {one.name.strip("/"): one for one in self.command_line.exports}.get(export.name.strip("/"))
        table = None if asked is not None else contents.exports.get(export.name)
        target = COMMAND_LINE if table is None or table.target is None else str(table.target.place)
        found = [Holding(path, TARGET, export.target, target)]
        for row in export_rows():
            if not export.has(row.name) or export.get(row.name) is None:
                continue
            if asked is not None and row.name in asked.options:
                origin = COMMAND_LINE
            elif table is not None and row.name in self._own(table):
                origin = str(table.options[row.name].place)
            elif row.name in _SERVER:  # its namesake of the server is not for exports
                origin = DEFAULT
            else:
                origin = self._origin(row.name, contents)
            found.append(Holding(path, row.key, _written(row, export.get(row.name)), origin))
        return found


def _written(row: Any, value: Any) -> Any:
    """A value as TOML has it: flags and numbers as they are, all else as text."""
    if row.repeat:
        return [row.kind.show(one) for one in value]
    return value if isinstance(value, bool | int) and row.kind.metavar != "OCTAL" else row.kind.show(value)


def _unfit(name: str, table: ExportTable, for_all: Mapping[str, Any]) -> list[Mistake]:
    assert table.target is not None  # noqa: S101 - or it is not good
    target = table.target.value
    model = {key: for_all[key] for key in ("security_model",) if key in for_all}
    if "security_model" in table.options:
        model = {"security_model": table.options["security_model"].value}
    try:
        plain = ExportConfig(target, name, **model)
    except BadOption as error:
        if "security_model" not in table.options:
            plain = ExportConfig(target, name)
        else:
            return [_of_export(str(error), name, table)]
    found = []
    for key, given in table.options.items():
        if not plain.has(key):
            shown = key.replace("_", "-")
            found.append(Mistake(given.place, dotted(EXPORTS, name, shown), f"it {plain.why_not(key)}"))
    own = {key: one.value for key, one in table.options.items()}
    common = {key: value for key, value in for_all.items() if plain.has(key)}
    if not found and (why := _why_not(target, name, model | own)) and _why_not(target, name, common | own):
        found.append(_of_export(why, name, table))
    return found


def _why_not(target: str, name: str, options: Mapping[str, Any]) -> str:
    """Why there can be no such export; nothing if there can."""
    try:
        ExportConfig(target, name, **options)
    except BadOption as error:
        return str(error)
    return ""


def _of_export(sentence: str, name: str, table: ExportTable) -> Mistake:
    """A sentence that begins with the key of an option stands where that does."""
    for key, given in table.options.items():
        shown = key.replace("_", "-")
        if sentence.startswith((f"{shown}:", f"{shown} ")):
            return Mistake(given.place, dotted(EXPORTS, name, shown), sentence.removeprefix(f"{shown}:").strip())
    return Mistake(table.place, dotted(EXPORTS, name), sentence)


def _blame(sentence: str, contents: Contents) -> Mistake:
    """What contradicts something else stands where the option does that the sentence begins with,
    or whose value it names.
    """
    shown = {row.key: (row, contents.options[row.name]) for row in config_file.top_rows().values()
             if row.name in contents.options}  # fmt: skip
    for key, (_, given) in shown.items():
        if sentence.startswith((f"{key}:", f"{key} ", f"--{key} ")):
            return Mistake(given.place, key, sentence.removeprefix(f"{key}:").strip())
    for key, (row, given) in shown.items():
        values = given.value if row.repeat else (given.value,)
        for value in values:
            text = row.kind.show(value)
            if len(text) > 3 and sentence.startswith(text):
                return Mistake(given.place, key, sentence)
    if sentence.startswith(f"{MSIZE}:") and MSIZE in contents.limits:
        place = contents.limits[MSIZE].place
        return Mistake(place, dotted(LIMIT_TABLE, MSIZE), sentence.removeprefix(f"{MSIZE}:").strip())
    return Mistake(Place(contents.file, 0), "", sentence)
