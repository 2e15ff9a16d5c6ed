"""Options, each declared once: a row says name, kind, default, help and where it counts; everything
that reads options uses the rows.

A set of options is a frozen dataclass whose fields are made by ``option``::

    @dataclass(frozen=True, kw_only=True)
    class ModelOptions(OptionSet):
        fmode: int = option(0o600, MODE, "Host mode of new files.")

One row feeds the command line (``--fmode OCTAL``), an export's ``NAME=TARGET,fmode=600``, a TOML
table (``fmode = "600"``), keyword arguments of the library (``ModelOptions(fmode=0o600)``), the
JSON schema and the reference of the documentation. In each of these the kind reads and checks the
value: a wrong one is ``BadOption`` with one sentence, before anything is opened.

No command line, file format or operating system is used here. Which sets exist is decided by the
registries (``ninep.registry``).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Final, Generic, Self, TypeVar

T = TypeVar("T")
METADATA: Final = "ninep.option"


class BadOption(ValueError):
    """A wrong option; the message is one sentence for the user, without the option's name."""


# -- kinds of values -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """How values of an option are read, checked and shown."""

    metavar: str
    """What stands for a value in help texts: ``SIZE``. Empty: a flag, which takes none on the
    command line.
    """
    read: Callable[[str], T]
    """From text. ``ValueError`` with a sentence."""
    check: Callable[[object], T]
    """From a Python value that is no text. ``ValueError`` with a sentence."""
    show: Callable[[Any], str]
    """As people write it: ``read(show(value)) == value``."""
    schema: Mapping[str, object]
    """Its JSON schema (https://json-schema.org)."""

    def value(self, given: object) -> T:
        """From text or a Python value: used for ``KEY=VALUE``, TOML and keyword arguments."""
        return self.read(given) if isinstance(given, str) else self.check(given)


def _refuse(expected: str) -> Callable[[object], Any]:
    def check(value: object) -> Any:
        raise BadOption(f"{value!r} is not {expected}")

    return check


def _read_flag(text: str) -> bool:
    words = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}
    if text.lower() not in words:
        raise BadOption(f"{text!r} is neither yes nor no")
    return words[text.lower()]


def _check_flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise BadOption(f"{value!r} is neither true nor false")
    return value


FLAG: Final = Kind("", _read_flag, _check_flag, lambda value: "yes" if value else "no", {"type": "boolean"})


def text(expected: str = "text", metavar: str = "TEXT") -> Kind[str]:
    """Any text."""
    return Kind(metavar, str, _refuse(expected), str, {"type": "string"})


def choice(words: Iterable[str] | Callable[[], Iterable[str]]) -> Kind[str]:
    """One of some words. A function is called when a value is read: for the names of a registry."""
    fixed = () if callable(words) else tuple(words)

    def check(given: object) -> str:
        known = tuple(words()) if callable(words) else fixed
        if isinstance(given, str) and given in known:
            return given
        near = did_you_mean(given, known) if isinstance(given, str) else ""
        raise BadOption(f"{given!r} is not one of {', '.join(known)}{near}")

    schema = {"type": "string", "enum": list(fixed)} if fixed else {"type": "string"}
    return Kind("|".join(fixed) or "NAME", check, check, str, schema)


def number(low: int, high: int, metavar: str = "N") -> Kind[int]:
    """A whole number within bounds, both included."""

    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadOption(f"{value!r} is not a whole number")
        if not low <= value <= high:
            raise BadOption(f"{value} is out of range ({low} to {high})")
        return value

    def read(given: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,20}", given):
            raise BadOption(f"{given!r} is not a whole number")
        return check(int(given))

    return Kind(metavar, read, check, str, {"type": "integer", "minimum": low, "maximum": high})


FACTORS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_AMOUNT: Final = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,9})?) ?([KMG]?)(?:i?B)?", re.IGNORECASE)


def read_amount(given: str) -> float:
    """A number that may have K, M or G behind it, powers of 1024 (``64K``, ``64KiB``, ``1.5M``)."""
    found = _AMOUNT.fullmatch(given)
    if found is None:
        raise BadOption(f"{given!r} is not a size: write a number, with K, M or G behind it if that is shorter")
    return float(found[1]) * FACTORS[found[2].upper()]


