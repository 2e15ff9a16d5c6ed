"""Ids of the client and ids of the driver, translated in requests and replies.

``IdMap`` shifts ranges, as user namespaces do: a container's root owns host files of uid 100000.
``Squash`` maps all users, or root alone, to one user. Both translate the results of getattr, the
owners of create and chown, the acting user (``by``), and the ids inside ACLs.

Rules

* An id outside all ranges is shown, and taken, as the overflow id 65534
  (``/proc/sys/kernel/overflowuid``).
* A client that names no id (``NO_ID``) is outside all ranges, and is squashed wherever root is:
  below these layers ``NO_ID`` would mean the user and group of the server process. In a chown
  ``NO_ID`` leaves the owner or the group alone, as -1 does in chown(2).
* An entry that an ACL has already stays whose it is when the client sends it back. So does what a new
  file gets of its directory's default ACL: that is made by the client's kernel, which sees the
  overflow id, while on the host the file system inherits ids that a mount does not map as they are.
* Where privileges are dropped, root stays root if the map has it, and does not if it is squashed or
  unmapped.

Permissions are checked by the client's kernel, or by ``run_as``, not here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from ninep.errors import Refused
from ninep.layers import LayerType, Settings
from ninep.layers.acl import ACL_NAMES, EntryIds, acl_of, default_above, given_acl, translate
from ninep.layers.base import FileWrapper, Wrapper
from ninep.linux import GETATTR_BASIC, NO_ID, S_ISGID, Errno
from ninep.node import Attributes, Buffer, Changes, Identity, Node, OpenFile, Qid, User
from ninep.options import BadOption, OptionSet, choice, option, parsed
from ninep.wire import posix_acl

OVERFLOW_ID: Final = 65534
ALL_IDS: Final = NO_ID  # the number of ids: NO_ID itself is not one
_SQUASHED: Final = (0, NO_ID)  # root, and a user without a number


class Range(NamedTuple):
    """``length`` ids from ``client`` on are the driver's ids from ``host`` on."""

    client: int
    host: int
    length: int = 1


class Ranges:
    """A table of ranges, read both ways. ValueError for ranges that overlap or that leave 0 ..
    2**32 - 2.
    """

    def __init__(self, ranges: Iterable[Range]) -> None:
        table = sorted(Range(*r) for r in ranges)
        self._shown = ",".join(":".join(map(str, one)) for one in table)
        self._in = _Table([(r.client, r.host, r.length) for r in table])
        self._out = _Table([(r.host, r.client, r.length) for r in table])

    def __str__(self) -> str:
        return self._shown

    def to_host(self, number: int) -> int:
        """The driver's id for one of the client's."""
        return self._in.find(number)

    def to_client(self, number: int) -> int:
        """The client's id for one of the driver's."""
        return self._out.find(number)

    def owner(self, number: int | None) -> int | None:
        """The driver's id for a chown. The overflow id, unless it is one of the client's own, is
        what files outside the ranges show: sent back (FreeBSD's client sends owner and group
        together) it means that nothing shall change.
        """
        if number is None or number == NO_ID:
            return None
        given = self._in.find(number)
        return None if number == OVERFLOW_ID == given and not self._in.has(number) else given

    @classmethod
    def parse(cls, text: str) -> Ranges:
        """``CLIENT:HOST:LENGTH`` or ``CLIENT:HOST``, several with commas between. ValueError with a
        sentence.
        """
        ranges = []
        for part in text.split(","):
            numbers = part.strip().split(":")
            if len(numbers) not in {2, 3} or not all(number.isascii() and number.isdigit() for number in numbers):
                raise ValueError(f"{part!r} is not a range of ids: write CLIENT:HOST:LENGTH")
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
                raise ValueError(
                    f"{start}:{to}:{length} is not a range of ids: LENGTH is at least 1, ids are below {ALL_IDS}"
                )
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


class Ids(EntryIds, Protocol):
    """How a policy translates ids."""

    def chowned(self, changes: Changes) -> Changes:
        """The changes that a chown makes."""

    def acting_uid(self, uid: int) -> int:
        """The uid that acts: 0 only if the client's root is root here."""


