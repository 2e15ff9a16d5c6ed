"""Acting as a user of the host: file-system ids and groups of **this thread**, for the length of a
``with`` block.

Linux only. setfsuid(2) and setfsgid(2) change what the kernel checks file access with and whom new
files belong to, and nothing else: not who may signal us, not what other threads are. setgroups(2) is
made as a raw system call, because the one of the C library changes all threads.

Unless the user is root, the thread has no effective capability meanwhile (capset(2)). When the
file-system uid leaves 0 the kernel itself takes some away (CHOWN, DAC_OVERRIDE, FOWNER and the like:
capabilities(7)), but not SYS_RESOURCE, which is not held to quotas and takes what a file system keeps
for root; and none at all of a process that is not root and has capabilities.

The calls for ids report no error that could be relied on: each is asked again afterwards. What cannot
be become is EPERM, and then nothing has changed.

Rights that were used at an *open* stay with the handle: with another user's handle go that user's
rights. So the driver remembers with each open file whose rights were used (``acting``)
and never uses it for another user.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import threading
from functools import lru_cache
from types import TracebackType
from typing import Final

from ninep.errors import Refused
from ninep.linux import Errno
from ninep.node import Identity

__all__ = ["Identity", "acting", "become", "identity_named", "identity_of", "supported"]


class _Acting(threading.local):
    identity: Identity | None = None


_acting: Final = _Acting()


def acting() -> Identity | None:
    """Whose access to files this thread has now; None for the process's own."""
    return _acting.identity


if sys.platform == "linux":
    import pwd

    _libc = ctypes.PyDLL(None)  # keeps the interpreter's lock: these calls never wait
    _setfsuid = _libc.setfsuid
    _setfsgid = _libc.setfsgid
    for _call in (_setfsuid, _setfsgid):
        _call.argtypes = (ctypes.c_uint,)
        _call.restype = ctypes.c_uint
    _syscall = _libc.syscall
    _syscall.argtypes = (ctypes.c_long, ctypes.c_size_t, ctypes.POINTER(ctypes.c_uint))
    _capget, _capset = _libc.capget, _libc.capset
    _CAPABILITIES: Final = (ctypes.c_uint * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, of this thread
    _NO_SUCH_ID: Final = 0xFFFFFFFF  # an id that cannot be: changes nothing, tells what is

    # __NR_setgroups (on 32-bit machines setgroups32): asm/unistd.h of each
    _SETGROUPS: Final = {
        "x86_64": 116,
        "aarch64": 159,
        "riscv64": 159,
        "loongarch64": 159,
        "i386": 206,
        "i686": 206,
        "armv7l": 206,
        "armv6l": 206,
        "ppc64le": 81,
        "ppc64": 81,
        "s390x": 206,
    }

    def supported() -> bool:
        """Whether this process can become other users: root (or its capabilities) on a machine we
        know.
        """
        return _NUMBER > 0 and _may_change()

    def _may_change() -> bool:
        try:
            with become(Identity(_OTHER, _OTHER, ())):
                return True
        except Refused:
            return False

    _OTHER: Final = 65534

    def identity_of(uid: int) -> Identity:
        """A user with his groups, as the host's user database has them. EPERM for a uid that is not
        in it.
        """
        try:
            entry = pwd.getpwuid(uid)
        except (KeyError, OverflowError):
            raise Refused(Errno.EPERM, f"uid {uid} is no user of this host") from None
        return _identity(entry)

    def identity_named(name: bytes) -> Identity:
        """The same by name."""
        try:
            entry = pwd.getpwnam(os.fsdecode(name))
        except (KeyError, ValueError):
            raise Refused(Errno.EPERM, f"{name!r} is no user of this host") from None
        return _identity(entry)

    def _identity(entry: pwd.struct_passwd) -> Identity:
        groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
        return Identity(entry.pw_uid, entry.pw_gid, tuple(sorted(set(groups))))

    _NUMBER: Final = _SETGROUPS.get(platform.machine(), -1)

    @lru_cache(maxsize=1024)
    def _array(groups: tuple[int, ...]) -> ctypes.Array[ctypes.c_uint]:
        return (ctypes.c_uint * len(groups))(*groups)

    def _set_groups(groups: tuple[int, ...]) -> bool:
        return bool(_syscall(_NUMBER, len(groups), _array(groups)) == 0)

    def _capabilities() -> ctypes.Array[ctypes.c_uint]:
        data = (ctypes.c_uint * 6)()  # effective, permitted, inheritable; then the upper halves
        _capget(_CAPABILITIES, data)
        return data

    def _effective() -> tuple[int, int]:
        data = _capabilities()
        return data[0], data[3]

    def _set_effective(halves: tuple[int, int]) -> bool:
        data = _capabilities()
        data[0], data[3] = halves
        return bool(_capset(_CAPABILITIES, data) == 0)

    class become:  # noqa: N801 - read as ``with become(alice):``
        """``with become(identity):`` this thread's access to files is that user's. Not to be
        nested.
        """

        __slots__ = ("_capabilities", "_gid", "_groups", "_identity", "_uid")

        def __init__(self, identity: Identity) -> None:
            self._identity = identity

        def __enter__(self) -> None:
            uid, gid, groups = self._identity
            self._capabilities = _effective() if uid else None
            self._groups = tuple(os.getgroups())
            if not _set_groups(groups):
                raise Refused(Errno.EPERM, "this process may not change its groups")
            self._gid = _setfsgid(gid)
            self._uid = _setfsuid(uid)  # last: with it the right to the others may go
            dropped = self._capabilities is None or _set_effective((0, 0))
            if not dropped:
                self._capabilities = None  # what a filter of system calls forbids, it forbids on the way back, too
            if not dropped or _setfsuid(_NO_SUCH_ID) != uid or _setfsgid(_NO_SUCH_ID) != gid:
                self._leave()
                raise Refused(Errno.EPERM, f"this process may not act as uid {uid}, gid {gid}")
            _acting.identity = self._identity

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            self._leave()

        def _leave(self) -> None:
            _acting.identity = None
            back = self._capabilities is None or _set_effective(self._capabilities)
            _setfsuid(self._uid)
            _setfsgid(self._gid)
            if not back or not _set_groups(self._groups) or _setfsuid(_NO_SUCH_ID) != self._uid:
                # Going on would serve the next user with this one's rights.
                os.abort()

else:

    def supported() -> bool:
        """Never."""
        return False

    def identity_of(uid: int) -> Identity:
        """EOPNOTSUPP."""
        raise Refused(Errno.EOPNOTSUPP, f"uid {uid}: users are not changed on this system")

    def identity_named(name: bytes) -> Identity:
        """EOPNOTSUPP."""
        raise Refused(Errno.EOPNOTSUPP, f"{name!r}: users are not changed on this system")

    class become:  # noqa: N801
        """EOPNOTSUPP."""

        def __init__(self, identity: Identity) -> None:
            self._identity = identity

        def __enter__(self) -> None:
            raise Refused(Errno.EOPNOTSUPP, "users are not changed on this system")

        def __exit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            """Nothing was entered."""