def show_amount(amount: float) -> str:
    """The largest of G, M and K that leaves a whole number."""
    for letter in "GMK":
        factor = FACTORS[letter]
        if amount >= factor and amount % factor == 0:
            return f"{int(amount // factor)}{letter}"
    return f"{amount:g}" if amount != int(amount) else str(int(amount))


def size(low: int, high: int) -> Kind[int]:
    """Bytes within bounds."""

    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise BadOption(f"{value!r} is not a size in bytes")
        if not low <= value <= high:
            raise BadOption(f"{show_amount(value)} is out of range ({show_amount(low)} to {show_amount(high)})")
        return value

    def read(given: str) -> int:
        amount = read_amount(given)
        if amount != int(amount):
            raise BadOption(f"{given!r} is not a whole number of bytes")
        return check(int(amount))

    schema = {"anyOf": [{"type": "integer", "minimum": low, "maximum": high}, {"type": "string"}]}
    return Kind("SIZE", read, check, show_amount, schema)


def mode(most: int = 0o777) -> Kind[int]:
    """Permission bits, written in octal with or without a leading 0 or 0o (QEMU reads ``600`` as
    decimal; that is never what is meant).
    """

    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise BadOption(f"{value!r} is not a mode: permission bits from 0 to 0o{most:o}")
        return value

    def read(given: str) -> int:
        digits = given.lower().removeprefix("0o")
        if not re.fullmatch("[0-7]{1,6}", digits) or int(digits, 8) > most:
            raise BadOption(f"{given!r} is not a mode: write permission bits in octal, 0 to {most:o}")
        return int(digits, 8)

    return Kind("OCTAL", read, check, lambda value: f"{value:o}", {"type": "string", "pattern": "^(0o?)?[0-7]{1,6}$"})


def parsed(
    metavar: str, read: Callable[[str], T], kind: type[T] | tuple[type, ...], show: Callable[[Any], str] = str
) -> Kind[T]:
    """A value with a form of its own: ``read`` makes it of text, a value that is already a ``kind``
    is taken as it is.
    """

    def check(value: object) -> T:
        if not isinstance(value, kind):
            raise BadOption(f"{value!r} is not {metavar}")
        return value  # type: ignore[return-value] # isinstance with a tuple does not narrow for mypy

    return Kind(metavar, read, check, show, {"type": "string"})


# -- rows ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One option."""

    name: str
    """As Python spells it, ``read_only``; people write ``read-only``."""
    kind: Kind[Any]
    default: Any
    help: str
    """Sentences, for ``--help`` and the reference."""
    group: str = ""
    """The heading it stands under in ``--help``."""
    short: str = ""
    """A letter of its own on the command line: ``-r``."""
    repeat: bool = False
    """It may be given several times; the value is a tuple."""
    words: Mapping[str, object] = field(default_factory=dict)
    """Words of ``NAME=TARGET,WORD`` that set it: ``ro`` and ``rw``."""

    @property
    def key(self) -> str:
        """As people write it."""
        return self.name.replace("_", "-")

    def value(self, given: object) -> Any:
        """Check a value; of a repeated option all of them. ``BadOption`` with the option's name in
        the sentence.
        """
        try:
            if not self.repeat:
                return self.kind.value(given)
            several = [given] if isinstance(given, str) or not isinstance(given, Iterable) else given
            return tuple(self.kind.value(one) for one in several)
        except ValueError as error:
            raise BadOption(f"{self.key}: {error}") from error

    def show(self, value: Any) -> str:
        """A value as people write it."""
        return ", ".join(map(self.kind.show, value)) if self.repeat else "" if value is None else self.kind.show(value)


def option(
    default: Any,
    kind: Kind[Any],
    help: str,
    *,
    group: str = "",
    short: str = "",
    repeat: bool = False,
    words: Mapping[str, object] | None = None,
) -> Any:
    """A field of an ``OptionSet``: see ``Row`` for the arguments. A ``default`` of None means "not
    given" and is not checked.
    """
    row = Row("", kind, default, help, group, short, repeat, words or {})
    return field(default=default, metadata={METADATA: row})


