"""Whose files are whose: ids of the client and ids of the driver, put into each other on every way in and out.

``IdMap`` shifts ranges, as user namespaces do: a container's root owns host files of uid 100000. ``Squash`` makes everybody, or just root,
the same somebody. Both cover what getattr shows, what create and chown give, who asks (``by``), and the ids inside ACLs.

Rules

* An id outside all ranges is shown, and taken, as the overflow id 65534 (``/proc/sys/kernel/overflowuid``); ``NO_ID`` stays
  ``NO_ID``.
* Root that a map knows stays root where privileges are dropped; root that is squashed or unmapped does not.

Knows nothing of permissions: what an owner may do is for the client's kernel, or for ``run_as``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

from ninep.errors import Refused
from ninep.layers.acl import ACL_NAMES, translate
from ninep.layers.base import FileWrapper, Wrapper
from ninep.linux import NO_ID, Errno
from ninep.node import Attributes, Buffer, Changes, Node, OpenFile, Qid, User

OVERFLOW_ID: Final = 65534
ALL_IDS: Final = NO_ID  # how many ids there are: NO_ID itself is none


class Range(NamedTuple):
    """``length`` ids from ``client`` on are the driver's ids from ``host`` on."""

    client: int
    host: int
    length: int = 1


class Ranges:
    """A table of ranges, read both ways. ValueError for ranges that overlap or that leave 0 .. 2**32 - 2."""

    def __init__(self, ranges: Iterable[Range]) -> None:
        table = [Range(*r) for r in ranges]
        self._in = _Table([(r.client, r.host, r.length) for r in table])
        self._out = _Table([(r.host, r.client, r.length) for r in table])

    def to_host(self, number: int) -> int:
        """The driver's id for one of the client's."""
        return self._in.find(number)

    def to_client(self, number: int) -> int:
        """The client's id for one of the driver's."""
        return self._out.find(number)

    def owner(self, number: int | None) -> int | None:
        """The driver's id for a chown. The overflow id, unless it is one of the client's own, is what files outside the ranges
        show: sent back (FreeBSD's client sends owner and group together) it means that nothing shall change.
        """
        if number is None:
            return None
        given = self._in.find(number)
        return None if number == OVERFLOW_ID == given and not self._in.has(number) else given

    @classmethod
    def parse(cls, text: str) -> Ranges:
        """``CLIENT:HOST:LENGTH`` or ``CLIENT:HOST``, several with commas between. ValueError with a sentence."""
        ranges = []
        for part in text.split(","):
            numbers = part.strip().split(":")
            if len(numbers) not in {2, 3} or not all(number.isascii() and number.isdigit() for number in numbers):
                raise ValueError(f"{part!r} is no range of ids: write CLIENT:HOST:LENGTH")
            ranges.append(Range(*map(int, numbers)))
        return cls(ranges)


class _Table:
    """One direction."""

    def __init__(self, rows: list[tuple[int, int, int]]) -> None:
        self._rows = sorted(rows)
        self._starts = [start for start, _, _ in self._rows]
        end = 0
        for start, to, length in self._rows:
            if length < 1 or min(start, to) < 0 or max(start, to) + length > ALL_IDS:
                raise ValueError(f"{length} ids from {start} as {to} and so on: not a range of ids")
            if start < end:
                raise ValueError(f"id {start} is in two ranges")
            end = start + length

    def _row(self, number: int) -> tuple[int, int, int] | None:
        at = bisect_right(self._starts, number) - 1
        if at >= 0 and number < self._rows[at][0] + self._rows[at][2]:
            return self._rows[at]
        return None

    def has(self, number: int) -> bool:
        return self._row(number) is not None

    def find(self, number: int) -> int:
        row = self._row(number)
        if row is not None:
            return row[1] + number - row[0]
        return number if number == NO_ID else OVERFLOW_ID


class Ids(Protocol):
    """What a node needs to know of a policy."""

    def shown_uid(self, uid: int) -> int:
        """How the client sees the driver's uid."""

    def shown_gid(self, gid: int) -> int:
        """How the client sees the driver's gid."""

    def given_uid(self, uid: int) -> int:
        """Whose a new file is, of which the client says it is this uid's."""

    def given_gid(self, gid: int) -> int:
        """The same for the group."""

    def chowned(self, changes: Changes) -> Changes:
        """What a chown comes to."""

    def asker(self, uid: int) -> int:
        """Who asks: 0 only if root may be root here."""


