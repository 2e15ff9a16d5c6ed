"""The connection without I/O: ``framing`` cuts messages out of a byte stream, ``tags`` keeps the order of flushes. Both roles use it."""
