"""The dialects, and what Tversion agrees on.

=============  =========  =================================================================
dialect        encoding   has
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
    """A version string; ``UNKNOWN`` is what a server answers to strings it does not know (version(5))."""

    LINUX = b"9P2000.L"
    UNIX = b"9P2000.u"
    BASE = b"9P2000"
    UNKNOWN = b"unknown"

    @property
    def extended(self) -> bool:
        """Whether messages carry the fields that plain 9P2000 lacks."""
        return self in {Dialect.LINUX, Dialect.UNIX}

    @property
    def codec(self) -> Codec:
        """The compiled messages."""
        return codec(extended=self.extended)


def negotiate(version: bytes) -> Dialect:
    """The dialect for a client's version string.

    Exact for ``.L`` and ``.u``. Otherwise version(5): what stands after a period is a variant we may refuse by agreeing on the
    part before it, so ``9P2000.x`` gets ``9P2000``; a string that does not begin with that gets ``unknown``.
    """
    if version in {Dialect.LINUX.value, Dialect.UNIX.value}:
        return Dialect(version)
    if version.partition(b".")[0] == Dialect.BASE.value:
        return Dialect.BASE
    return Dialect.UNKNOWN
