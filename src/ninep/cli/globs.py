r"""Patterns in locations: ``HOST:PORT/dir/*.c``, as a shell would have it (glob(7)).

``*``, ``?`` and ``[...]`` stand for characters of one name; a name that begins with a dot is matched
by a pattern that begins with one. A path that exists is taken as it is, whatever is in its names,
and so is one that matches nothing: the command then says that it is missing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from ninep.client.address import Location
from ninep.client.errors import about, refusal
from ninep.client.paths import join
from ninep.linux import Errno

if TYPE_CHECKING:
    from ninep.client.blocking import Client

MAX_MATCHES: Final = 1 << 20
_MAGIC: Final = re.compile(r"[*?[]")


def has_pattern(path: str) -> bool:
    """Whether there is a pattern in a path."""
    return _MAGIC.search(path) is not None


def expanded(client: Client, location: Location) -> list[Location]:
    """The locations that match, sorted; the location itself if nothing does. ``OSError`` if a
    directory cannot be listed, E2BIG for more than ``MAX_MATCHES``.
    """
    if not has_pattern(location.path) or client.exists(location.path, follow=True):
        return [location]
    found = ["/"]
    for name in filter(None, location.path.split("/")):
        found = _step(client, found, name)
        if len(found) > MAX_MATCHES:
            with about(location.path):
                raise refusal(Errno.E2BIG, f"matches more than {MAX_MATCHES} files")
    return [Location(location.address, path) for path in found] or [location]


def _step(client: Client, found: list[str], name: str) -> list[str]:
    if not has_pattern(name):
        return [path for path in (join(one, name) for one in found) if client.exists(path, follow=True)]
    return [path for one in found for path in _matches(client, one, name)]


def _matches(client: Client, directory: str, pattern: str) -> Iterator[str]:
    try:
        names = client.listdir(directory, follow=True)
    except NotADirectoryError:
        return
    for name in sorted(names):
        if fnmatchcase(name, pattern) and (pattern.startswith(".") or not name.startswith(".")):
            yield join(directory, name)
