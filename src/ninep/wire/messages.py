"""Declarations of all messages of 9P2000, 9P2000.u and 9P2000.L.

A message on the wire is ``size[4] type[1] tag[2]`` and the fields in this order, little-endian;
``size`` includes itself. The number of a class is its ``type``; an R-message has the number of its
T-message plus one. ``codec`` compiles these declarations in both directions, for the server and for
the client.

Sources: intro(5) and the pages it names (9P2000); kernel ``include/net/9p/9p.h`` and
``net/9p/client.c`` (.L); protocol(5) of the 9P2000.u draft. Fields marked Extended exist in .u and
.L only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeVar, dataclass_transform

from ninep.linux import NO_ID
from ninep.wire.types import (
    U8,
    U16,
    U32,
    U64,
    AttributesField,
    Data,
    ExtendedString,
    ExtendedU32,
    OptionalU32,
    QidField,
    Qids,
    Seconds,
    StatField,
    StatfsField,
    String,
    Strings,
)

NOTAG = 0xFFFF
NOFID = 0xFFFFFFFF
MAX_WALK = 16


class Message:
    """Base class of all messages: a record of the fields. The tag belongs to the frame, not to the
    message.
    """

    __slots__ = ()
    number: ClassVar[int]


M = TypeVar("M", bound=Message)
BY_NUMBER: dict[int, type[Message]] = {}


@dataclass_transform()
def message(number: int) -> Callable[[type[M]], type[M]]:
    """Class decorator that declares a message: makes the class a slotted record and adds it to the
    table.
    """

    def declare(cls: type[M]) -> type[M]:
        made: type[M] = dataclass(slots=True)(cls)
        made.number = number
        BY_NUMBER[number] = made
        return made

    return declare


# -- session: version(5), attach(5), flush(5), error(5)


@message(100)
class Tversion(Message):
    """Start a session: the largest message of the client, and the dialect it asks for. Aborts all
    earlier requests.
    """

    msize: U32
    version: String


@message(101)
class Rversion(Message):
    """The msize to use, and the dialect, or ``unknown``."""

    msize: U32
    version: String


@message(102)
class Tauth(Message):
    """Ask for an authentication file, with ``afid`` as its fid."""

    afid: U32
    uname: String
    aname: String
    n_uname: ExtendedU32 = NO_ID


@message(103)
class Rauth(Message):
    """``aqid`` is the qid of the authentication file."""

    aqid: QidField


@message(104)
class Tattach(Message):
    """Make ``fid`` the root of the export ``aname`` for a user; ``afid`` is NOFID without
    authentication.
    """

    fid: U32
    afid: U32
    uname: String
    aname: String
    n_uname: ExtendedU32 = NO_ID


@message(105)
class Rattach(Message):
    """The qid of the root."""

    qid: QidField


@message(107)
class Rerror(Message):
    """A failure, in words (9P2000) or words and a Linux errno (.u)."""

    ename: String
    errno: ExtendedU32 = 0


@message(7)
class Rlerror(Message):
    """A failure in .L: a Linux errno."""

    ecode: U32


@message(108)
class Tflush(Message):
    """Cancel the request with ``oldtag``."""

    oldtag: U16


@message(109)
class Rflush(Message):
    """No reply to ``oldtag`` follows this one."""


# -- fids: walk(5), clunk(5)


@message(110)
class Twalk(Message):
    """Walk from ``fid`` along up to 16 names; ``newfid`` becomes the result. Without names,
    ``newfid`` becomes a copy of ``fid``.
    """

    fid: U32
    newfid: U32
    wnames: Strings


@message(111)
class Rwalk(Message):
    """The qids of the names that exist. If there are fewer than names in the request, ``newfid``
    was not created.
    """

    qids: Qids


@message(120)
class Tclunk(Message):
    """Release a fid. The fid is invalid afterwards, also if the reply is an error."""

    fid: U32


@message(121)
class Rclunk(Message):
    """Done."""


# -- files: open(5), read(5); the .L forms carry Linux flags


@message(112)
class Topen(Message):
    """Open with a 9P2000 mode byte."""

    fid: U32
    mode: U8


@message(113)
class Ropen(Message):
    """``iounit`` is the number of bytes that one read or write transfers as a unit; 0: msize -
    24.
    """

    qid: QidField
    iounit: U32


@message(12)
class Tlopen(Message):
    """Open with Linux flags (``linux.O_*``)."""

    fid: U32
    flags: U32


@message(13)
class Rlopen(Message):
    """As Ropen."""

    qid: QidField
    iounit: U32


@message(114)
class Tcreate(Message):
    """Create and open; ``perm`` with DM* bits, ``extension`` as in stat for links and devices."""

    fid: U32
    name: String
    perm: U32
    mode: U8
    extension: ExtendedString = b""


@message(115)
class Rcreate(Message):
    """As Ropen."""

    qid: QidField
    iounit: U32


@message(14)
class Tlcreate(Message):
    """Create a regular file; the fid becomes the open file."""

    fid: U32
    name: String
    flags: U32
    mode: U32
    gid: U32


@message(15)
class Rlcreate(Message):
    """As Ropen."""

    qid: QidField
    iounit: U32


@message(116)
class Tread(Message):
    """Read a file, an xattr, or (9P2000, .u) stat records of a directory."""

    fid: U32
    offset: U64
    count: U32


@message(117)
class Rread(Message):
    """Fewer bytes than requested only at the end of the file."""

    data: Data


@message(118)
class Twrite(Message):
    """Write."""

    fid: U32
    offset: U64
    data: Data


@message(119)
class Rwrite(Message):
    """The number of bytes written."""

    count: U32


@message(50)
class Tfsync(Message):
    """Flush to stable storage; some clients leave ``datasync`` out."""

    fid: U32
    datasync: OptionalU32 = 0


@message(51)
class Rfsync(Message):
    """Done."""


# -- directories


@message(40)
class Treaddir(Message):
    """Entries after ``offset`` (a cookie; 0 rewinds)."""

    fid: U32
    offset: U64
    count: U32


@message(41)
class Rreaddir(Message):
    """Whole entries only (``dirents``); empty at the end."""

    data: Data


@message(72)
class Tmkdir(Message):
    """Make a directory."""

    dfid: U32
    name: String
    mode: U32
    gid: U32


@message(73)
class Rmkdir(Message):
    """The new entry's qid."""

    qid: QidField


