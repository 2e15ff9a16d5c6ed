"""A file system device for a virtual machine, over vhost-user: ``virtiofs:PATH,tag=TAG``.

The device of virtio 1.2, section 5.11, as QEMU's ``vhost-user-fs-pci`` has it since 5.0. Which processes may
connect, and what is trusted, is as for ``vhost_user``.

Rules

* Ring 0 is for requests of high priority (FORGET, INTERRUPT), the others for all else. A chain
  carries one FUSE request and has the place for its reply, if there is one.
* A request is copied before it is looked at; the data of a large WRITE stay where they are.
* A reply finds its chain by its ``unique``. What worker threads bring while the rings are stopped is
  kept until they go on.
* A session begins with INIT, which Linux sends once for each mount. A guest whose server was
  restarted does not know of that: what it asks is refused (EIO) until it mounts anew.
"""

from __future__ import annotations

import asyncio
import errno
import shlex
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Final

from ninep.host import shared
from ninep.linux import Errno
from ninep.transport import Address, Bound, TransportType, guest_device, nothing, unix
from ninep.transport.front_end import serve
from ninep.transport.fuse import PROTOCOL, MountOptions, show, split
from ninep.transport.hints import GUEST, Hint, Mount
from ninep.transport.peers import Peer, unix_peer
from ninep.transport.stored_front_end import StoredFrontEnd
from ninep.transport.vhost_user import NEEDS
from ninep.transport.virtqueue import Virtqueue
from ninep.virtio.device import Profile
from ninep.virtio.ring import Chain, RingError, SplitQueue
from ninep.wire.buffers import behind, first, scatter
from ninep.wire.fuse import IN_HEADER_SIZE, OUT_HEADER_SIZE, WRITE_HEADER_SIZE, Malformed, Opcode
from ninep.wire.fuse_codec import pack_error, unpack_header, unpack_out_header, unpack_unique
from ninep.wire.types import Buffer

FORM: Final = "virtiofs:PATH,tag=TAG"
QUEUES: Final = 1 + 8
"""Of high priority, and as many for requests as a front end may ask for (num-request-queues)."""
REQUESTS: Final = 1
"""The first ring for requests."""
QUEUE_SIZE: Final = 1024
LONGEST_TAG: Final = 36
"""Bytes of the tag in the config space, which the front end answers."""
COPIED: Final = 8192
"""Bytes up to which the data of a WRITE are copied with it."""
LARGEST_COPY: Final = 1 << 21


@dataclass(frozen=True, kw_only=True)
class VirtiofsOptions(MountOptions):
    """What may follow the path."""

    tag: str = guest_device.tag(LONGEST_TAG, "The tag: what the guest mounts.")
    unsealed_memory: bool = guest_device.unsealed_memory()


@dataclass(frozen=True, slots=True)
class Virtiofs(Address):
    """A unix socket to which a virtual machine's front end connects."""

    transport: ClassVar[str] = "virtiofs"
    path: str
    options: VirtiofsOptions = VirtiofsOptions()
    mode: int = 0o600
    """Permissions of the socket."""

    def __str__(self) -> str:
        return f"virtiofs:{show(self.path, self.options)}"

    @property
    def export(self) -> str:
        """The one that is mounted."""
        return self.options.export


def parse(rest: str) -> Virtiofs:
    """An address to listen at."""
    return Virtiofs(*split(rest, VirtiofsOptions, FORM))


def bind(address: Virtiofs) -> Bound:
    """A listening socket at the path."""
    if not shared.AVAILABLE or sys.byteorder != "little":
        raise OSError(errno.EAFNOSUPPORT, NEEDS)
    bound = unix.bind(unix.Unix(address.path, address.mode))
    return Bound(address, bound.sockets, bound.close)


def accept(
    sock: socket.socket, address: Virtiofs, make: Any, gone: Callable[[], None], stored: StoredFrontEnd | None
) -> Callable[[], None]:
    """A device for the front end that connected."""
    options = address.options
    peer = unix_peer(sock)
    shown = f"{peer.shown.replace('unix', 'virtiofs', 1)} tag={options.tag}"
    peer = replace(peer, shown=shown, device=options.tag)
    role = VirtioFs(make, peer)
    device = Profile(0, b"", QUEUES, QUEUE_SIZE)
    return serve(sock, device, role, peer, gone, unsealed=options.unsealed_memory, stored=stored)


