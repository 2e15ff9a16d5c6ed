"""Walks of several names on hosts where nodes keep no path handles
(``host.HANDLES_BLOCK_RENAME``).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TypeVar

from ninep.drivers.local.node_table import TableEntry
from ninep.node import Qid

N = TypeVar("N", bound=TableEntry)


def through_held(node: N, names: Sequence[bytes]) -> tuple[N, list[Qid]]:
    """``Node.through``: each name is opened once, below the handle of the one before, which is kept
    until the walk ends.
    """
    qids: list[Qid] = []
    with node.table.handles.keep_handles(), suppress(OSError):  # which the walk that follows runs into, too
        for name in names:
            if not name or b"/" in name or b"\0" in name:
                break
            found = node.walk(name)
            if qids:
                node.release()
            node = found
            qids.append(found.qid)
    return node, qids