class IdMap:
    """The layer that shifts ranges: ``IdMap(Ranges.parse("0:100000:65536"), ...)``."""

    def __init__(self, uids: Ranges, gids: Ranges) -> None:
        self.shown_uid = uids.to_client
        self.shown_gid = gids.to_client
        self._uids = uids
        self._gids = gids
        self._root = 0 if uids.to_host(0) != OVERFLOW_ID else OVERFLOW_ID

    @property
    def owners(self) -> str:
        """How owners are translated, for messages."""
        return f"map-uids {self._uids}, map-gids {self._gids}"

    def __call__(self, root: Node, user: User) -> Node:  # noqa: ARG002 - one map for all users
        """Wrap a root."""
        return IdMapped(root, self, self)

    def given_uid(self, uid: int) -> int:
        """The driver's; the overflow id for a client that names none."""
        return OVERFLOW_ID if uid == NO_ID else self._uids.to_host(uid)

    def given_gid(self, gid: int) -> int:
        """The driver's; the overflow id for a client that names none."""
        return OVERFLOW_ID if gid == NO_ID else self._gids.to_host(gid)

    def chowned(self, changes: Changes) -> Changes:
        """Mapped ids."""
        touch = changes.touch or changes.uid is not None or changes.gid is not None
        return changes._replace(uid=self._uids.owner(changes.uid), gid=self._gids.owner(changes.gid), touch=touch)

    def acting_uid(self, uid: int) -> int:
        """Root that the map knows is root (it is the owner's root, as in a user namespace)."""
        return self._root if uid == 0 else uid


class Squash:
    """The layer that maps all users (or, with ``root_only``, root) to one user.

    Files keep showing the owners they have. When all users are squashed a chown changes no owner: a
    client that could give files to the common user would take those of others.
    """

    def __init__(self, uid: int = OVERFLOW_ID, gid: int = OVERFLOW_ID, *, root_only: bool = False) -> None:
        self._uid = uid
        self._gid = gid
        self._root_only = root_only

    def __call__(self, root: Node, user: User) -> Node:
        """Wrap a root; where requests run as a user of the host, that one is squashed already and
        the host's kernel decides owners.
        """
        return root if user.identity is not None else IdMapped(root, self, self)

    @property
    def owners(self) -> str:
        """How owners are translated, for messages."""
        return f"squash {'root' if self._root_only else 'all'} to {self._uid}:{self._gid}"

    @property
    def anonymous(self) -> Identity:
        """The user that squashed users become, as a user of the host."""
        return Identity(self._uid, self._gid, ())

    @property
    def all_users(self) -> bool:
        """All users are squashed, so that their own identities are not needed."""
        return not self._root_only

    def squashed(self, identity: Identity) -> Identity:
        """The same of a user of the host: root's number is what counts, whatever its name; also as
        a group (as nfsd_setuser of fs/nfsd/auth.c).
        """
        uid, gid, groups = identity
        if not self._root_only or uid == 0:
            return self.anonymous
        return Identity(uid, self.given_gid(gid), tuple(sorted({self.given_gid(group) for group in groups})))

    def shown_uid(self, uid: int) -> int:
        """As it is."""
        return uid

    def shown_gid(self, gid: int) -> int:
        """As it is."""
        return gid

    def given_uid(self, uid: int) -> int:
        """The anonymous user's."""
        return uid if self._root_only and uid not in _SQUASHED else self._uid

    def given_gid(self, gid: int) -> int:
        """The anonymous user's group's."""
        return gid if self._root_only and gid not in _SQUASHED else self._gid

    def chowned(self, changes: Changes) -> Changes:
        """With ``root_only``, to any user but root; else no change of owner."""
        uid, gid = changes.uid, changes.gid
        if uid is None and gid is None:
            return changes
        if not self._root_only:
            return changes._replace(uid=None, gid=None, touch=True)
        return changes._replace(
            uid=None if uid is None or uid == NO_ID else self.given_uid(uid),
            gid=None if gid is None or gid == NO_ID else self.given_gid(gid),
            touch=True,
        )

    def acting_uid(self, uid: int) -> int:
        """Never root, unless the anonymous user is."""
        return self.given_uid(uid)


