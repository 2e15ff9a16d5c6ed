"""The configuration file of ``ninep serve``: TOML to checked values, each with its file and line.

Every key is that of a row (``ninep.options``): options of the server and options for all exports at
the top, limits in ``[limits]``, an export in each ``[exports.NAME]``. Nothing is opened here, and
what contradicts what is for ``app.settings``.

Rules

* All mistakes are collected; only a syntax error ends the reading of a file.
* A file's own keys take precedence over those of the files that it includes, and of these the later
  over the earlier. An export stands in one file.
* Paths are relative to the folder of the file that they stand in.
"""

from __future__ import annotations

import glob
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Any, Final, NamedTuple

from ninep.app.config import MessageOptions, ServerConfig
from ninep.app.exports import SHORT_KEYS, export_rows
from ninep.app.toml_lines import Path, lines_of
from ninep.drivers import FOLDER, find_driver
from ninep.options import Row, did_you_mean, rows
from ninep.server.limits import ROWS as LIMITS
from ninep.server.limits import limit_value

__all__ = [
    "EXPORTS",
    "INCLUDE",
    "LIMITS",
    "LIMIT_TABLE",
    "TARGET",
    "Contents",
    "ExportTable",
    "Given",
    "Mistake",
    "Place",
    "dotted",
    "in_order",
    "quoted",
    "read",
    "top_rows",
]

INCLUDE, EXPORTS, LIMIT_TABLE, TARGET = "include", "exports", "limits", "target"
LARGEST: Final = 1 << 20
MAX_FILES: Final = 256
_AT: Final = re.compile(r" \(at (?:line ([0-9]+), column [0-9]+|end of document)\)$")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_MODES: Final = "OCTAL"


class Place(NamedTuple):
    """Where something stands; line 0 is the file as a whole."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class Mistake(NamedTuple):
    """What is wrong, where."""

    place: Place
    key: str
    """With the tables that it is in: ``exports.src.fmode``. Empty: no single one."""
    sentence: str

    def __str__(self) -> str:
        return f"{self.place}: {self.key}: {self.sentence}" if self.key else f"{self.place}: {self.sentence}"


class Given(NamedTuple):
    """A checked value, and where it stands."""

    value: Any
    place: Place


@dataclass(slots=True)
class ExportTable:
    """One ``[exports.NAME]``."""

    place: Place
    target: Given | None = None
    options: dict[str, Given] = field(default_factory=dict)
    """By Python names."""
    good: bool = True
    """All that stands in it could be read."""


@dataclass(slots=True)
class Contents:
    """What a file says, and what it includes. Options and limits by their Python names."""

    file: str
    options: dict[str, Given] = field(default_factory=dict)
    limits: dict[str, Given] = field(default_factory=dict)
    exports: dict[str, ExportTable] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    """All that were read, in their order."""


class Unreadable(Exception):
    """A file without a value: the sentence, and the line if there is one."""

    def __init__(self, sentence: str, line: int = 0) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.line = line


def top_rows() -> dict[str, Row]:
    """The rows of the keys at the top, by key: the server's own come before those of exports."""
    known = (*rows(ServerConfig), *rows(MessageOptions), *export_rows())
    found: dict[str, Row] = {}
    for row in known:
        found.setdefault(row.key, row)
    return found


def read(file: str) -> Contents:
    """A file, and all that it includes. Mistakes are in the answer."""
    contents = Contents(file)
    _Reader(contents).file(file, None)
    return contents


def in_order(mistakes: Iterable[Mistake], files: Sequence[str]) -> list[Mistake]:
    """As they stand in the files; each once."""
    order = {file: number for number, file in enumerate(files)}
    return sorted(dict.fromkeys(mistakes), key=lambda one: (order.get(one.place.file, -1), one.place.line))


def _load(file: str) -> str:
    with open(file, "rb", opener=_without_waiting) as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise Unreadable("it is not a regular file")
        data = opened.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise Unreadable(f"it is larger than {LARGEST >> 20} MiB")
    try:
        return data.decode("utf-8-sig")  # with the mark that Windows' editors write
    except UnicodeDecodeError as error:
        raise Unreadable("it is not UTF-8", data.count(b"\n", 0, error.start) + 1) from error


def _without_waiting(file: str, flags: int) -> int:
    """A FIFO would be waited for until a process writes to it: a reload could not end, nor could any
    after it.
    """
    return os.open(file, flags | getattr(os, "O_NONBLOCK", 0))


