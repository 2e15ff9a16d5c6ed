"""Owners, modes and times in the metadata of objects, as other programs keep them there.

``mtime`` is rclone's (seconds with a fraction); ``mode`` (decimal, with the type), ``uid``, ``gid``,
``mtime``, ``atime``, ``ctime`` and ``xattr`` are s3fs-fuse's. ``ninep-rdev`` is ours alone. What
else there is stays as it is.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Self
from urllib.parse import quote, unquote

from ninep.errors import Refused
from ninep.linux import NO_ID, PERMISSIONS, S_IFDIR, S_IFMT, S_IFREG, S_ISGID, S_ISUID, S_IXGRP, Errno

NANO: Final = 1_000_000_000
ROOM: Final = 2048
"""Bytes of metadata that S3 keeps for an object, names and values together."""
OURS: Final = frozenset({"mode", "uid", "gid", "mtime", "atime", "ctime", "xattr", "ninep-rdev"})
_TIME: Final = re.compile(r"(-?)([0-9]{1,19})(?:\.([0-9]{1,9})[0-9]*)?")
_NUMBER: Final = re.compile(r"[0-9]{1,20}")


@dataclass(slots=True)
class ObjectAttrs:
    """The attributes of a file that an object's metadata keep. Times in nanoseconds since 1970."""

    mode: int
    """With the type."""
    uid: int
    gid: int
    mtime: int = 0
    atime: int = 0
    ctime: int = 0
    rdev: int = 0
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    """Metadata of other programs."""

    def copy(self) -> Self:
        return replace(self, xattrs=dict(self.xattrs), others=dict(self.others))

    def set_owner(self, uid: int | None, gid: int | None) -> None:
        """None leaves one."""
        self.uid = self.uid if uid is None else uid
        self.gid = self.gid if gid is None else gid

    def set_mode(self, mode: int) -> None:
        """The permissions; the type stays."""
        self.mode = self.kind | mode & PERMISSIONS

    def drop_privileges(self) -> None:
        """SUID, and SGID if the group may execute (notify_change in fs/attr.c)."""
        self.mode &= ~(S_ISUID | (S_ISGID if self.mode & S_IXGRP else 0))

    def set_times(self, atime: int | None, mtime: int | None) -> None:
        """None leaves one."""
        self.atime = self.atime if atime is None else atime
        self.mtime = self.mtime if mtime is None else mtime

    def set_xattrs(self, xattrs: dict[bytes, bytes]) -> None:
        """All of them."""
        self.xattrs = xattrs

    def changed(self, now: int) -> None:
        """Something of these was."""
        self.ctime = now

    @classmethod
    def read(cls, metadata: Mapping[str, str], modified: int, default: ObjectAttrs) -> ObjectAttrs:
        """From metadata; what is missing or makes no sense, is as in ``default``. ``modified``: when
        the store got the object. An object is a directory only if ``default`` is.
        """
        mode = _number(metadata, "mode", default.mode, 0o177777)
        kind = mode & S_IFMT
        if (kind == S_IFDIR) != (default.mode & S_IFMT == S_IFDIR) or not kind:
            kind = default.mode & S_IFMT
        mtime = _moment(metadata, "mtime", modified)
        return ObjectAttrs(
            kind | mode & PERMISSIONS,
            _number(metadata, "uid", default.uid, NO_ID - 1),
            _number(metadata, "gid", default.gid, NO_ID - 1),
            mtime,
            _moment(metadata, "atime", mtime),
            _moment(metadata, "ctime", modified),
            _number(metadata, "ninep-rdev", 0, 0xFFFFFFFF),
            _xattrs(metadata.get("xattr", "")),
            {name: value for name, value in metadata.items() if name not in OURS},
        )

    def write(self) -> dict[str, str]:
        """As metadata. ENOSPC if they are more than a store keeps."""
        found = dict(self.others)
        found |= {"mode": str(self.mode), "uid": str(self.uid), "gid": str(self.gid)}
        found |= {"mtime": _text(self.mtime), "atime": _text(self.atime), "ctime": _text(self.ctime)}
        if self.rdev:
            found["ninep-rdev"] = str(self.rdev)
        if self.xattrs:
            named = {name.decode(): base64.b64encode(value).decode() for name, value in self.xattrs.items()}
            found["xattr"] = quote(json.dumps(named, separators=(",", ":")))
        if sum(len(name) + len(value.encode()) for name, value in found.items()) > ROOM:
            raise Refused(Errno.ENOSPC, f"more metadata than the {ROOM} bytes that a store keeps of an object")
        return found

    @property
    def kind(self) -> int:
        return self.mode & S_IFMT

    @property
    def is_file(self) -> bool:
        return self.mode & S_IFMT == S_IFREG


def _number(metadata: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = metadata.get(name, "")
    return int(text) if _NUMBER.fullmatch(text) and int(text) <= most else default


def _moment(metadata: Mapping[str, str], name: str, default: int) -> int:
    found = _TIME.fullmatch(metadata.get(name, ""))
    if found is None or int(found[2]) >= 1 << 63:
        return default
    moment = int(found[2]) * NANO + int((found[3] or "").ljust(9, "0"))
    return -moment if found[1] else moment


def _text(moment: int) -> str:
    seconds, rest = divmod(abs(moment), NANO)
    return f"{'-' if moment < 0 else ''}{seconds}" + (f".{rest:09}" if rest else "")


def _xattrs(text: str) -> dict[bytes, bytes]:
    try:
        found = json.loads(unquote(text)) if text else {}
        return {name.encode(): base64.b64decode(value) for name, value in found.items()}
    except (ValueError, AttributeError, TypeError, binascii.Error, RecursionError):
        return {}  # not ours to understand; it is replaced when an attribute is set
