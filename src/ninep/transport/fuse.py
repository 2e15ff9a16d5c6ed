"""What the addresses of FUSE mounts have in common: a place, and options after it
(``PLACE,KEY=VALUE,...``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, TypeVar

from ninep.options import FLAG, BadOption, Kind, OptionSet, choice, option, read_words, rows, split_commas, text
from ninep.transport import BadAddress

PROTOCOL: Final = "fuse"
"""The name of the protocol in the rows of these transports."""
LONGEST_CACHE: Final = 1e9
NONE: Final = "none"
O = TypeVar("O", bound=OptionSet)  # noqa: E741 - a type


def _read_cache(given: str) -> float:
    if given == NONE:
        return 0.0
    try:
        return _check_cache(float(given))
    except ValueError:
        raise BadOption(
            f"{given!r} is not a number of seconds, or none: nothing tells the kernel of what others change"
        ) from None


def _check_cache(given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float)) or math.isnan(given) or given < 0:
        raise BadOption(f"{given!r} is not a number of seconds")
    return min(float(given), LONGEST_CACHE)


def _show_cache(seconds: float) -> str:
    return f"{seconds:g}" if seconds else NONE


CACHE: Final[Kind[float]] = Kind(
    "SECONDS|none",
    _read_cache,
    _check_cache,
    _show_cache,
    {"anyOf": [{"type": "number", "minimum": 0}, {"const": NONE}]},
)


@dataclass(frozen=True, kw_only=True)
class MountOptions(OptionSet):
    """What can be chosen for one mount."""

    export: str = option(
        "", text("a name", "NAME"), "The export; without it the one that has no name, or the only one."
    )
    cache: float = option(
        1.0,
        CACHE,
        "For how long the kernel may keep names and attributes: what others change is seen so much "
        "later. none: it asks each time.",
    )
    locks: str = option(
        "local",
        choice(("local", "shared")),
        "local: the kernel keeps its own locks. shared: those of fcntl(2) are the export's, which hold "
        "against its other clients and programs of the host; flock(2) stays the kernel's.",
    )
    posix_acl: bool = option(
        False,
        FLAG,
        "The kernel keeps POSIX ACLs (acl(5)), stored as the security model stores them. It asks for the "
        "ACL of each file whose permissions it checks, which takes time.",
    )


DEFAULT: Final = MountOptions()


def split(rest: str, options: type[O], expected: str) -> tuple[str, O]:
    """The place and the options of an address. ``BadAddress``."""
    try:
        place, *parts = split_commas(rest) or [""]
        if not place or place.partition("=")[0] in {row.key for row in rows(options)}:
            raise BadAddress(f"{expected.partition(':')[0]}: needs a path, {expected}")
        return place, options(**read_words(parts, rows(options)))
    except BadOption as error:
        raise BadAddress(str(error)) from None


def show(place: str, options: OptionSet) -> str:
    """The reverse: what ``split`` reads."""
    given = [(row, getattr(options, row.name)) for row in rows(type(options))]
    words = [f"{row.key}={row.show(value)}" for row, value in given if value != row.default]
    return ",".join(word.replace(",", ",,") for word in (place, *words))