class _Ring:
    """One of the device's rings."""

    __slots__ = ("held", "queue")

    def __init__(
        self, serve: Callable[[_Ring, Chain], None], broken: Callable[[RingError], None], idle: Callable[[], bool]
    ) -> None:
        self.queue = Virtqueue(partial(serve, self), lambda _: None, broken, idle)
        self.held: list[tuple[Chain, bytes]] = []
        """Replies that came while it was stopped."""


class VirtioFs:
    """One device: the role of its rings, and the transport of the connection that it carries.

    Args:
        make: makes the connection.
        peer: the process of the virtual machine.
    """

    def __init__(self, make: Callable[[Any], Any], peer: Peer) -> None:
        self._make = make
        self._peer = peer
        self._connection: Any = None
        self._closing = False
        self._paused = False
        self._rings: dict[int, _Ring] = {}
        self._pending: dict[int, list[tuple[_Ring, Chain]]] = {}
        """Chains that are not answered, by ``unique``: more than one of a guest that uses it twice."""
        self.broken: Callable[[int, RingError], None] = lambda *_: None
        self.session_ended: Callable[[], None] = nothing

    # -- the device's calls (virtio.device.Role) -----------------------------------------------------------------------

    def start(self, index: int, queue: SplitQueue, kick: int, call: Callable[[], None], *, resumed: bool) -> None:
        """A ring runs."""
        ring = self._rings.get(index)
        if ring is None:
            ring = self._rings[index] = _Ring(self._serve, partial(self._break, index), self._idle)
            if self._paused:
                ring.queue.pause()
        ring.queue.start(queue, kick, call)
        if resumed:
            held, ring.held = ring.held, []
            for chain, reply in held:
                self._return(ring, chain, (reply,), len(reply))
        else:
            try:
                for chain in queue.recover():
                    self._recover(ring, chain)
            except RingError as error:
                ring.queue.fail(error)
        ring.queue.flush()

    def stop(self, index: int) -> None:
        """A ring is stopped."""
        self._rings[index].queue.stop()

    def end(self) -> None:
        """The guest has begun anew, or is gone."""
        self._rings.clear()
        self._pending.clear()
        self._lose()

    def _break(self, index: int, error: RingError) -> None:
        self.broken(index, error)
        for ring in self._rings.values():
            ring.queue.stop()
        self.end()

    def _lose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.lost()
            self.resume()  # whatever reason it had not to
            self.session_ended()

    # -- requests ------------------------------------------------------------------------------------------------------

    def _serve(self, ring: _Ring, chain: Chain) -> None:
        frame, payload = _message(chain)
        connection = self._connection
        if connection is None:
            if self._closing:
                self._refuse(ring, chain, frame, Errno.ENOTCONN)
                return
            connection = self._connection = self._make(self)
            connection.made(self._peer)
        (unique,) = unpack_unique(frame)
        room = chain.writable
        if room:
            pending = self._pending.get(unique)
            if pending is None:
                self._pending[unique] = [(ring, chain)]
            else:
                pending.append((ring, chain))
        try:
            written = connection.message(frame, payload, room)
        except Malformed as error:
            raise RingError(str(error)) from None
        if written > 0:
            self._take(unique, chain)
            ring.queue.push(chain.head, written)
        elif written < 0 or not room:
            if room:
                self._take(unique, chain)
            ring.queue.push(chain.head, 0)

    def _refuse(self, ring: _Ring, chain: Chain, frame: bytes, code: Errno) -> None:
        reply = pack_error(unpack_header(frame)[2], code)
        self._return(ring, chain, (reply,) if chain.writable else (), OUT_HEADER_SIZE)

    def _recover(self, ring: _Ring, chain: Chain) -> None:
        """A request that an earlier server had taken and not answered."""
        try:
            frame, _ = _message(chain)
        except RingError:
            ring.queue.push(chain.head, 0)
            return
        if unpack_header(frame)[1] == Opcode.INIT:
            self._serve(ring, chain)
        else:
            self._refuse(ring, chain, frame, Errno.EIO)

    # -- replies (transport.writer.Transport) --------------------------------------------------------------------------

    def write(self, buffer: Buffer) -> None:
        """One reply."""
        self.write_all((buffer,))

    def write_all(self, buffers: Sequence[Buffer]) -> None:
        """One reply, in several buffers."""
        size, _, unique = unpack_out_header(buffers[0])
        found = self._take(unique)
        if found is not None:
            ring, chain = found
            self._return(ring, chain, buffers, size)
            ring.queue.flush()

    def _return(self, ring: _Ring, chain: Chain, parts: Sequence[Buffer], size: int) -> None:
        """Write a reply into its chain; an error if it has no room, nothing if that has none."""
        if size > chain.writable_size and parts:
            parts = (pack_error(unpack_out_header(parts[0])[2], Errno.EIO),)
            size = OUT_HEADER_SIZE
            if size > chain.writable_size:
                parts, size = (), 0
        if not ring.queue.running:
            ring.held.append((chain, b"".join(parts)))
            return
        left: Sequence[memoryview] = chain.writable
        for part in parts:
            left = behind(left, scatter(left, part))
        ring.queue.push(chain.head, size if parts else 0)

    def _take(self, unique: int, chain: Chain | None = None) -> tuple[_Ring, Chain] | None:
        """The chain of a reply, out of the table, and its ring: the one that was written to, or the
        oldest.
        """
        pending = self._pending.get(unique)
        if pending is None:
            return None
        if len(pending) == 1:
            del self._pending[unique]
            return pending[0]
        at = 0 if chain is None else next(at for at, (_, one) in enumerate(pending) if one is chain)
        return pending.pop(at)

    # -- flow and end --------------------------------------------------------------------------------------------------

    def pause(self) -> None:
        """Take no more requests until ``resume``."""
        self._paused = True
        for ring in self._rings.values():
            ring.queue.pause()

    def resume(self) -> None:
        """Take them again."""
        self._paused = False
        for ring in self._rings.values():
            ring.queue.resume()

    def close(self) -> None:
        """End the connection, and begin no more."""
        self._closing = True
        asyncio.get_running_loop().call_soon(self._lose)

    abort = close

    def _idle(self) -> bool:
        """Nothing is in flight, and there is no other ring to wait for but that of high priority,
        whose requests have no hurry.
        """
        return (
            not self._pending
            and len(self._rings) <= REQUESTS + 1
            and self._connection is not None
            and self._connection.alone()
        )

    def shut(self) -> bool:
        """Begin no more connections. True: there is none."""
        self._closing = True
        return self._connection is None