class IdMap:
    """The layer that shifts ranges: ``IdMap(Ranges.parse("0:100000:65536"), ...)``."""

    def __init__(self, uids: Ranges, gids: Ranges) -> None:
        self.shown_uid = uids.to_client
        self.shown_gid = gids.to_client
        self.given_uid = uids.to_host
        self.given_gid = gids.to_host
        self._uids = uids
        self._gids = gids
        self._root = 0 if uids.to_host(0) != OVERFLOW_ID else OVERFLOW_ID

    def __call__(self, root: Node, user: User) -> Node:  # noqa: ARG002 - the same map for everybody
        """Wrap a root."""
        return Mapped(root, self)

    def chowned(self, changes: Changes) -> Changes:
        """Mapped ids."""
        touch = changes.touch or changes.uid is not None or changes.gid is not None
        return changes._replace(uid=self._uids.owner(changes.uid), gid=self._gids.owner(changes.gid), touch=touch)

    def asker(self, uid: int) -> int:
        """Root that the map knows is root (it is the owner's root, as in a user namespace)."""
        return self._root if uid == 0 else uid


class Squash:
    """The layer that makes everybody (or, with ``root_only``, root) the same somebody.

    Files keep showing the owners they have. When everybody is squashed a chown changes no owner: a client that could give files to
    the common somebody would take those of others.
    """

    def __init__(self, uid: int = OVERFLOW_ID, gid: int = OVERFLOW_ID, *, root_only: bool = False) -> None:
        self._uid = uid
        self._gid = gid
        self._root_only = root_only

    def __call__(self, root: Node, user: User) -> Node:  # noqa: ARG002 - whoever it is
        """Wrap a root."""
        return Mapped(root, self)

    def shown_uid(self, uid: int) -> int:
        """As it is."""
        return uid

    def shown_gid(self, gid: int) -> int:
        """As it is."""
        return gid

    def given_uid(self, uid: int) -> int:
        """The somebody's."""
        return uid if self._root_only and uid != 0 else self._uid

    def given_gid(self, gid: int) -> int:
        """The somebody's group's."""
        return gid if self._root_only and gid != 0 else self._gid

    def chowned(self, changes: Changes) -> Changes:
        """With ``root_only``, to anybody but root; else to nobody else."""
        uid, gid = changes.uid, changes.gid
        if uid is None and gid is None:
            return changes
        if not self._root_only:
            return changes._replace(uid=None, gid=None, touch=True)
        return changes._replace(
            uid=None if uid is None else self.given_uid(uid), gid=None if gid is None else self.given_gid(gid)
        )

    def asker(self, uid: int) -> int:
        """Never root, unless the somebody is."""
        return self.given_uid(uid)


class Mapped(Wrapper):
    """A node whose ids are the client's."""

    __slots__ = ()
    layer: Ids

    def wrap_file(self, file: OpenFile) -> OpenFile:
        # All that a file ever asks is whether root is writing: where root may be root, the file is handed through as it is.
        return file if self.layer.asker(0) == 0 else MappedFile(file, self)

    def getattr(self, mask: int) -> Attributes:
        a = self.inner.getattr(mask)
        layer = self.layer
        return Attributes._make((*a[:5], layer.shown_uid(a[5]), layer.shown_gid(a[6]), *a[7:]))

    def setattr(self, changes: Changes) -> None:
        changes = self.layer.chowned(changes)
        self.inner.setattr(changes._replace(by=self.layer.asker(changes.by)))

    def open(self, flags: int, by: int = NO_ID) -> OpenFile:
        return super().open(flags, self.layer.asker(by))

    def create(self, name: bytes, flags: int, mode: int, uid: int, gid: int) -> tuple[Node, OpenFile]:
        return super().create(name, flags, mode, self.layer.given_uid(uid), self.layer.given_gid(gid))

    def mkdir(self, name: bytes, mode: int, uid: int, gid: int) -> Qid:
        return super().mkdir(name, mode, self.layer.given_uid(uid), self.layer.given_gid(gid))

    def symlink(self, name: bytes, target: bytes, uid: int, gid: int) -> Qid:
        return super().symlink(name, target, self.layer.given_uid(uid), self.layer.given_gid(gid))

    def mknod(self, name: bytes, mode: int, rdev: int, uid: int, gid: int) -> Qid:
        return super().mknod(name, mode, rdev, self.layer.given_uid(uid), self.layer.given_gid(gid))

    def getxattr(self, name: bytes) -> bytes:
        value = super().getxattr(name)
        if name not in ACL_NAMES:
            return value
        try:
            return translate(value, self.layer.shown_uid, self.layer.shown_gid)
        except Refused:  # any other errno would make Linux fail each look-up of this file (fs/9p/acl.c)
            raise Refused(Errno.ENODATA, "what is stored is no ACL") from None

    def setxattr(self, name: bytes, value: bytes, flags: int) -> None:
        if name in ACL_NAMES:
            value = translate(value, self.layer.given_uid, self.layer.given_gid)
        super().setxattr(name, value, flags)


class MappedFile(FileWrapper):
    """A file that root does not write as root."""

    __slots__ = ()

    def write(self, offset: int, data: Buffer, by: int = NO_ID) -> int:
        return self.inner.write(offset, data, by or OVERFLOW_ID)

    def truncate(self, size: int, by: int = NO_ID) -> None:
        self.inner.truncate(size, by or OVERFLOW_ID)
