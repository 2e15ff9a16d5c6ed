"""A set of objects with every kind of owner, mode, type, device number, target and ACL, and their
description.

One server (or one run of it) is made to `leave` them, another to `describe` them: the descriptions
must be equal.
"""

from __future__ import annotations

import hashlib
import os
import stat

from .attributes import ACCESS, DEFAULT, NOBODY, READABLE_BY_1000, acl
from .registry import put

FILES = {"plain": (0o640, 1000, 2000), "program": (0o755, 0, 0), "set-id": (0o6755, 3000, 3000), "locked": (0, 1, 1)}
FOLDERS = {"folder": (0o750, 1001, 2001), "sticky": (0o1777, 0, 0), "group": (0o2775, 1002, 2002)}
NODES = {
    "char": (stat.S_IFCHR | 0o620, os.makedev(5, 1), 1003, 5),
    "block": (stat.S_IFBLK | 0o660, os.makedev(253, 70000), 0, 6),
    "fifo": (stat.S_IFIFO | 0o600, 0, 1004, 1004),
    "socket": (stat.S_IFSOCK | 0o777, 0, 1005, 1005),
}
SYMLINKS = {"link": "plain", "dangling": "../nowhere", "absolute": "/etc/passwd", "long": "x" * 1000}
DEFAULT_ACL = acl((1, 7, NOBODY), (2, 6, 1000), (4, 5, NOBODY), (16, 7, NOBODY), (32, 0, NOBODY))


def leave(top: str, *, acl: bool) -> None:
    """Make the objects below `top`, which must be an empty folder."""
    for name, (mode, uid, gid) in FILES.items():
        put(f"{top}/{name}", name.encode() * 100)
        own(f"{top}/{name}", uid, gid, mode)
    for name, (mode, uid, gid) in FOLDERS.items():
        os.mkdir(f"{top}/{name}")
        put(f"{top}/{name}/below", b"below")
        own(f"{top}/{name}/below", uid + 10, gid + 10, 0o604)
        own(f"{top}/{name}", uid, gid, mode)
    for name, (mode, device, uid, gid) in NODES.items():
        os.mknod(f"{top}/{name}", mode, device)
        own(f"{top}/{name}", uid, gid, stat.S_IMODE(mode))
    for name, target in SYMLINKS.items():
        os.symlink(target, f"{top}/{name}")
        os.lchown(f"{top}/{name}", 1006, 2006)
    os.link(f"{top}/plain", f"{top}/folder/second-name")
    move_and_replace(top)
    os.setxattr(f"{top}/plain", "user.note", b"\0binary\xff")
    if acl:
        os.setxattr(f"{top}/program", ACCESS, READABLE_BY_1000)
        os.setxattr(f"{top}/group", DEFAULT, DEFAULT_ACL)


def move_and_replace(top: str) -> None:
    """Names that had another owner before: what was kept for them must not come back."""
    put(f"{top}/first", b"first")
    own(f"{top}/first", 4000, 4000, 0o600)
    os.rename(f"{top}/first", f"{top}/folder/moved")
    put(f"{top}/first", b"made again")
    own(f"{top}/first", 5000, 5000, 0o644)
    put(f"{top}/second", b"replaces")
    own(f"{top}/second", 6000, 6000, 0o611)
    os.rename(f"{top}/second", f"{top}/first")


def own(path: str, uid: int, gid: int, mode: int) -> None:
    os.chown(path, uid, gid)
    os.chmod(path, mode)  # afterwards: chown drops the set-id bits


def describe(top: str, *, acl: bool) -> dict[str, dict[str, object]]:
    """Everything below `top` and itself: name to what a client sees of it."""
    found = {".": facts(top, acl=acl)}
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, top)] = facts(path, acl=acl)
    return found


def facts(path: str, *, acl: bool) -> dict[str, object]:
    status = os.lstat(path)
    told: dict[str, object] = {
        "mode": oct(status.st_mode),
        "owner": f"{status.st_uid}:{status.st_gid}",
        "device": f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}",
        "modified": int(status.st_mtime),
    }
    if stat.S_ISLNK(status.st_mode):
        told |= {"target": os.readlink(path), "size": status.st_size}
    if stat.S_ISREG(status.st_mode):
        told |= {"contents": digest(path), "size": status.st_size, "links": status.st_nlink}
    if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
        told["attributes"] = {
            name: os.getxattr(path, name).hex()
            for name in sorted(os.listxattr(path))
            if name.startswith("user.") or (acl and name in (ACCESS, DEFAULT))
        }
    return told


def digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.blake2b(file.read(), digest_size=8).hexdigest()
