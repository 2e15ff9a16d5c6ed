"""A client for any 9P server, with two equal interfaces: asyncio (``ninep.client.aio``) and
blocking (``ninep.client.blocking``).

===============  ==================================================================
``exchange``     requests to bytes, bytes to checked replies; no I/O
``aio``          connection, verbs of each dialect, files, paths, copies, on asyncio
``blocking``     its own connection; the rest is generated from ``aio`` (``tools/unasync.py``)
``address`` ...  code that both interfaces use, without I/O on the connection
===============  ==================================================================
"""
