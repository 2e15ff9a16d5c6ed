"""A throw-away virtual machine with a distribution's Linux kernel and its 9p client.

    with Guest(shares=[Share("tag", folder)]) as guest:
        guest.run("mount -t 9p -o trans=tcp,port=5640,version=9p2000.L 10.0.2.2 /mnt").check()

* 10.0.2.2 in the guest is this machine's 127.0.0.1; `Share`s are mounted with trans=virtio and
  served by QEMU's own
  9pfs, the peer.  What the guest writes to its disk is forgotten.
* `VhostUser` devices are other processes' to play: our server's, which the guest mounts with
  trans=virtio too.  They need a newer QEMU (see tests/guest/qemu.py). `Virtiofs` devices need none.
* Runs under software emulation unless $NINEP_TEST_ACCEL says otherwise (`kvm`): about 5 s from
  start to the first command, and no rights are needed.
* A command that outlives its limit hangs, as a rule, inside the kernel, where nothing can end it:
  the machine is thrown away then and `Lost` is raised.

Also a command for developers:
    python -m tests.guest.vm [--image full] [--share TAG=DIR[,MODEL]] [--vhost-user TAG=SOCKET] -- 'COMMANDS'
"""

from __future__ import annotations

import argparse
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.guest.debs import unpacked_kernel
from tests.guest.image import kernel_image, root_disk, write_initramfs
from tests.guest.qemu import (
    GENERIC_DEVICE,
    USER_NETWORK,
    Network,
    Qemu,
    Share,
    VhostUser,
    Virtiofs,
    machine_memory,
    qemu,
)
from tests.guest.qmp import Qmp

HOST = "10.0.2.2"  # what QEMU's user network calls this machine
BOOT_LIMIT = 120.0  # seconds; a boot takes 5 on an idle machine


class Lost(Exception):
    """The guest no longer answers; the text ends with what its kernel said last."""


@dataclass(frozen=True)
class Finished:
    """A command that came to its end in the guest."""

    command: str
    status: int
    output: str

    def check(self) -> Self:
        """Itself, or an AssertionError that shows the output when the status is not 0."""
        assert self.status == 0, f"`{self.command}` ended with {self.status}:\n{self.output}"
        return self