class OptionSet:
    """The base of dataclasses made of options: every value is read and checked, however the set is
    made.
    """

    def __post_init__(self) -> None:
        """Read and check all values. ``BadOption``."""
        for row in rows(type(self)):
            given = getattr(self, row.name)
            if given is not None or row.default is not None:
                object.__setattr__(self, row.name, row.value(given))  # the dataclass is frozen

    @classmethod
    def of(cls, given: Mapping[str, object]) -> Self:
        """Made of what was given, by Python names. ``BadOption`` for names that are none, with
        those that are.
        """
        unknown(given, rows(cls))
        return cls(**given)

    def __str__(self) -> str:
        """What differs from the defaults, as it is written."""
        changed = [(row, getattr(self, row.name)) for row in rows(type(self)) if getattr(self, row.name) != row.default]
        return ",".join(f"{row.key}={row.show(value)}" for row, value in changed)


def rows(options: type[OptionSet]) -> tuple[Row, ...]:
    """The rows of a set, in the order of its fields. Fields that were not made by ``option`` are no
    options.
    """
    found = []
    for one in fields(options):  # type: ignore[arg-type] # a dataclass, or fields() says so
        row: Row | None = one.metadata.get(METADATA)
        if row is not None:
            default = row.default if one.default is MISSING else one.default
            found.append(Row(one.name, row.kind, default, row.help, row.group, row.short, row.repeat, row.words))
    return tuple(found)


def unknown(given: Iterable[str], known: Sequence[Row]) -> None:
    """Refuse names that are no options: ``BadOption`` with the nearest one and all there are."""
    names = {row.name for row in known}
    for name in given:
        if name not in names:
            keys = [row.key for row in known]
            key = name.replace("_", "-")
            raise BadOption(f"{key!r} is not an option{did_you_mean(key, keys)} (there are {', '.join(keys)})")


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """`` (did you mean ...?)`` where one of the words is near, else nothing."""
    near = difflib.get_close_matches(given, list(known), 1)
    return f" (did you mean {near[0]!r}?)" if near else ""


# -- NAME=TARGET,KEY=VALUE -----------------------------------------------------------------------------------------------

_PART: Final = re.compile(r"(?:[^,]|,,)+")


def split_commas(given: str) -> list[str]:
    """The parts between single commas; a comma in a part is written twice (as QEMU's command line
    has it). Empty parts are ``BadOption``.
    """
    parts = [part.replace(",,", ",") for part in _PART.findall(given)]
    if _PART.sub("", given).count(",") != max(len(parts) - 1, 0):
        raise BadOption(f"{given!r}: empty option between two commas (a comma in a value is written twice)")
    return parts


def read_words(parts: Iterable[str], known: Sequence[Row]) -> dict[str, Any]:
    """``KEY=VALUE`` and words as values by Python names, each checked. A repetition or a
    contradiction is ``BadOption``.
    """
    keys = {row.key: row for row in known}
    words = {word: (row, value) for row in known for word, value in row.words.items()}
    words |= {row.key: (row, True) for row in known if row.kind is FLAG and row.key not in words}
    given: dict[str, Any] = {}
    said: dict[str, str] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        setting: Any
        if part in words:
            row, setting = words[part]
        elif equals and key in keys:
            row = keys[key]
            setting = row.value(value)
        else:
            all_words = [*words, *(f"{key}=" for key, row in keys.items() if row.kind is not FLAG)]
            raise BadOption(
                f"{part!r} is not an option{did_you_mean(key, [*keys, *words])}; there are {', '.join(all_words)}"
            )
        if row.repeat:
            given[row.name] = (*given.get(row.name, ()), *setting)
            continue
        if row.name in given:
            raise BadOption(f"{said[row.name]!r} and {part!r} exclude each other")
        given[row.name], said[row.name] = setting, part
    return given


# -- schema --------------------------------------------------------------------------------------------------------------


def schema(known: Iterable[Row]) -> dict[str, object]:
    """The JSON schema of a table of these options; keys are written as people do."""
    properties: dict[str, object] = {}
    for row in known:
        one: dict[str, object] = dict(row.kind.schema)
        if row.repeat:
            one = {"type": "array", "items": one}
        one["description"] = row.help
        if row.default not in (None, ()):
            one["default"] = (
                row.default
                if isinstance(row.default, bool | int) and row.kind.metavar != "OCTAL"
                else row.show(row.default)
            )
        properties[row.key] = one
    return {"type": "object", "properties": properties, "additionalProperties": False}