def _message(chain: Chain) -> tuple[bytes, Sequence[memoryview] | None]:
    """The request of a chain, copied; the data of a large WRITE are left where they are. ``RingError``
    for what is none.
    """
    readable, size = chain.readable, chain.readable_size
    if size < IN_HEADER_SIZE:
        raise RingError(f"a request of {size} bytes")
    if size > COPIED:
        head = b"".join(first(readable, WRITE_HEADER_SIZE))
        if unpack_header(head)[1] == Opcode.WRITE:
            return head, behind(readable, WRITE_HEADER_SIZE)
        if size > LARGEST_COPY:
            raise RingError(f"a request of {size} bytes")
    return readable[0].tobytes() if len(readable) == 1 else b"".join(readable), None


# -- hints ------------------------------------------------------------------------------------------------------------------

QEMU: Final = "QEMU 5.0 or newer"


def hints(address: Virtiofs, mount: Mount) -> list[Hint]:
    """QEMU's arguments, and the mount line."""
    del mount
    tag = address.options.tag
    device = f"vhost-user-fs-pci,tag={tag.replace(',', ',,')},queue-size={QUEUE_SIZE}"
    line = shlex.join(["mount", "-t", "virtiofs", tag, "/mnt"])
    return [*guest_device.qemu(QEMU, address.transport, address.path, tag, device), Hint(GUEST, line)]


TRANSPORT: Final = TransportType(
    form=FORM,
    remote=lambda _: False,
    parse=parse,
    bind=bind,
    hints=hints,
    with_mode=lambda address, mode: replace(address, mode=mode),
    raw=False,
    accept=accept,
    options=VirtiofsOptions,
    protocol=PROTOCOL,
    peers=frozenset({"uid", "gid"}),
)