class PeerIds:
    """The layer for users whose ids the kernel gives for the peer: an id that a client leaves out
    is the peer's, not the server process's.
    """

    def __init__(self, user: User) -> None:
        self._uid = OVERFLOW_ID if user.uid == NO_ID else user.uid
        self._gid = OVERFLOW_ID if user.gid == NO_ID else user.gid

    def shown_uid(self, uid: int) -> int:
        """As it is."""
        return uid

    def shown_gid(self, gid: int) -> int:
        """As it is."""
        return gid

    def given_uid(self, uid: int) -> int:
        """The one named, or the peer's."""
        return self._uid if uid == NO_ID else uid

    def given_gid(self, gid: int) -> int:
        """The one named, or the peer's."""
        return self._gid if gid == NO_ID else gid

    def chowned(self, changes: Changes) -> Changes:
        """As it is: in a chown an id that is left out stays what it was."""
        return changes

    def acting_uid(self, uid: int) -> int:
        """As it is."""
        return self.given_uid(uid)


def peer_ids(root: Node, user: User) -> Node:
    """The layer ``PeerIds``."""
    return IdMapped(root, peer_ids, PeerIds(user))


class IdMapped(Wrapper):
    """A node whose ids are the client's."""

    __slots__ = ("ids",)

    def __init__(self, inner: Node, layer: object, ids: Ids) -> None:
        super().__init__(inner, layer)
        self.ids = ids

    def wrap(self, inner: Node) -> IdMapped:
        return IdMapped(inner, self.layer, self.ids)

    def wrap_file(self, file: OpenFile) -> OpenFile:
        # A file needs to know only whether root writes: where root is root, it is not wrapped.
        return file if self.ids.acting_uid(0) == 0 else IdMappedFile(file, self)

    def getattr(self, mask: int) -> Attributes:
        a = self.inner.getattr(mask)
        ids = self.ids
        return Attributes._make((*a[:5], ids.shown_uid(a[5]), ids.shown_gid(a[6]), *a[7:]))

    def setattr(self, changes: Changes) -> None:
        changes = self.ids.chowned(changes)
        self.inner.setattr(changes._replace(by=self.ids.acting_uid(changes.by)))

    def open(self, flags: int, by: int = NO_ID) -> OpenFile:
        return super().open(flags, self.ids.acting_uid(by))

    def _group(self, gid: int) -> int:
        """The driver's group of a new file; where none is named, a directory with SGID gives it its
        own (inode_init_owner of fs/inode.c).
        """
        if gid == NO_ID:
            here = self.getattr(GETATTR_BASIC)
            if here.mode & S_ISGID:
                gid = here.gid
        return self.ids.given_gid(gid)

    def create(self, name: bytes, flags: int, mode: int, uid: int, gid: int) -> tuple[Node, OpenFile]:
        return super().create(name, flags, mode, self.ids.given_uid(uid), self._group(gid))

    def tmpfile(self, flags: int, mode: int, uid: int, gid: int) -> tuple[Node, OpenFile]:
        default = acl_of(self.inner, posix_acl.DEFAULT)
        node, file = self.inner.tmpfile(flags, mode, self.ids.given_uid(uid), self._group(gid))
        return IdMappedUnnamed(node, self.layer, self.ids, default), self.wrap_file(file)

    def mkdir(self, name: bytes, mode: int, uid: int, gid: int) -> Qid:
        return super().mkdir(name, mode, self.ids.given_uid(uid), self._group(gid))

    def symlink(self, name: bytes, target: bytes, uid: int, gid: int) -> Qid:
        return super().symlink(name, target, self.ids.given_uid(uid), self._group(gid))

    def mknod(self, name: bytes, mode: int, rdev: int, uid: int, gid: int) -> Qid:
        return super().mknod(name, mode, rdev, self.ids.given_uid(uid), self._group(gid))

    def getxattr(self, name: bytes) -> bytes:
        value = super().getxattr(name)
        if name not in ACL_NAMES:
            return value
        try:
            return translate(value, self.ids.shown_uid, self.ids.shown_gid)
        except Refused:  # any other errno would make Linux fail each look-up of this file (fs/9p/acl.c)
            raise Refused(Errno.ENODATA, "the stored value is not an ACL") from None

    def setxattr(self, name: bytes, value: bytes, flags: int) -> None:
        if name in ACL_NAMES:
            value = given_acl(value, acl_of(self.inner, name), self.default_above, self.ids)
        super().setxattr(name, value, flags)

    def default_above(self) -> bytes:
        """The default ACL of the directory, with the driver's ids; empty if there is none."""
        return default_above(self.inner)


