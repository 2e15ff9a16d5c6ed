# Generated from ninep/client/aio/copying.py by tools/unasync.py. Do not edit.
"""Files and trees between the server and this host: ``getting`` and ``putting`` in one."""

from __future__ import annotations

from ninep.client.blocking.getting import Getting
from ninep.client.blocking.putting import Putting


class Copying(Getting, Putting):
    """The calls that copy between hosts."""
