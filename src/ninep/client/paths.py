"""Remote paths as lists of names, and remote names as local file names.

Remote paths use ``/`` on every host and start at the root of the export: a leading ``/`` changes
nothing, ``.`` is ignored, ``..`` removes the name before it and has no effect at the root. Names
are bytes on the wire; in Python they are ``str`` with surrogate escapes (like ``os.fsdecode`` on
POSIX), so that every name can be converted in both directions.
"""

from __future__ import annotations

import errno
import ntpath
import os
from collections.abc import Iterable
from types import ModuleType
from typing import Final, TypeAlias

RemotePath: TypeAlias = str | bytes | os.PathLike[str]
"""The type of remote paths; of pathlib, use ``PurePosixPath``."""

MAX_NAME: Final = 0xFFFF  # a string of 9P has a 16-bit length


def encode(name: str) -> bytes:
    """The bytes of a name."""
    return name.encode("utf-8", "surrogateescape")


def decode(name: bytes) -> str:
    """A name from its bytes."""
    return name.decode("utf-8", "surrogateescape")


def to_host(name: str) -> str:
    """A remote name for functions of ``os``: the same bytes where the host's names are bytes,
    whatever the locale.
    """
    return os.fsdecode(encode(name)) if os.supports_bytes_environ else name


def from_host(name: str) -> str:
    """The reverse of ``to_host``."""
    return decode(os.fsencode(name)) if os.supports_bytes_environ else name


def text_of(path: RemotePath) -> str:
    """A path as the caller wrote it, for error messages and joined names."""
    return decode(path) if isinstance(path, bytes) else os.fspath(path)


def split(path: RemotePath, *, physical: bool = False) -> list[bytes]:
    """The names of a path, from the root. ``ValueError`` for an embedded NUL, ENAMETOOLONG for a
    name that does not fit in 9P.

    ``physical`` keeps every ``..``, for resolving the links before it first.
    """
    raw = path if isinstance(path, bytes) else encode(os.fspath(path))
    if b"\0" in raw:
        raise ValueError("embedded null byte")
    names: list[bytes] = []
    for name in raw.split(b"/"):
        if name == b".." and not physical:
            if names:
                names.pop()
        elif name not in {b"", b"."}:
            if len(name) > MAX_NAME:
                raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), text_of(path)[:64] + "...")
            names.append(name)
    return names


def parent_and_name(path: RemotePath) -> tuple[list[bytes], bytes]:
    """The names of the directory, and the last name. EBUSY for the root, which has no name."""
    names = split(path)
    if not names:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), text_of(path) or "/")
    return names[:-1], names[-1]


def join_names(names: Iterable[bytes]) -> str:
    """The absolute path of a list of names."""
    return "/" + decode(b"/".join(names))


def join(directory: str, name: str) -> str:
    """A name below a directory."""
    return f"{directory}{name}" if directory.endswith("/") or not directory else f"{directory}/{name}"


def base_name(path: RemotePath) -> str:
    """The last name of a path, empty for the root."""
    names = split(path)
    return decode(names[-1]) if names else ""


def legal_entry(name: bytes) -> bool:
    """Whether a directory may contain this name. ``.`` and ``..`` are checked elsewhere."""
    return bool(name) and b"/" not in name and b"\0" not in name


_NT_FORBIDDEN: Final = frozenset('<>:"/\\|?*') | {chr(i) for i in range(32)}
_NT_DEVICES: Final = frozenset(
    [
        "CON",
        "PRN",
        "AUX",
        "NUL",
        "CONIN$",
        "CONOUT$",
        *(f"{port}{digit}" for port in ("COM", "LPT") for digit in "123456789¹²³"),
    ]
)


def local_name(name: str, flavour: ModuleType = os.path) -> str:
    """``name`` as one component of a local path. ``ValueError`` for a name that would lead out of
    the directory copied to.

    ``flavour`` (posixpath, ntpath) selects the rules. On NTFS a name can also lead out by a drive
    (``C:x``), a backslash, a stream (``file:stream``) or a device (``NUL``, ``com1.txt``), and
    Win32 drops dots and spaces at the end.
    """
    if name in {"", ".", ".."} or "/" in name or "\0" in name:
        raise ValueError(f"{name!r} is not a file name")
    if flavour is ntpath:
        stem = name.partition(".")[0].rstrip(" ").upper()
        if not _NT_FORBIDDEN.isdisjoint(name) or name[-1] in ". " or stem in _NT_DEVICES:
            raise ValueError(f"{name!r} cannot be a file name on this host")
    return name
