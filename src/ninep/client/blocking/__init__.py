"""The blocking client. All modules except ``connection`` and ``raw`` are generated from
``ninep.client.aio`` by ``tools/unasync.py``.
"""

from ninep.client.blocking.client import Client, attach, connect
from ninep.client.blocking.connection import Connection, open_connection
from ninep.client.blocking.file import File
from ninep.client.blocking.raw import raw

__all__ = ["Client", "Connection", "File", "attach", "connect", "open_connection", "raw"]
