"""The other protocol of the server: the same exports, layers, limits and threads, served by the
messages of FUSE.

``session`` has the node ids and handles of one mount, ``table`` says which request goes where,
``handlers`` do the work, ``dispatcher`` turns a request into a reply (no I/O), ``connection`` puts
them together with the event loop and worker threads, ``watch`` tells an observer. The messages are
``wire.fuse``, their bytes ``wire.fuse_codec``, the rings of a virtual machine ``transport.virtiofs``.
"""
