# Generated from ninep/client/aio/copying.py by tools/unasync.py. Do not edit.
"""Copies of files and trees between the server and this host: ``getting`` and ``putting``
combined.
"""

from __future__ import annotations

from ninep.client.blocking.getting import Getting
from ninep.client.blocking.putting import Putting


class Copying(Getting, Putting):
    """Calls that copy between hosts."""
