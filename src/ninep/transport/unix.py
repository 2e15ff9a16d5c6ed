"""Unix sockets: ``unix:PATH``.

A unix socket left behind by a server of this user that is gone is replaced (connecting is refused);
one in use, another user's and what is no socket are not (EADDRINUSE). A socket that binding made is
removed at the end.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from ninep.host.process_user import own_uid
from ninep.transport import BACKLOG, Address, BadAddress, Bound, TransportType
from ninep.transport.hints import HERE, Hint, Mount
from ninep.transport.sockets import closed_on_error


@dataclass(frozen=True, slots=True)
class Unix(Address):
    """A socket in the file system."""

    transport: ClassVar[str] = "unix"
    path: str
    mode: int = 0o600
    """Permissions of the socket: who may write, may connect (and attach)."""

    def __str__(self) -> str:
        return f"unix:{self.path}"


def parse(path: str) -> Unix:
    """An address to listen at."""
    if not path:
        raise BadAddress("unix: needs a path")
    return Unix(path)


def parse_remote(path: str) -> Unix:
    """An address to connect to."""
    if not path:
        raise BadAddress("no socket after 'unix:'")
    return Unix(path)


# -- listening ----------------------------------------------------------------------------------------


def bind(address: Unix) -> Bound:
    """A listening socket at the path."""
    sock = _bound(address.path, address.mode)
    sock.listen(BACKLOG)
    return adopt(address, [sock])


def adopt(address: Unix, sockets: list[socket.socket]) -> Bound:
    """A socket that is bound to the path; another in its place if the path was removed."""
    try:
        made = os.stat(address.path)
    except FileNotFoundError:
        for sock in sockets:
            sock.close()
        return bind(address)
    return Bound(address, sockets, lambda: _remove(address.path, made))


def _remove(path: str, made: os.stat_result) -> None:
    """Remove what was made, and nothing else."""
    with suppress(FileNotFoundError):
        now = os.stat(path)
        if (now.st_dev, now.st_ino) == (made.st_dev, made.st_ino):
            os.unlink(path)


def replacing(path: str) -> tuple[Bound, Callable[[], None]]:
    """A listening socket for a path where another process listens, and what puts it there."""
    beside = f"{path}.new"
    with suppress(FileNotFoundError):
        os.unlink(beside)
    sockets = bind(Unix(beside)).sockets
    made = os.stat(beside)

    def close() -> None:
        for name in (beside, path):
            _remove(name, made)

    return Bound(Unix(path), sockets, close), lambda: os.replace(beside, path)


_fchmod: Final[Callable[[int, int], None] | None] = getattr(os, "fchmod", None)


def _bound(path: str, mode: int) -> socket.socket:
    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise OSError(errno.EAFNOSUPPORT, "this system's Python has no unix sockets")
    sock = socket.socket(family, socket.SOCK_STREAM)
    # All that can connect can attach, and no process can before it listens. The umask would be that of
    # all threads, which make files at the same time.
    with closed_on_error([sock]):
        if _fchmod is not None:
            with suppress(OSError):
                _fchmod(sock.fileno(), mode)  # Linux gives the path this mode, less the umask
        _bind_or_replace(sock, path)
        if stat.S_IMODE(os.lstat(path).st_mode) != mode:
            os.chmod(path, mode)
    return sock


def _bind_or_replace(sock: socket.socket, path: str) -> None:
    try:
        sock.bind(path)
    except OSError as error:
        if error.errno != errno.EADDRINUSE or not abandoned(path):
            raise
        os.unlink(path)
        sock.bind(path)


def abandoned(path: str) -> bool:
    """A socket of this user that is not listened at any more. ``OSError`` if there is nothing."""
    found = os.lstat(path)  # connecting to what is no socket is refused as well (unix(7))
    if not stat.S_ISSOCK(found.st_mode) or found.st_uid != own_uid():
        return False
    with socket.socket(_family(Unix(path)), socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a server with a full backlog is alive, and would have us wait
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return False


def remove_abandoned(path: str) -> None:
    """Remove a socket that a server of this user left behind, and nothing else."""
    with suppress(OSError):
        if abandoned(path):
            os.unlink(path)


# -- connecting ---------------------------------------------------------------------------------------


def connect(address: Unix, timeout: float | None) -> socket.socket:
    """A connected socket."""
    sock = socket.socket(_family(address), socket.SOCK_STREAM)
    with closed_on_error([sock]):
        sock.settimeout(timeout)
        sock.connect(address.path)
    return sock


async def dial(loop: Any, make: Any, address: Unix) -> Any:
    """Connect in an event loop."""
    _family(address)
    return await loop.create_unix_connection(make, address.path)


def _family(address: Unix) -> int:
    family: int | None = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise OSError(errno.EAFNOSUPPORT, "this host has no unix sockets", address.path)
    return family


def hints(address: Unix, mount: Mount) -> list[Hint]:
    """A kernel mounts it by the path."""
    return [Hint(f"{HERE}, as root", mount.unix(os.path.abspath(address.path)))]


TRANSPORT: Final = TransportType(
    form="unix:PATH",
    remote=lambda _: False,
    parse=parse,
    bind=bind,
    adopt=adopt,
    parse_remote=parse_remote,
    connect=connect,
    dial=dial,
    hints=hints,
    peers=frozenset({"uid", "gid"}),
    with_mode=lambda address, mode: replace(address, mode=mode),
    path_mark=":",
)
