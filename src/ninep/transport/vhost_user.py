"""A 9P device for a virtual machine, over vhost-user: ``vhost-user:PATH,tag=TAG``.

QEMU connects to the unix socket and shares the guest's memory: a process that may connect is trusted
with the server's answers as over any unix socket, and gives the server its guest's memory. The guest
itself is not trusted (``virtio``). Each connection is a device of its own.

Linux only: the memory comes as sealed memfds, the signals as eventfds.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from ninep.host import shared
from ninep.options import BadOption, Kind, OptionSet, number, option, read_words, rows, split_commas, text
from ninep.transport import Address, BadAddress, Bound, TransportType, guest_device, unix
from ninep.transport.front_end import serve
from ninep.transport.hints import GUEST, Hint, Mount
from ninep.transport.peers import unix_peer
from ninep.transport.stored_front_end import StoredFrontEnd
from ninep.transport.stream import MakeConnection
from ninep.transport.virtio_9p import DEVICE_ID, LARGEST_MSIZE, MAX_CHAINS, Virtio9P, profile
from ninep.virtio.messages import MAX_CONFIG

LONGEST_TAG: Final = MAX_CONFIG - 2
"""Bytes of a mount tag: the config space has its length in two bytes before it."""
SMALLEST_QUEUE, LARGEST_QUEUE = 8, 1024
NEEDS: Final = "vhost-user needs Linux on a little-endian machine (memfd, eventfd); unix: and tcp work here"


def _power_of_two(given: object) -> int:
    size = _QUEUE.value(given)
    if size & (size - 1):
        raise BadOption(f"{size} is not a power of two")
    return size


_QUEUE: Final = number(SMALLEST_QUEUE, LARGEST_QUEUE)
QUEUE_SIZE: Final = Kind("N", _power_of_two, _power_of_two, str, _QUEUE.schema)


@dataclass(frozen=True, kw_only=True)
class VhostUserOptions(OptionSet):
    """What may follow the path."""

    tag: str = guest_device.tag(LONGEST_TAG, "The mount tag: what the guest mounts.")
    export: str = option("", text("a name", "NAME"), "The export that the guest gets if it names none.")
    queue_size: int = option(
        MAX_CHAINS, QUEUE_SIZE, "Requests that the guest can have outstanding; vq_size of QEMU's device."
    )
    unsealed_memory: bool = guest_device.unsealed_memory()


@dataclass(frozen=True, slots=True)
class VhostUser(Address):
    """A unix socket to which a virtual machine's front end connects."""

    transport: ClassVar[str] = "vhost-user"
    path: str
    options: VhostUserOptions = VhostUserOptions()
    mode: int = 0o600
    """Permissions of the socket."""

    def __str__(self) -> str:
        path = self.path.replace(",", ",,")
        return f"vhost-user:{path},tag={self.options.tag.replace(',', ',,')}" + "".join(
            f",{part}" for part in str(replace(self.options, tag="ninep")).split(",") if part
        )

    @property
    def export(self) -> str:
        """The one that an empty aname means."""
        return self.options.export


def parse(rest: str) -> VhostUser:
    """An address to listen at."""
    try:
        path, *parts = split_commas(rest) or [""]
        if not path or path.partition("=")[0] in {row.key for row in rows(VhostUserOptions)}:
            raise BadAddress("vhost-user: needs a path, vhost-user:PATH,tag=TAG")
        options = VhostUserOptions(**read_words(parts, rows(VhostUserOptions)))
    except BadOption as error:
        raise BadAddress(str(error)) from None
    return VhostUser(path, options)


def bind(address: VhostUser) -> Bound:
    """A listening socket at the path."""
    if not shared.AVAILABLE or sys.byteorder != "little":
        raise OSError(errno.EAFNOSUPPORT, NEEDS)
    bound = unix.bind(unix.Unix(address.path, address.mode))
    return Bound(address, bound.sockets, bound.close)


def accept(
    sock: socket.socket,
    address: VhostUser,
    make: MakeConnection,
    gone: Callable[[], None],
    stored: StoredFrontEnd | None,
) -> Callable[[], None]:
    """A device for the front end that connected."""
    options = address.options
    peer = unix_peer(sock)
    shown = f"{peer.shown.replace('unix', 'vhost-user', 1)} tag={options.tag}"
    peer = replace(peer, shown=shown, device=options.tag)
    role = Virtio9P(make, peer, address.export)
    device = profile(os.fsencode(options.tag), options.queue_size)
    return serve(sock, device, role, peer, gone, unsealed=options.unsealed_memory, stored=stored)


# -- hints ------------------------------------------------------------------------------------------------------------------

QEMU: Final = "QEMU 10.2 or newer"
QEMU_DEVICE: Final = "vhost-user-test-device-pci"
"""QEMU's front end for a vhost-user device of any kind."""
MOUNT: Final = f"{GUEST} (msize: 128 buffers of 4 KiB are the most there)"


def hints(address: VhostUser, mount: Mount) -> list[Hint]:
    """QEMU's arguments, and the mount line."""
    tag = address.options.tag
    ring = f"virtio-id={DEVICE_ID},num_vqs=1,vq_size={address.options.queue_size}"
    device = f"{QEMU_DEVICE},{ring},config_size={2 + len(os.fsencode(tag))}"
    if mount.name == address.export:
        mount = mount._replace(name="")
    elif not mount.name:
        return []
    line = mount._replace(msize=min(mount.msize, LARGEST_MSIZE)).line("trans=virtio", tag)
    return [*guest_device.qemu(QEMU, address.transport, address.path, tag, device), Hint(MOUNT, line)]


TRANSPORT: Final = TransportType(
    form="vhost-user:PATH,tag=TAG",
    remote=lambda _: False,
    parse=parse,
    bind=bind,
    hints=hints,
    with_mode=lambda address, mode: replace(address, mode=mode),
    raw=False,
    accept=accept,
    options=VhostUserOptions,
    peers=frozenset({"uid", "gid"}),
)
