"""Copies of files and trees between the server and this host: ``getting`` and ``putting``
combined.
"""

from __future__ import annotations

from ninep.client.aio.getting import Getting
from ninep.client.aio.putting import Putting


class Copying(Getting, Putting):
    """Calls that copy between hosts."""