class IdMappedUnnamed(IdMapped):
    """A file without a name, which no directory is found from: it knows what it inherits."""

    __slots__ = ("_default",)

    def __init__(self, inner: Node, layer: object, ids: Ids, default: bytes) -> None:
        super().__init__(inner, layer, ids)
        self._default = default

    def default_above(self) -> bytes:
        return self._default


class IdMappedFile(FileWrapper):
    """A file that root does not write as root."""

    __slots__ = ()

    def write(self, offset: int, data: Buffer, by: int = NO_ID) -> int:
        return self.inner.write(offset, data, by or OVERFLOW_ID)

    def write_from(self, offset: int, buffers: Sequence[memoryview], by: int = NO_ID) -> int:
        return self.inner.write_from(offset, buffers, by or OVERFLOW_ID)

    def truncate(self, size: int, by: int = NO_ID) -> None:
        self.inner.truncate(size, by or OVERFLOW_ID)

    def allocate(self, mode: int, offset: int, length: int, by: int = NO_ID) -> None:
        self.inner.allocate(mode, offset, length, by or OVERFLOW_ID)

    def copy_file_range(self, offset: int, target: OpenFile, target_offset: int, count: int, by: int = NO_ID) -> int:
        return super().copy_file_range(offset, target, target_offset, count, by or OVERFLOW_ID)


USERS: Final = "Access and users"
"""The heading of ``--help`` that the options stand under."""


def parse_user(text: str) -> tuple[int, int]:
    """``UID`` or ``UID:GID``, by number; without a GID it is the number of the user."""
    numbers = text.split(":")
    if len(numbers) > 2 or not all(one.isascii() and one.isdigit() and int(one) < NO_ID for one in numbers):
        raise BadOption(f"{text!r} is not UID or UID:GID")
    return int(numbers[0]), int(numbers[-1])


@dataclass(frozen=True, kw_only=True)
class SquashOptions(OptionSet):
    """Which users become the anonymous user."""

    squash: str = option(
        "none",
        choice(("none", "root", "all", "peer")),
        "Make root, or all users, the user of --anon. peer: every user is the one that the kernel "
        "reports for the other end of the unix socket, whatever the client states.",
        group=USERS,
    )
    anon: tuple[int, int] = option(
        (OVERFLOW_ID, OVERFLOW_ID),
        parsed("UID[:GID]", parse_user, tuple, lambda ids: f"{ids[0]}:{ids[1]}"),
        "The user that they become.",
        group=USERS,
    )


def no_real_privileges(export: Settings) -> None:
    """``BadOption`` if users of the export could set what only root of the host may."""
    if export.model in {"passthrough", "none"} and export.get("xattrs") == "all":
        raise BadOption(
            "xattrs=all gives clients the privileges of the host's root in the security model "
            f"{export.model}: it cannot be combined with squash, map-uids or run-as-user"
        )


def _squash(options: SquashOptions, export: Settings) -> Callable[[Node, User], Node] | None:
    if options.squash != "none" or export.get("cert_user"):
        no_real_privileges(export)
    if options.squash == "peer" or (options.squash == "none" and export.get("cert_user")):
        return None if export.get("run_as_user") else peer_ids
    return None if options.squash == "none" else Squash(*options.anon, root_only=options.squash == "root")


SQUASH: Final = LayerType(200, SquashOptions, _squash)
RANGES: Final = parsed("CLIENT:HOST:N,...", Ranges.parse, Ranges)


@dataclass(frozen=True, kw_only=True)
class IdMapOptions(OptionSet):
    """Which ids are shifted."""

    map_uids: Ranges | None = option(
        None,
        RANGES,
        "N uids of clients, from CLIENT on, are those of the host from HOST on. With --map-gids.",
        group=USERS,
    )
    map_gids: Ranges | None = option(None, RANGES, "The same for groups.", group=USERS)


def _id_map(options: IdMapOptions, export: Settings) -> IdMap | None:
    uids, gids = options.map_uids, options.map_gids
    if uids is not None and gids is not None:
        no_real_privileges(export)
        return IdMap(uids, gids)
    if uids is not None or gids is not None:
        given, missing = ("map-uids", "map-gids") if gids is None else ("map-gids", "map-uids")
        raise BadOption(f"{given} needs {missing}: uids and gids are mapped together")
    return None


ID_MAP: Final = LayerType(300, IdMapOptions, _id_map)
