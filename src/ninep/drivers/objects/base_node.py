"""What the other modules know of a node: its state, and the verbs that they call."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from typing import Self

from ninep.drivers.objects.blocking import Lock
from ninep.drivers.objects.metadata import ObjectAttrs
from ninep.drivers.objects.spool import Spool
from ninep.drivers.objects.store import NO_TEXT, Info
from ninep.errors import Refused, linux_errno
from ninep.linux import O_ACCMODE, O_RDONLY, S_IFDIR
from ninep.node import Node


def without_frames(error: OSError) -> Refused:
    """The same to be kept: the frames of an error have contents, which would take room in the spool."""
    return Refused(linux_errno(error), str(error.args[0]) if isinstance(error, Refused) else str(error))


class BaseNode(Node):
    """An object or a directory that fids hold. What is stated of its content is guarded by ``lock``,
    its name and references by the lock of the tables.
    """

    def __init__(self, key: str, number: int, attrs: ObjectAttrs, info: Info | None = None) -> None:
        self.key = key
        """Without the ``/`` of a directory; empty for the root."""
        self.number = number
        """The qid path."""
        self.attrs = attrs
        self.size = info.size if info is not None else 0
        self.etag = info.etag if info is not None else ""
        """Empty: the store has no such object (yet), or the directory no marker."""
        self.base = self.etag
        """The ETag of what this server read first; what it puts itself is counted in ``changes``."""
        self.headers: Mapping[str, str] = info.headers if info is not None else NO_TEXT
        self.asked = time.monotonic()
        self.refs = 0
        self.files = 0
        """Open files."""
        self.writers = 0
        self.spool: Spool | None = None
        """The content, while it is written, or has no name any more."""
        self.dirty = False
        """The store has not what ``spool`` has."""
        self.attrs_dirty = False
        self.tried = False
        """It was put, and the store may have it although it has no ETag yet: the reply may have been lost."""
        self.changes = 0
        """Of the content, by this server."""
        self.generation = 0
        """How often another client of the store replaced it."""
        self.deleted = False
        self.failed: Refused | None = None
        """Why it could not be put; not said to a client yet."""
        self.lock = Lock()

    @property
    def is_dir(self) -> bool:
        return self.attrs.kind == S_IFDIR

    @property
    def object_key(self) -> str:
        return self.key + "/" if self.is_dir and self.key else self.key

    @property
    def may_be_there(self) -> bool:
        """The store has an object of this key, as far as is known, or a directory has names."""
        return self.is_dir or self.tried or bool(self.etag)

    @property
    def unsaved(self) -> bool:
        """The store has not what it should have."""
        return (self.dirty or self.attrs_dirty) and not self.deleted

    def ref(self) -> None:
        """One reference more; with the lock of the tables held."""
        self.refs += 1

    def unref(self) -> bool:
        """And one less. Whether it was the last."""
        self.refs -= 1
        return not self.refs

    def set_deleted(self) -> None:
        """Its name is gone."""
        self.deleted = True

    def set_key(self, key: str) -> None:
        """It has another name."""
        self.key = key

    def put_as(self, etag: str) -> None:
        """The store has it under this ETag now."""
        self.etag = etag

    def begin(self, spool: Spool, *, dirty: bool) -> None:
        """A new file: its content is here."""
        self.spool, self.dirty = spool, dirty
        self.size = spool.size

    def touch_attrs(self) -> None:
        """The store has not these attributes."""
        self.attrs_dirty = True

    def put_content(self, etag: str) -> None:
        """The store has all of it, under this ETag; with ``lock`` held."""
        self.etag = etag
        self.dirty = self.attrs_dirty = False
        self.failed = None
        self.asked = time.monotonic()

    def expire(self) -> None:
        """What is known of it is too old."""
        self.asked = float("-inf")

    def fail(self, error: OSError) -> None:
        """It could not be put: the next who changes, opens or closes it is told."""
        self.failed = without_frames(error)

    def say(self) -> None:
        """Raise why it could not be put, once."""
        failed, self.failed = self.failed, None
        if failed is not None:
            raise failed

    def opened(self, flags: int) -> None:
        """One open file more."""
        self.files += 1
        self.writers += flags & O_ACCMODE != O_RDONLY

    def closed(self, flags: int) -> None:
        """And one less."""
        self.files -= 1
        self.writers -= flags & O_ACCMODE != O_RDONLY

    def drop_spool(self) -> None:
        """Keep no local copy that is not needed; with ``lock`` held."""
        if not self.files and (self.deleted or not self.dirty):
            self.spool = None

    @abstractmethod
    def clone(self) -> Self:
        """As of every node."""

    @abstractmethod
    def refresh(self) -> None:
        """Ask the store again, if that was too long ago and nothing is being written here. ENOENT if
        the name is gone.
        """

    @abstractmethod
    def at(self, key: str) -> BaseNode:
        """The node of any key of this export, held. ENOENT."""

    @abstractmethod
    def new(self, key: str, attrs: ObjectAttrs) -> BaseNode:
        """A node of this export that neither the tables nor the store have yet."""

    @abstractmethod
    def writable(self) -> Spool:
        """The local copy, to be changed; with ``lock`` held."""

    @abstractmethod
    def changed(self, by: int) -> None:
        """The local copy was changed; with ``lock`` held."""

    @abstractmethod
    def truncate(self, size: int, by: int) -> None:
        """Set the size of the local copy."""

    @abstractmethod
    def settle(self) -> None:
        """Put what the store has not. On an error it is still to be put, unless another client
        replaced the object: then what was written here is given up.
        """

    @abstractmethod
    def give_up(self, error: OSError) -> None:
        """What was written is lost: the store has refused it for too long."""

    @abstractmethod
    def keep_for_readers(self) -> None:
        """Its name is about to go: those who have it open need the content. What does not fit is
        ESTALE for them.
        """
