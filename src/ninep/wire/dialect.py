"""The dialects, and the negotiation of Tversion.

=============  =========  =================================================================
dialect        encoding   messages
=============  =========  =================================================================
``9P2000``     plain      the base messages; errors in words
``9P2000.u``   extended   the base messages with numeric ids, links and devices; errno too
``9P2000.L``   extended   the Linux messages **and** the base ones (FreeBSD's client sends Tcreate)
=============  =========  =================================================================
"""

from __future__ import annotations

from enum import Enum

from ninep.wire.codec import Codec, codec


class Dialect(Enum):
    """A version string. ``UNKNOWN`` is the server's answer to an unknown string (version(5))."""

    LINUX = b"9P2000.L"
    UNIX = b"9P2000.u"
    BASE = b"9P2000"
    UNKNOWN = b"unknown"

    @property
    def extended(self) -> bool:
        """Whether messages have the fields that plain 9P2000 lacks."""
        return self in {Dialect.LINUX, Dialect.UNIX}

    @property
    def codec(self) -> Codec:
        """The compiled messages."""
        return codec(extended=self.extended)


def negotiate(version: bytes) -> Dialect:
    """The dialect for a client's version string.

    version(5): the part after a period is a variant. The server removes one such suffix after the
    other, from the right, until it recognises the string: ``9P2000.L.Google.7`` gets ``9P2000.L``,
    ``9P2000.x.L`` gets ``9P2000``. The result is the longest known string that ends where a period
    follows; it is found without splitting what may be 64 KiB of periods. Case matters (``9P2000.l``
    is a variant of ``9P2000``). A number other than 2000 gets ``unknown``, also a larger one, for
    which version(5) would allow ``9P2000``.
    """
    for dialect in (Dialect.LINUX, Dialect.UNIX, Dialect.BASE):
        if version == dialect.value or version.startswith(dialect.value + b"."):
            return dialect
    return Dialect.UNKNOWN
