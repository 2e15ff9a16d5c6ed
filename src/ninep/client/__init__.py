"""A client for any 9P server: asyncio (``ninep.client.aio``) and blocking (``ninep.client.blocking``), with the same calls.

===============  ==================================================================
``exchange``     requests to bytes, bytes to checked replies; no I/O
``aio``          connection, verbs of each dialect, files, paths, copies, on asyncio
``blocking``     its own connection; the rest is generated from ``aio`` (``tools/unasync.py``)
``address`` ...  what both faces share, pure
===============  ==================================================================
"""
