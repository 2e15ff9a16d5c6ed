"""Everything a client can do to a file and to a folder, in each dialect: what attacks on the way
there are tried with.

A verb gets a client, the fid of a folder ``two`` and the fid of the file ``leaf`` in it, walked to
and not open, and may use fids from ``SPARE`` up. It raises ``Failed`` if the server refuses. Used
on files that nobody interferes with, each succeeds.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.support.client import Failed, RawClient
from tests.threats.lab import BASE, LINUX, UNIX

from ninep.linux import (
    AT_REMOVEDIR,
    GETATTR_BASIC,
    NO_ID,
    O_RDONLY,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
    SETATTR_ATIME,
    SETATTR_ATIME_SET,
    SETATTR_CTIME,
    SETATTR_GID,
    SETATTR_MODE,
    SETATTR_MTIME,
    SETATTR_SIZE,
    SETATTR_UID,
    Errno,
)
from ninep.wire import messages as m
from ninep.wire.modes import DMDIR, DMLINK, DMSYMLINK
from ninep.wire.types import Qid, Stat

SPARE = 100
ROOT, FOLDER, FILE = 0, 1, 2
UNTOUCHED = Stat(
    0xFFFF, 0xFFFFFFFF, Qid(0xFF, 0xFFFFFFFF, (1 << 64) - 1), 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, (1 << 64) - 1
)
Verb = Callable[[RawClient], object]
TAKEN = b"TAKEN"
"""What verbs write."""


def setattr_(valid: int, *, fid: int = FILE, mode: int = 0, uid: int = 0, gid: int = 0, size: int = 0) -> m.Tsetattr:
    return m.Tsetattr(fid, valid, mode, uid, gid, size, 1, 2, 3, 4)


def _copy(client: RawClient, fid: int) -> int:
    client.walk(fid, SPARE)
    return SPARE


def _walk(client: RawClient, *names: bytes) -> None:
    if len(client.rpc(m.Twalk(FOLDER, SPARE, list(names))).qids) < len(names):
        raise Failed(Errno.ENOENT)  # part of the way: no fid was made


def _read(flags: int) -> Verb:
    def verb(client: RawClient) -> object:
        client.open(FILE, flags)
        return client.read(FILE)

    return verb


def _write(client: RawClient, flags: int) -> object:
    client.open(FILE, flags)
    return client.rpc(m.Twrite(FILE, 0, TAKEN))


def _set_xattr(client: RawClient, fid: int) -> None:
    client.rpc(m.Txattrcreate(_copy(client, fid), b"user.taken", len(TAKEN), 0))
    client.rpc(m.Twrite(SPARE, 0, TAKEN))
    client.clunk(SPARE)


def _get_xattr(client: RawClient, fid: int, name: bytes) -> object:
    size = client.rpc(m.Txattrwalk(fid, SPARE, name)).size
    return client.read(SPARE, 0, size + 100)


def _list(client: RawClient) -> object:
    client.open(FOLDER)
    return client.names(FOLDER) if client.dialect == LINUX else client.read(FOLDER, 0, 8000)


def _wstat(fid: int = FILE, **changes: object) -> Verb:
    return lambda client: client.rpc(m.Twstat(fid, UNTOUCHED._replace(**changes)))


def _make(*, perm: int = 0o644, extension: bytes = b"") -> Verb:
    return lambda client: client.rpc(m.Tcreate(_copy(client, FOLDER), b"taken", perm, 0, extension))


def _rpc(message: m.Message) -> Verb:
    return lambda client: client.rpc(message)


BASE_VERBS: dict[str, Verb] = {
    "Tstat": _rpc(m.Tstat(FILE)),
    "Tstat folder": _rpc(m.Tstat(FOLDER)),
    "Topen read": lambda client: (client.rpc(m.Topen(FILE, 0)), client.read(FILE)),
    "Topen exec": lambda client: (client.rpc(m.Topen(FILE, 3)), client.read(FILE)),
    "Topen write": lambda client: (client.rpc(m.Topen(FILE, 1)), client.rpc(m.Twrite(FILE, 0, TAKEN))),
    "Topen truncate": _rpc(m.Topen(FILE, 0x10 | 1)),
    "Topen remove on clunk": lambda client: (client.rpc(m.Topen(FILE, 0x40)), client.clunk(FILE)),
    "Tcreate": _make(),
    "Tcreate folder": _make(perm=DMDIR | 0o755),
    "Twstat mode": _wstat(mode=0o640),
    "Twstat mtime": _wstat(mtime=5),
    "Twstat length": _wstat(length=3),
    "Twstat name": _wstat(name=b"renamed"),
    "Twstat folder name": _wstat(FOLDER, name=b"renamed"),
    "Twstat nothing": _wstat(),
    "Tremove": _rpc(m.Tremove(FILE)),
    "Tremove folder": lambda client: (client.rpc(m.Tremove(FILE)), client.rpc(m.Tremove(FOLDER))),
    "Twalk down": lambda client: _walk(client, b"leaf"),
    "Twalk up and down": lambda client: _walk(client, b"..", b"two", b"leaf"),
}
UNIX_VERBS: dict[str, Verb] = {
    "Tcreate link": _make(perm=DMSYMLINK | 0o777, extension=b"../../../canary/file"),
    "Tcreate hard link": _make(perm=DMLINK, extension=b"%d" % FILE),
    "Twstat owner": _wstat(n_uid=0, n_gid=0),
}
LINUX_VERBS: dict[str, Verb] = {
    "Tgetattr": _rpc(m.Tgetattr(FILE, GETATTR_BASIC)),
    "Tgetattr folder": _rpc(m.Tgetattr(FOLDER, GETATTR_BASIC)),
    "Tstatfs": _rpc(m.Tstatfs(FILE)),
    "Tlopen read": _read(O_RDONLY),
    "Tlopen read and truncate": _read(O_RDONLY | O_TRUNC),
    "Tlopen write": lambda client: _write(client, O_WRONLY),
    "Tlopen truncate": lambda client: _write(client, O_RDWR | O_TRUNC),
    "Treaddir": _list,
    "Tlcreate": lambda client: client.create(FOLDER, SPARE, b"taken", TAKEN),
    "Tlcreate existing": lambda client: (client.walk(FOLDER, SPARE), client.rpc(m.Tlcreate(SPARE, b"leaf", O_RDWR | O_TRUNC, 0o600, NO_ID))),
    "Tmkdir": _rpc(m.Tmkdir(FOLDER, b"taken", 0o755, NO_ID)),
    "Tmknod": _rpc(m.Tmknod(FOLDER, b"taken", 0o100644, 0, 0, NO_ID)),
    "Tsymlink": _rpc(m.Tsymlink(FOLDER, b"taken", b"leaf", NO_ID)),
    "Tlink from": _rpc(m.Tlink(ROOT, FILE, b"linked")),
    "Tlink to": _rpc(m.Tlink(FOLDER, FILE, b"linked")),
    "Trename": _rpc(m.Trename(FILE, ROOT, b"renamed")),
    "Trename folder": _rpc(m.Trename(FOLDER, ROOT, b"renamed")),
    "Trenameat from": _rpc(m.Trenameat(FOLDER, b"leaf", ROOT, b"renamed")),
    "Trenameat to": _rpc(m.Trenameat(ROOT, b"other", FOLDER, b"leaf")),
    "Tunlinkat": _rpc(m.Tunlinkat(FOLDER, b"leaf", 0)),
    "Tunlinkat folder": lambda client: (client.rpc(m.Tunlinkat(FOLDER, b"leaf", 0)), client.rpc(m.Tunlinkat(3, b"two", AT_REMOVEDIR))),
    "Tsetattr mode": _rpc(setattr_(SETATTR_MODE, mode=0o600)),
    "Tsetattr owner": _rpc(setattr_(SETATTR_UID | SETATTR_GID, uid=0, gid=0)),
    "Tsetattr size": _rpc(setattr_(SETATTR_SIZE, size=2)),
    "Tsetattr times": _rpc(setattr_(SETATTR_MTIME | SETATTR_ATIME | SETATTR_ATIME_SET)),
    "Tsetattr ctime": _rpc(setattr_(SETATTR_CTIME)),
    "Tsetattr folder": _rpc(setattr_(SETATTR_MODE, fid=FOLDER, mode=0o700)),
    "Txattrwalk": lambda client: _get_xattr(client, FILE, b"user.own"),
    "Txattrwalk all": lambda client: _get_xattr(client, FILE, b""),
    "Txattrcreate": lambda client: _set_xattr(client, FILE),
    "Txattrcreate folder": lambda client: _set_xattr(client, FOLDER),
}  # fmt: skip

VERBS = {BASE: BASE_VERBS, UNIX: BASE_VERBS | UNIX_VERBS, LINUX: BASE_VERBS | UNIX_VERBS | LINUX_VERBS}
