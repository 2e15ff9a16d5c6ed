"""What the driver asks of an object store, whatever the library: one method for each request.

Keys are text, relative to the prefix that is served. A failure is a ``Refused``: ENOENT for no such
object, ``Changed`` (ESTALE) where the object is not the one that was meant, EACCES, EIO and others
by the table of the implementation. Every method returns, or fails, in a bounded time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Final, NamedTuple

from ninep.errors import Refused
from ninep.linux import Errno
from ninep.wire.types import Buffer

NO_TEXT: Final[Mapping[str, str]] = {}
PARTS: Final = 10_000
"""The most parts that an object can be put in."""


class Changed(Refused):
    """The object is not the one that was read: another client of the store replaced or made it."""

    def __init__(self, key: str) -> None:
        super().__init__(Errno.ESTALE, f"another client of the store changed {key!r}")


class Info(NamedTuple):
    """What a store knows of an object."""

    key: str
    size: int
    """Bytes."""
    etag: str
    modified: int
    """Nanoseconds since 1970."""
    metadata: Mapping[str, str] | None = None
    """Text by names in lower case; None: not asked, as in a listing."""
    headers: Mapping[str, str] = NO_TEXT
    """What it says of its content (``ContentType`` and others), to be kept by a copy."""


class Page(NamedTuple):
    """A part of a listing."""

    objects: list[Info]
    prefixes: list[str]
    """What several keys begin with, up to and with the next ``/``."""
    after: str
    """For the next page; empty: there is none."""


class Store(ABC):
    """A bucket, from a prefix on. All methods may be called from several threads at once."""

    @abstractmethod
    def head(self, key: str) -> Info:
        """Everything about an object but its content."""

    @abstractmethod
    def get(self, key: str, offset: int, count: int, etag: str) -> bytes:
        """Exactly ``count`` bytes from ``offset``; ``Changed`` unless the object has this ETag."""

    @abstractmethod
    def put(self, info: Info, body: Buffer, *, etag: str | None, new: bool = False) -> str:
        """Put the content and the metadata of ``info`` under its key. Returns the new ETag.

        ``etag``: ``Changed`` unless this is what is there now. ``new``: ``Changed`` if anything is.
        """

    @abstractmethod
    def copy(self, source: str, info: Info, etag: str | None, *, replace: bool) -> str:
        """Copy within the store to the key of ``info``; with ``replace`` its metadata are those of
        ``info``. Returns the ETag of the copy. ``Changed`` unless the source has this ETag.
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Delete an object; no error if there is none."""

    @abstractmethod
    def listing(self, prefix: str, after: str = "", *, deep: bool = False, limit: int = 1000) -> Page:
        """Objects whose keys begin with ``prefix``, in order; unless ``deep`` those with another
        ``/`` are in ``prefixes``.
        """

    @abstractmethod
    def begin(self, info: Info) -> str:
        """Begin an upload in parts. Returns its name."""

    @abstractmethod
    def part(self, key: str, upload: str, number: int, body: Buffer) -> str:
        """Upload part ``number`` (from 1). Returns its ETag."""

    @abstractmethod
    def complete(self, key: str, upload: str, parts: list[str], *, etag: str | None, new: bool = False) -> str:
        """Make the object of its parts, under the conditions of ``put``. Returns its ETag."""

    @abstractmethod
    def abort(self, key: str, upload: str) -> None:
        """Give an upload up. Must not fail."""

    def close(self) -> None:  # noqa: B027 - many have nothing to close
        """No method will be called any more."""
