"""A connection without I/O, for server and client: ``framing`` splits a byte stream into messages,
``tags`` implements the order of flushes.
"""
