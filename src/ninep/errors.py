"""One exception with a Linux errno, and the way there from whatever the host raised.

Code that refuses a request raises ``Refused``; the host raises ``OSError`` with *its* number. Both meet in
``linux_errno``, the only place where a host's number becomes the protocol's: by name, because numbers differ (ELOOP is 62 on
macOS, which Linux reads as ETIME). What has no Linux name becomes EIO. Windows errors are translated below the host wall, by
``host.windows.status``, and arrive as ``Refused``.

The texts are for plain 9P2000, which has no numbers: the customary words of Plan 9 where there are some (kernel
``port/error.h`` as users know them from lib9p and 9front), else those of errno(3).
"""

from __future__ import annotations

import errno as host_errno

from ninep.linux import Errno


class Refused(OSError):
    """A request that cannot be done, with a **Linux** errno in ``code`` (whatever the host's numbers are).

    ``words`` are sent to clients of 9P2000 and 9P2000.u in place of those of the errno.
    """

    def __init__(self, code: Errno, why: str = "", words: bytes = b"") -> None:
        # OSError(errno, text) would pick a subclass by the *host's* numbers; the two-step keeps ours out of its hands.
        super().__init__(why or code.name)
        self.code = code
        self.words = words

    def __str__(self) -> str:
        why = self.args[0]
        return why if why == self.code.name else f"{self.code.name}: {why}"


_ALIASES = {
    "ENOATTR": Errno.ENODATA,  # BSD and macOS: no such extended attribute
    "ENOTSUP": Errno.EOPNOTSUPP,  # macOS has both, with different numbers
    "EWOULDBLOCK": Errno.EAGAIN,
    "EDEADLOCK": Errno.EDEADLK,
    "EFTYPE": Errno.EINVAL,
    "EMLINK": Errno.EMLINK,
    "EBADRPC": Errno.EIO,
    "ENEEDAUTH": Errno.EACCES,
    "EAUTH": Errno.EACCES,
    "EPROCLIM": Errno.EAGAIN,
}

FROM_HOST: dict[int, Errno] = {
    number: Errno[name] if name in Errno.__members__ else _ALIASES[name]
    for number, name in host_errno.errorcode.items()
    if name in Errno.__members__ or name in _ALIASES
}
# Names that share a number with another one never show up in errorcode; without these, macOS's ENOATTR (93) and ENOTSUP (45) leak.
for _name, _code in _ALIASES.items():
    if (_number := getattr(host_errno, _name, None)) is not None:
        FROM_HOST.setdefault(_number, _code)


def linux_errno(error: OSError) -> Errno:
    """The Linux errno of anything the host or a driver raised; EIO for what Linux has no name for."""
    if isinstance(error, Refused):
        return error.code
    return FROM_HOST.get(error.errno or 0, Errno.EIO)


# Words that the Linux client knows (net/9p/error.c), Plan 9's own where it does: a text it does not know becomes the meaningless 526 there.
TEXTS: dict[Errno, str] = {
    Errno.EPERM: "permission denied",
    Errno.ENOENT: "file does not exist",
    Errno.EIO: "i/o error",
    Errno.EBADF: "fid unknown or out of range",
    Errno.EAGAIN: "Resource temporarily unavailable",
    Errno.ENOMEM: "Cannot allocate memory",
    Errno.EACCES: "permission denied",
    Errno.EBUSY: "Device or resource busy",
    Errno.EEXIST: "file already exists",
    Errno.ENOTDIR: "not a directory",
    Errno.EISDIR: "Is a directory",
    Errno.EINVAL: "Invalid argument",
    Errno.ENFILE: "Too many open files in system",
    Errno.EMFILE: "Too many open files",
    Errno.EFBIG: "file too big",
    Errno.ENOSPC: "file system is full",
    Errno.EROFS: "read only file system",
    Errno.ENAMETOOLONG: "File name too long",
    Errno.ENOTEMPTY: "directory is not empty",
    Errno.ELOOP: "Too many levels of symbolic links",
    Errno.EOPNOTSUPP: "Operation not supported",
    Errno.ENOSYS: "Function not implemented",
    Errno.EDQUOT: "Disk quota exceeded",
    Errno.ESTALE: "stale file handle",
    Errno.ENXIO: "No such device or address",
    Errno.EXDEV: "Invalid cross-device link",
    Errno.EPROTO: "Protocol error",
    Errno.ENODATA: "No data available",
    Errno.ETXTBSY: "Text file busy",
    Errno.EMSGSIZE: "Message too long",
}


def text_of(code: Errno) -> bytes:
    """The words for plain 9P2000 and for the ``ename`` of 9P2000.u."""
    return TEXTS.get(code, code.name).encode()
