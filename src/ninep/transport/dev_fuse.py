"""A mount of this machine's own kernel: ``fuse:MOUNTPOINT``.

fusermount3(1) mounts and passes the descriptor of /dev/fuse through a socket (``_FUSE_COMMFD``,
libfuse lib/mount.c); each read of it is one request, each write one reply. Other users than the one
that mounts see nothing of it unless that one is root, or user_allow_other is set in /etc/fuse.conf.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from ninep.host.process_user import own_gid, own_uid
from ninep.transport import Address, Listener, TransportType
from ninep.transport.fuse import DEFAULT, PROTOCOL, MountOptions, show, split
from ninep.transport.hints import Hint, Mount
from ninep.transport.peers import Peer
from ninep.wire.types import Buffer

FORM: Final = "fuse:MOUNTPOINT"
# Calls that other systems do not have.
_receive: Any = getattr(socket, "recv_fds", None)
_set_blocking: Any = getattr(os, "set_blocking", None)
_readv: Any = getattr(os, "readv", None)
_writev: Any = getattr(os, "writev", None)
HELPER: Final = "fusermount3"
READ_SIZE: Final = (1 << 20) + 4096 + 4096
"""The kernel wants room for a request of max_write and its header (fuse_dev_do_read: EINVAL)."""
TURNS: Final = 64
"""Requests that are read in a row."""
_GONE: Final = frozenset({errno.ENODEV, errno.EBADF})
_SKIPPED: Final = frozenset({errno.ENOENT, errno.EINTR})
"""Of read: the request was interrupted. Of write: the reply is not waited for any more."""


@dataclass(frozen=True, slots=True)
class FuseMount(Address):
    """A folder of this machine to mount at."""

    transport: ClassVar[str] = "fuse"
    path: str
    options: MountOptions = DEFAULT

    @property
    def place(self) -> str:
        """The path from the root: the helper and the end look at it from elsewhere."""
        return os.path.abspath(self.path)

    def __str__(self) -> str:
        return f"fuse:{show(self.path, self.options)}"

    @property
    def export(self) -> str:
        """The one that is mounted."""
        return self.options.export


def parse(rest: str) -> FuseMount:
    """An address to listen at."""
    return FuseMount(*split(rest, MountOptions, FORM))


async def mount(path: str, fsname: str = "ninep") -> int:
    """Mount at a folder: the descriptor to serve. ``OSError`` with what the helper said."""
    helper = shutil.which(HELPER)
    if helper is None or _receive is None:
        raise OSError(errno.ENOSYS, f"fuse: needs Linux and {HELPER}, which is in Debian's package fuse3")
    _check_mountpoint(path)
    ours, theirs = socket.socketpair()
    others = ",allow_other" if own_uid() == 0 else ""
    with ours, theirs:
        # default_permissions: permissions are checked by the kernel, and by it alone
        options = f"fsname={fsname},subtype=ninep,default_permissions{others},nosuid,nodev"
        # No thread waits for it: signals are for one that begins later (``app.ending``).
        done = await asyncio.create_subprocess_exec(
            *(helper, "-o", options, "--", path),
            env={**os.environ, "_FUSE_COMMFD": str(theirs.fileno())},
            pass_fds=[theirs.fileno()],
            stderr=subprocess.PIPE,
        )
        _, said = await done.communicate()
        if done.returncode:
            raise OSError(errno.EACCES, said.decode(errors="replace").strip() or f"{HELPER} failed")
        _, descriptors, _, _ = _receive(ours, 1, 1)
    _set_blocking(descriptors[0], False)
    return int(descriptors[0])


def _check_mountpoint(path: str) -> None:
    """A folder on which nothing is mounted: fusermount3 would take a file as well, and hide it."""
    if not stat.S_ISDIR(os.stat(path).st_mode):
        raise OSError(errno.ENOTDIR, "fuse: mounts on a folder, and this is none", path)
    if os.path.ismount(path):
        raise OSError(errno.EBUSY, f"fuse: something is mounted there already (fusermount3 -u {path})", path)


def unmount(path: str) -> None:
    """Take the mount away, also while it is in use (MNT_DETACH)."""
    subprocess.run([HELPER, "-u", "-z", "--", path], capture_output=True, check=False)


class Device:
    """The transport of one mount: what ``FuseConnection`` writes to."""

    def __init__(self, descriptor: int, path: str) -> None:
        self._descriptor = descriptor
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray(READ_SIZE)
        self._view = memoryview(self._buffer)
        self._paused = False
        self.connection: Any = None

    def start(self) -> None:
        """Serve."""
        self._loop.add_reader(self._descriptor, self._readable)

    def _readable(self) -> None:
        for _ in range(TURNS):
            if self._paused or self._descriptor < 0:
                return
            try:
                count = _readv(self._descriptor, [self._buffer])
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _SKIPPED:
                    continue
                self.abort()  # ENODEV: it was unmounted
                return
            self.connection.message(bytes(self._view[:count]))

    def write_all(self, buffers: Sequence[Buffer]) -> None:
        """Send one reply."""
        try:
            _writev(self._descriptor, buffers)
        except OSError as error:
            if error.errno not in _SKIPPED and error.errno not in _GONE:
                raise

    def write(self, buffer: Buffer) -> None:
        """Send one reply."""
        self.write_all([buffer])

    def pause(self) -> None:
        """Take no more requests."""
        self._paused = True
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)

    def resume(self) -> None:
        """Take requests again."""
        self._paused = False
        if self._descriptor >= 0:
            self._loop.add_reader(self._descriptor, self._readable)

    def close(self) -> None:
        """The end: unmount."""
        if self._descriptor < 0:
            return
        self._loop.remove_reader(self._descriptor)
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)
        unmount(self._path)
        self._loop.call_soon(self.connection.lost)

    abort = close


async def listen(address: FuseMount, make: Any) -> Listener:
    """Mount and serve."""
    descriptor = await mount(address.place)
    device = Device(descriptor, address.place)
    device.connection = make(device)
    device.connection.made(Peer(f"fuse {address.place}", uid=own_uid(), gid=own_gid()))
    device.start()
    return Listener(address, device.close)


def hints(address: FuseMount, mount: Mount) -> list[Hint]:
    """It is mounted."""
    del mount
    return [Hint("on this computer", f"ls {address.path}")]


TRANSPORT: Final = TransportType(
    form=FORM,
    remote=lambda _: False,
    parse=parse,
    listen=listen,
    hints=hints,
    protocol=PROTOCOL,
    options=MountOptions,
    peers=frozenset({"uid", "gid"}),
)
