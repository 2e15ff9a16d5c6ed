"""One exception with a Linux errno, and the translation of the host's errors to it.

Code that refuses a request raises ``Refused``; the host raises ``OSError`` with *its* number.
``linux_errno`` is the only function that translates a host's number to the protocol's. It
translates by name, because numbers differ (ELOOP is 62 on macOS, which is ETIME on Linux). An error
without a Linux name becomes EIO. Windows errors are translated by ``host.windows.status`` and
arrive as ``Refused``.

The texts are for plain 9P2000, which has no error numbers: the usual strings of Plan 9 where they
exist (kernel ``port/error.h``, also in lib9p and 9front), else those of errno(3).
"""

from __future__ import annotations

import errno as host_errno

from ninep.linux import Errno


class Refused(OSError):
    """A request is refused, with a **Linux** errno in ``code`` (whatever the host's numbers are).

    ``words`` are sent to clients of 9P2000 and 9P2000.u instead of the text of the errno.
    """

    def __init__(self, code: Errno, why: str = "", words: bytes = b"") -> None:
        # OSError(errno, text) would choose a subclass by the *host's* numbers, so the errno is not
        # passed to it.
        super().__init__(why or code.name)
        self.code = code
        self.words = words

    def __str__(self) -> str:
        why = self.args[0]
        return why if why == self.code.name else f"{self.code.name}: {why}"


def not_installed(what: str, library: str, extra: str) -> OSError:
    """That ``what`` needs a library that only an extra of this package brings."""
    return OSError(f"{what} needs the library {library}: pip install 'ninep[{extra}]'")


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
# errorcode has one name for each number; without these, macOS's ENOATTR (93) and ENOTSUP (45) would
# not be translated.
for _name, _code in _ALIASES.items():
    if (_number := getattr(host_errno, _name, None)) is not None:
        FROM_HOST.setdefault(_number, _code)


def linux_errno(error: OSError) -> Errno:
    """The Linux errno of an ``OSError`` of the host or of a driver; EIO if Linux has no name for
    it.
    """
    if isinstance(error, Refused):
        return error.code
    return FROM_HOST.get(error.errno or 0, Errno.EIO)


# Texts that the Linux client recognises (net/9p/error.c), Plan 9's own if it recognises them: it
# replaces an unknown text by the meaningless errno 526.
TEXTS: dict[Errno, str] = {
    Errno.EPERM: "permission denied",
    Errno.ENOENT: "file does not exist",
    Errno.EIO: "i/o error",
    Errno.EBADF: "fid unknown or out of range",
    Errno.EAGAIN: "Resource temporarily unavailable",
    Errno.ENOMEM: "Cannot allocate memory",
    Errno.ENOTCONN: "Transport endpoint is not connected",
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
    """The text for plain 9P2000 and for the ``ename`` of 9P2000.u."""
    return TEXTS.get(code, code.name).encode()