def _parse(text: str) -> tuple[dict[str, Any], dict[Path, int]]:
    try:
        return tomllib.loads(text), lines_of(text)
    except tomllib.TOMLDecodeError as error:
        said = str(error)
        at = _AT.search(said)
        line = int(at[1]) if at and at[1] else text.count("\n") + (not text.endswith("\n"))
        why = _AT.sub("", said)
        raise Unreadable(f"{why[:1].lower()}{why[1:]}", max(line, 1)) from error
    except RecursionError as error:
        raise Unreadable("arrays or tables are nested too deeply") from error


def dotted(*keys: str) -> str:
    """Keys as TOML writes them."""
    return ".".join(key if _BARE.fullmatch(key) else quoted(key) for key in keys)


def quoted(text: str) -> str:
    """A string as TOML writes it."""
    escaped = "".join(
        f"\\{letter}" if letter in '"\\' else letter if letter.isprintable() else f"\\U{ord(letter):08x}"
        for letter in text
    )
    return f'"{escaped}"'


def shown(value: object) -> str:
    """A value as TOML writes it, short."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return quoted(value)
        case dict():
            return "a table"
        case list():
            return "an array"
        case datetime() | date() | time():
            return value.isoformat()
    return str(value)


class _Reader:
    """Reads into one ``Contents``."""

    def __init__(self, contents: Contents) -> None:
        self.contents = contents
        self.top = top_rows()
        self.of_exports = {row.key: row for row in export_rows()}
        self._reading: list[str] = []
        """The files that include each other at the moment, by their real paths."""

    def file(self, file: str, included: Mistake | None) -> None:
        """Read a file. ``included``: what to say, and where, if it cannot be read."""
        contents = self.contents
        real = os.path.realpath(file)
        if real in self._reading:
            self._cannot(file, "it includes itself", included)
            return
        if len(contents.files) >= MAX_FILES:
            self._cannot(file, f"more than {MAX_FILES} files", included)
            return
        try:
            document, lines = _parse(_load(file))
        except OSError as error:
            self._cannot(file, error.strerror or str(error), included)
            return
        except Unreadable as error:
            contents.files.append(file)
            contents.mistakes.append(Mistake(Place(file, error.line), "", error.sentence))
            return
        contents.files.append(file)
        self._reading.append(real)
        _File(file, document, lines, self).read()
        self._reading.pop()

    def _cannot(self, file: str, why: str, included: Mistake | None) -> None:
        if included is not None:
            said = included._replace(sentence=f"cannot read {file}: {why}")
        else:
            said = Mistake(Place(file, 0), "", f"cannot read it: {why}")
        self.contents.mistakes.append(said)


class _File:
    """One document of several."""

    def __init__(self, file: str, document: Mapping[str, Any], lines: Mapping[Path, int], reader: _Reader) -> None:
        self._file = file
        self._document = document
        self._lines = lines
        self._reader = reader
        self._contents = reader.contents

    def read(self) -> None:
        """Into the contents."""
        for path, pattern in self._includes():
            for file in self._matching(pattern):
                self._reader.file(file, Mistake(self._at(path), INCLUDE, ""))
        tables = {EXPORTS: self._exports, LIMIT_TABLE: self._limits}
        for key, value in self._document.items():
            if key in tables:
                if isinstance(value, dict):
                    tables[key](value)
                else:
                    self._wrong((key,), f"{shown(value)} is not a table: write [{key}{'.NAME' * (key == EXPORTS)}]")
            elif key in self._reader.top:
                self._option(self._reader.top[key], value, (key,), self._contents.options)
            elif key != INCLUDE:
                hint = " (exports are tables: [exports.NAME])" if key in {"export", "dir", TARGET} else ""
                known = [*self._reader.top, *tables, INCLUDE]
                self._wrong((key,), f"there is no such option{hint or did_you_mean(key, known)}")

    # -- what stands where -----------------------------------------------------------------------------------------------

    def _at(self, path: Path) -> Place:
        while path and path not in self._lines:
            path = path[:-1]
        return Place(self._file, self._lines.get(path, 1))

    def _wrong(self, path: Path, sentence: str) -> None:
        key = dotted(*(one for one in path if isinstance(one, str)))
        self._contents.mistakes.append(Mistake(self._at(path), key, sentence))

    def _resolved(self, path: str) -> str:
        return os.path.join(os.path.dirname(self._file), os.path.expanduser(path))

    # -- include ---------------------------------------------------------------------------------------------------------

    def _includes(self) -> Iterator[tuple[Path, str]]:
        asked = self._document.get(INCLUDE, [])
        for number, pattern in enumerate(asked if isinstance(asked, list) else [asked]):
            path: Path = (INCLUDE, number) if isinstance(asked, list) else (INCLUDE,)
            if isinstance(pattern, str) and pattern and "\0" not in pattern:
                yield path, pattern
            else:
                self._wrong(path, f"{shown(pattern)} is not the path of a file")

    def _matching(self, pattern: str) -> Iterable[str]:
        """A path as it is; of a pattern all files that there are, by name."""
        resolved = self._resolved(pattern)
        return sorted(glob.glob(resolved)) if glob.has_magic(pattern) else [resolved]

    # -- values ----------------------------------------------------------------------------------------------------------

    def _option(self, row: Row, value: object, path: Path, into: dict[str, Given]) -> bool:
        """Check a value, and keep it if it is right."""
        several = row.repeat and isinstance(value, list)
        elements = value if isinstance(value, list) and several else [value]
        read = [self._value(row, one, (*path, number) if several else path) for number, one in enumerate(elements)]
        taken = [one[0] for one in read if one is not None]
        if len(taken) < len(read):
            return False
        into[row.name] = Given(tuple(taken) if row.repeat else taken[0], self._at(path))
        return True

    def _value(self, row: Row, value: object, path: Path) -> tuple[Any] | None:
        """The one value; None if it is wrong, which was noted."""
        if isinstance(value, (dict, list)):
            several = ", or an array of them" if row.repeat and isinstance(path[-1], str) else ""
            self._wrong(path, f"{shown(value)} where one value is wanted{several}")
        elif row.kind.metavar == _MODES and not isinstance(value, str):
            self._wrong(path, f'{shown(value)}: write a mode as text, in octal: {row.key} = "640"')
        else:
            try:
                return (row.kind.value(value),)
            except ValueError as error:
                self._wrong(path, str(error).replace(repr(value), shown(value), 1))
        return None

    def _limits(self, table: Mapping[str, object]) -> None:
        for key, value in table.items():
            path: Path = (LIMIT_TABLE, key)
            if key not in LIMITS:
                self._wrong(path, f"there is no such limit{did_you_mean(key, LIMITS)}")
                continue
            try:
                amount = limit_value(key, value)
            except ValueError as error:
                self._wrong(path, str(error).replace(repr(value), shown(value), 1))
            else:
                self._contents.limits[LIMITS[key].name] = Given(amount, self._at(path))

    def _exports(self, table: Mapping[str, object]) -> None:
        for name, one in table.items():
            path: Path = (EXPORTS, name)
            there = {other.strip("/"): (other, found) for other, found in self._contents.exports.items()}
            if not isinstance(one, dict):
                self._wrong(
                    path, f"{shown(one)} is not a table: write [{dotted(EXPORTS, name)}] and target = ... in it"
                )
            elif name.strip("/") in there:
                other, found = there[name.strip("/")]
                self._wrong(path, f"two exports are named {quoted(other)}: the other one is at {found.place}")
            else:
                self._contents.exports[name] = self._export(path, one)

    def _export(self, path: Path, table: Mapping[str, object]) -> ExportTable:
        made = ExportTable(self._at(path))
        known = self._reader.of_exports
        for key, value in table.items():
            here = (*path, key)
            if key == TARGET:
                made.target = self._target(here, value)
                made.good &= made.target is not None
            elif key in known:
                made.good &= self._option(known[key], value, here, made.options)
            else:
                long = SHORT_KEYS.get(key, "").replace("_", "-")
                hint = f" (did you mean {long!r}?)" if long else did_you_mean(key, [*known, TARGET])
                self._wrong(here, f"there is no such option of an export{hint}")
                made.good = False
        if TARGET not in table:
            self._wrong(path, 'it has no target: write target = "FOLDER"')
            made.good = False
        return made

    def _target(self, path: Path, value: object) -> Given | None:
        if not isinstance(value, str) or not value or "\0" in value:
            self._wrong(path, f"{shown(value)} is not the path of a folder")
            return None
        scheme, _ = find_driver(value)
        folder = scheme == FOLDER and not value.startswith(f"{FOLDER}:")
        return Given(self._resolved(value) if folder else value, self._at(path))