@message(16)
class Tsymlink(Message):
    """Make a symbolic link."""

    dfid: U32
    name: String
    target: String
    gid: U32


@message(17)
class Rsymlink(Message):
    """The new entry's qid."""

    qid: QidField


@message(18)
class Tmknod(Message):
    """Make a device, FIFO, socket or file."""

    dfid: U32
    name: String
    mode: U32
    major: U32
    minor: U32
    gid: U32


@message(19)
class Rmknod(Message):
    """The new entry's qid."""

    qid: QidField


@message(70)
class Tlink(Message):
    """``name`` in ``dfid`` becomes another name of ``fid``."""

    dfid: U32
    fid: U32
    name: String


@message(71)
class Rlink(Message):
    """Done."""


@message(20)
class Trename(Message):
    """Move ``fid`` to ``name`` in ``dfid``."""

    fid: U32
    dfid: U32
    name: String


@message(21)
class Rrename(Message):
    """Done."""


@message(74)
class Trenameat(Message):
    """Move an entry."""

    olddirfid: U32
    oldname: String
    newdirfid: U32
    newname: String


@message(75)
class Rrenameat(Message):
    """Done."""


@message(76)
class Tunlinkat(Message):
    """Remove an entry; flags 0x200: a directory."""

    dirfid: U32
    name: String
    flags: U32


@message(77)
class Runlinkat(Message):
    """Done."""


@message(122)
class Tremove(Message):
    """Remove the file and clunk the fid, also on failure."""

    fid: U32


@message(123)
class Rremove(Message):
    """Done."""


# -- attributes: stat(5) and the .L forms


@message(124)
class Tstat(Message):
    """Ask for the stat record."""

    fid: U32


@message(125)
class Rstat(Message):
    """The stat record."""

    stat: StatField


@message(126)
class Twstat(Message):
    """Change the fields that are not all ones or empty; a record that changes nothing requests an
    fsync.
    """

    fid: U32
    stat: StatField


@message(127)
class Rwstat(Message):
    """Done."""


@message(24)
class Tgetattr(Message):
    """Ask for attributes (``linux.GETATTR_*``)."""

    fid: U32
    mask: U64


@message(25)
class Rgetattr(Message):
    """The attributes."""

    attributes: AttributesField


@message(26)
class Tsetattr(Message):
    """Change the attributes in ``valid`` (``linux.SETATTR_*``); the other fields are ignored."""

    fid: U32
    valid: U32
    mode: U32
    uid: U32
    gid: U32
    size: U64
    atime_sec: Seconds
    atime_nsec: U64
    mtime_sec: Seconds
    mtime_nsec: U64


@message(27)
class Rsetattr(Message):
    """Done."""


@message(22)
class Treadlink(Message):
    """Ask for the target of a link."""

    fid: U32


@message(23)
class Rreadlink(Message):
    """The target."""

    target: String


@message(8)
class Tstatfs(Message):
    """Ask for the statistics of the filesystem (statfs(2))."""

    fid: U32


@message(9)
class Rstatfs(Message):
    """The statistics of the filesystem."""

    statfs: StatfsField


@message(30)
class Txattrwalk(Message):
    """``newfid`` becomes the value of an attribute (or, without a name, the list of names), for
    Tread.
    """

    fid: U32
    newfid: U32
    name: String


@message(31)
class Rxattrwalk(Message):
    """Its size in bytes."""

    size: U64


@message(32)
class Txattrcreate(Message):
    """``fid`` becomes a buffer of exactly ``size`` bytes, set as the attribute when it
    is clunked.
    """

    fid: U32
    name: String
    size: U64
    flags: U32


@message(33)
class Rxattrcreate(Message):
    """Done."""


# -- locks: fcntl(2), one byte range of one owner (client_id, proc_id)


@message(52)
class Tlock(Message):
    """Lock or unlock a byte range; length 0: to the end."""

    fid: U32
    type: U8
    flags: U32
    start: U64
    length: U64
    proc_id: U32
    client_id: String


@message(53)
class Rlock(Message):
    """``linux.LOCK_SUCCESS``, ``_BLOCKED``, ``_ERROR`` or ``_GRACE``."""

    status: U8


@message(54)
class Tgetlock(Message):
    """Ask for a lock that conflicts with this byte range."""

    fid: U32
    type: U8
    start: U64
    length: U64
    proc_id: U32
    client_id: String


@message(55)
class Rgetlock(Message):
    """The first conflicting lock, or type LOCK_UNLCK."""

    type: U8
    start: U64
    length: U64
    proc_id: U32
    client_id: String