class Guest:
    """One virtual machine, from `with` to its end."""

    kernel: str

    def __init__(
        self,
        shares: Sequence[Share] = (),
        image: str = "base",
        memory_mib: int = 1024,
        processors: int = 1,
        *,
        vhost_user: Sequence[VhostUser | Virtiofs] = (),
        networks: Sequence[Network] = (USER_NETWORK,),
        accelerator: str = "",
        program: Qemu | None = None,
    ) -> None:
        self._shares = shares
        self._image = image
        self._memory = memory_mib
        self._processors = processors
        self._vhost_user = vhost_user
        self._networks = networks
        self._accelerator = accelerator or os.environ.get("NINEP_TEST_ACCEL", "tcg,thread=multi")
        self._program = program
        self._scratch = ""
        self._buffer = b""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Boot and wait for the agent.  Unavailable when this machine lacks something, Lost when the boot fails."""
        folder, version = unpacked_kernel()
        disk = root_disk(self._image)
        program = self._program or qemu(
            generic_device=any(isinstance(device, VhostUser) for device in self._vhost_user)
        )
        self._scratch = tempfile.mkdtemp(prefix="ninep-guest.")
        self._buffer = b""
        initramfs = Path(self._scratch, "initramfs")
        with initramfs.open("wb") as out:
            write_initramfs(out, folder, version)
        self._port, agent = socket.socketpair()
        ours, monitor = socket.socketpair()
        with agent, monitor:
            argv = [*program.command, *self._machine(monitor.fileno()), *self._devices(agent.fileno(), disk)]
            argv += ["-kernel", str(kernel_image(folder, version)), "-initrd", str(initramfs)]
            argv += ["-append", "console=ttyS0 quiet panic=-1 mitigations=off"]
            ends = [agent.fileno(), monitor.fileno()]
            self._qemu = subprocess.Popen(argv, stdin=subprocess.DEVNULL, pass_fds=ends)
        try:
            self.qmp = Qmp(ours)
        except OSError as error:
            raise self._lost(f"QEMU ended at once ({error})") from None
        for device in self._vhost_user:
            if isinstance(device, VhostUser) and device.reconnect_ms:
                self._plug(device)
        self.qmp.execute("cont")
        self._ready()

    def stop(self) -> None:
        """End the machine at once; nothing of it is kept."""
        if self._scratch:
            self._qemu.kill()
            self._qemu.wait()
            self._port.close()
            if hasattr(self, "qmp"):
                self.qmp.close()
            shutil.rmtree(self._scratch)
            self._scratch = ""

    def reset(self) -> None:
        """Reset the machine, as its button does, and wait until it has booted again."""
        self.qmp.execute("set-action", reboot="reset")
        self.qmp.execute("system_reset")
        self.qmp.wait("RESET")
        self._buffer = b""
        self._ready()
        self.qmp.execute("set-action", reboot="shutdown")

    @property
    def pid(self) -> int:
        """QEMU's process."""
        return self._qemu.pid

    @property
    def alive(self) -> bool:
        return bool(self._scratch)

    def run(
        self,
        command: str | Sequence[str],
        *,
        limit: float = 60,
        cwd: str = "/root",
        show: Callable[[str], object] = len,
    ) -> Finished:
        """Run a shell line or an argv as root and hand back its status and output (both streams in
        one).

        `limit` is in seconds; `show` is given each piece of output when it comes (`len`: nobody
        looks).
        """
        argv = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
        self._ask({"run": argv, "cwd": cwd})
        deadline = time.monotonic() + limit
        pieces: list[str] = []
        while True:
            try:
                answer = self._answer(deadline)
            except Lost as lost:
                raise Lost(
                    f"`{' '.join(argv)}`: {lost}\n--- the end of its output\n{''.join(pieces)[-1000:]}"
                ) from None
            if "exit" in answer:
                return Finished(" ".join(argv), int(str(answer["exit"])), "".join(pieces))
            pieces.append(str(answer["out"]))
            show(pieces[-1])

    def put(self, source: Path, target: str) -> None:
        """Copy a file, or a folder's regular files, into the guest."""
        if source.is_dir():
            for path in sorted(source.rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    self.put(path, f"{target}/{path.relative_to(source)}")
            return
        data = source.read_bytes()
        self._ask({"put": target, "mode": source.stat().st_mode & 0o777, "size": len(data)}, data)
        self._answer(time.monotonic() + 60)

    def _plug(self, device: VhostUser) -> None:
        """Make a device as soon as the process that plays it is connected."""
        end = time.monotonic() + BOOT_LIMIT
        while any(
            one["label"] == device.tag and one["filename"].startswith("disconnected")
            for one in self.qmp.execute("query-chardev")
        ):
            if time.monotonic() > end:
                raise self._lost(f"nobody plays {device.tag}")
            time.sleep(0.05)  # no event of QEMU tells
        self.qmp.execute("device_add", driver=GENERIC_DEVICE, id=f"{device.tag}-device", **device.properties())

    def _ready(self) -> None:
        self.kernel = str(self._answer(time.monotonic() + BOOT_LIMIT)["ready"])

    def _ask(self, request: dict[str, object], data: bytes = b"") -> None:
        if not self.alive:
            raise Lost("the guest is not running")
        self._port.sendall(json.dumps(request).encode() + b"\n" + data)

    def _answer(self, deadline: float) -> dict[str, object]:
        while b"\n" not in self._buffer:
            ready = select.select([self._port], [], [], max(0.0, deadline - time.monotonic()))[0]
            data = self._port.recv(1 << 20) if ready else b""
            if not data:
                raise self._lost("the machine ended" if ready else "no answer within the limit")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, object] = json.loads(line)
        return answer

    def _lost(self, words: str) -> Lost:
        console = Path(self._scratch, "console")
        told = console.read_text(errors="backslashreplace")[-3000:] if console.exists() else ""
        self.stop()
        return Lost(f"{words}; its console:\n{told}")

    def _machine(self, monitor: int) -> list[str]:
        return [
            "-accel", self._accelerator, "-smp", str(self._processors),
            *machine_memory(self._memory, shared=bool(self._vhost_user)),
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-S",
            "-serial", f"file:{self._scratch}/console",
            "-chardev", f"socket,id=monitor,fd={monitor}", "-qmp", "chardev:monitor",
        ]  # fmt: skip

    def _devices(self, port: int, disk: Path) -> list[str]:
        words = [
            "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=agent,fd={port}", "-device", "virtserialport,chardev=agent,name=ninep.agent",
            # snapshot: writes go to a scratch file of QEMU's, the cached image stays as it is
            "-drive", f"file={disk},format=raw,if=none,id=disk,cache=unsafe,snapshot=on",
            "-device", "virtio-blk-pci,drive=disk",
        ]  # fmt: skip
        for number, network in enumerate(self._networks):
            words += network.arguments(number)
        for share in self._shares:
            words += share.arguments()
        for device in self._vhost_user:
            words += device.arguments()
        return words


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.guest.vm")
    options.add_argument("--image", default="base")
    options.add_argument("--share", action="append", default=[], metavar="TAG=DIR[,MODEL]")
    options.add_argument("--vhost-user", action="append", default=[], metavar="TAG=SOCKET")
    options.add_argument("--virtiofs", action="append", default=[], metavar="TAG=SOCKET")
    options.add_argument("--put", action="append", default=[], metavar="SOURCE=TARGET")
    options.add_argument("--limit", type=float, default=300, metavar="SECONDS")
    options.add_argument("commands")
    chosen = options.parse_args()
    shares = []
    for text in chosen.share:
        tag, _, rest = text.partition("=")
        folder, _, model = rest.partition(",")
        shares.append(Share(tag, Path(folder).resolve(), model or "mapped-xattr"))
    kinds = ((VhostUser, chosen.vhost_user), (Virtiofs, chosen.virtiofs))
    named = [(kind, text.partition("=")) for kind, texts in kinds for text in texts]
    devices = [kind(tag, Path(path).resolve()) for kind, (tag, _, path) in named]
    with Guest(shares, chosen.image, vhost_user=devices) as guest:
        for text in chosen.put:
            source, _, target = text.partition("=")
            guest.put(Path(source), target)
        return guest.run(chosen.commands, limit=chosen.limit, show=lambda text: print(text, end="", flush=True)).status


if __name__ == "__main__":
    sys.exit(main())
