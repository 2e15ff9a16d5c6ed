"""The blocking face of the client. All but ``connection`` and ``raw`` is generated from ``ninep.client.aio`` by ``tools/unasync.py``."""

from ninep.client.blocking.client import Client, attach, connect
from ninep.client.blocking.connection import Connection, open_connection
from ninep.client.blocking.file import File
from ninep.client.blocking.raw import raw

__all__ = ["Client", "Connection", "File", "attach", "connect", "open_connection", "raw"]
