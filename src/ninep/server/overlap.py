"""Exports of one server that show the same files of the host.

Where both keep owners in the same way, clients of one are to the other what a program of the host
is, and that is all. Where they do not, one may write what the other believes: through a ``none``
export the attributes and records in which a mapped model keeps owners are files and attributes like
any.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from itertools import combinations

from ninep.node import Source
from ninep.server.exports import Export

log = logging.getLogger("ninep.server")


class Overlap(ValueError):
    """Two exports that share files and differ in how owners are kept; the text is one sentence."""


def check(exports: Iterable[Export], *, permitted: bool = False) -> None:
    """``Overlap``, or a warning where owners are kept in the same way or it is permitted."""
    placed = [(export, source) for export in exports if (source := export.driver.source()) is not None]
    for (one, first), (other, second) in combinations(placed, 2):
        if not share(first, second):
            continue
        owners = one.owners(first), other.owners(second)
        both = f"{_words(one, first, owners[0])} and {_words(other, second, owners[1])} share files"
        if owners[0] == owners[1]:
            log.warning("%s: to clients of one, what clients of the other do is done by a program of the host", both)
        elif permitted:
            log.warning("%s: clients of one can forge the owners that the other shows", both)
        else:
            raise Overlap(
                f"{both} and keep their owners in different ways, so that clients of one could forge what the other shows: "
                "give both the same security model and the same users"
            )


def share(one: Source, other: Source) -> bool:
    """Is one of the folders the other or in it, or do they show parts of a filesystem of which that
    is so?
    """
    if any(place in other.above for place in one.above[:1]) or any(place in one.above for place in other.above[:1]):
        return True
    return any(
        device == their_device and (_is_in(path, theirs) or _is_in(theirs, path))
        for device, path in one.areas
        for their_device, theirs in other.areas
    )


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _words(export: Export, source: Source, owners: str) -> str:
    name = f"{export.name!r} = " if export.name else ""
    return f"{name}{source.path} ({owners})"
