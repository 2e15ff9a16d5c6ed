"""QEMU for the guests: which program, and the arguments of its devices.

The machine's own QEMU is good for most of it.  `vhost-user-test-device-pci`, the generic device that
our server plays over a unix socket, can be created by users since QEMU 10.2: where the machine's is
older, one from Debian's backports is unpacked into the cache and run from there, with the loader and
the libraries that came with it (ld.so(8)).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.guest.debs import Suites, Unavailable, appear_whole, cache_dir, need, unpacked_closure
from tests.guest.image import USELESS

PROGRAM = "qemu-system-x86_64"
GENERIC_DEVICE = "vhost-user-test-device-pci"
GENERIC_DEVICE_SINCE = (10, 2)
NEWER = Suites(("trixie", "trixie-backports"))
NEWER_PACKAGES = tuple(
    f"{name}/trixie-backports" for name in ("qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios")
)
RECIPE = 1  # raise it when `unpacked_qemu` makes other things: the cached folder is then made again
LIBRARIES = "usr/lib/x86_64-linux-gnu"
VIRTIO_ID_9P = 9  # linux/virtio_ids.h


@dataclass(frozen=True)
class Qemu:
    """A QEMU of this machine: how it is called, and its version."""

    command: tuple[str, ...]
    version: tuple[int, ...]

    @property
    def has_generic_device(self) -> bool:
        """Whether users can create vhost-user-test-device-pci."""
        return self.version >= GENERIC_DEVICE_SINCE


@dataclass(frozen=True)
class Share:
    """A folder of this machine that QEMU itself serves to the guest."""

    tag: str
    folder: Path
    model: str = "mapped-xattr"
    options: str = ""

    def arguments(self) -> list[str]:
        extra = f",{self.options}" if self.options else ""
        return [
            "-fsdev", f"local,id={self.tag},path={self.folder},security_model={self.model}{extra}",
            "-device", f"virtio-9p-pci,fsdev={self.tag},mount_tag={self.tag}",
        ]  # fmt: skip


@dataclass(frozen=True)
class VhostUser:
    """A virtio-9p device that another process plays, over the unix socket it listens at.

    With `reconnect_ms` QEMU connects again when it lost the other process. It does not wait for its
    first connection then, which this device needs when it is made: the device is plugged in later.
    """

    tag: str
    socket: Path
    reconnect_ms: int = 0
    queue_size: int = 128

    def arguments(self) -> list[str]:
        """For QEMU's command line."""
        if self.reconnect_ms:
            return ["-chardev", f"socket,id={self.tag},path={self.socket},reconnect-ms={self.reconnect_ms}"]
        words = [f"{key}={value}" for key, value in self.properties().items()]
        return ["-chardev", f"socket,id={self.tag},path={self.socket}", "-device", ",".join([GENERIC_DEVICE, *words])]

    def properties(self) -> dict[str, object]:
        """Of the device, as -device and device_add take them."""
        size = 2 + len(self.tag.encode())  # struct virtio_9p_config: the tag's length and the tag
        sizes = {"num_vqs": 1, "vq_size": self.queue_size, "config_size": size}
        return {"chardev": self.tag, "virtio-id": VIRTIO_ID_9P, **sizes}


@dataclass(frozen=True)
class Virtiofs:
    """A file system device that another process plays, over the unix socket it listens at. Every QEMU
    since 5.0 has the front end.
    """

    tag: str
    socket: Path
    queue_size: int = 1024

    def arguments(self) -> list[str]:
        return [
            "-chardev", f"socket,id={self.tag},path={self.socket}",
            "-device", f"vhost-user-fs-pci,chardev={self.tag},tag={self.tag},queue-size={self.queue_size}",
        ]  # fmt: skip


@dataclass(frozen=True)
class Network:
    """One network device: its back end as QEMU's -netdev takes it, without the id."""

    backend: str

    def arguments(self, number: int) -> list[str]:
        name, _, options = self.backend.partition(",")
        extra = f",{options}" if options else ""
        device = f"virtio-net-pci,netdev=net{number},romfile="
        return ["-netdev", f"{name},id=net{number}{extra}", "-device", device]


USER_NETWORK = Network("user")


def machine_memory(mib: int, *, shared: bool) -> list[str]:
    """The guest's memory; shared with the processes that play its devices when asked."""
    if not shared:
        return ["-m", str(mib)]
    backend = f"memory-backend-memfd,id=memory,size={mib}M,share=on"
    return ["-m", str(mib), "-object", backend, "-machine", "pc,memory-backend=memory"]


def qemu(*, generic_device: bool = False) -> Qemu:
    """The machine's QEMU, or a newer one from the cache when the generic device is needed.

    Raises:
        Unavailable: there is none and none can be had.
    """
    if not generic_device:
        return installed_qemu()
    try:
        ours = installed_qemu()
    except Unavailable:
        return unpacked_qemu()
    return ours if ours.has_generic_device else unpacked_qemu()


@cache
def installed_qemu() -> Qemu:
    """The one of the machine's PATH."""
    return _asked((need(PROGRAM),))


@cache
def unpacked_qemu() -> Qemu:
    """The newer one, downloaded and unpacked at first use (155 MB)."""
    folder = cache_dir() / f"qemu-{RECIPE}"
    if not folder.exists():
        with appear_whole(folder) as made:
            unpacked_closure(NEWER_PACKAGES, made, NEWER)
            for path in USELESS:
                shutil.rmtree(made / path, ignore_errors=True)
    loader = folder / "usr/lib64/ld-linux-x86-64.so.2"
    data = [word for name in ("qemu", "seabios") for word in ("-L", str(folder / "usr/share" / name))]
    words = [str(loader), "--library-path", str(folder / LIBRARIES), str(folder / "usr/bin" / PROGRAM), *data]
    found = _asked(words)
    if not found.has_generic_device:
        raise Unavailable(f"Debian's QEMU {found.version} has no vhost-user-test-device-pci")
    return found


def _asked(command: Sequence[str]) -> Qemu:
    said = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"version (\d+)\.(\d+)\.(\d+)", said.stdout)
    if not found:
        raise Unavailable(f"{' '.join(command)} does not say its version: {said.stderr.strip()[-300:]}")
    return Qemu(tuple(command), tuple(map(int, found.groups())))
