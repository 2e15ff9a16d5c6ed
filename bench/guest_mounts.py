"""How the guest of bench/guest_job.py reaches a folder of the host.

A mount has a key: `TRANSPORT:MODEL` is this server over one of the TRANSPORTS, `9pfs:MODEL` QEMU's
own, `virtiofsd` and `virtiofsd-c` the virtiofs servers of Rust and of QEMU before 8.0 (VIRTIOFSD), a
key of bench/servers.py another server over TCP, `memory` the guest's own memory.  All are
there at once, in one guest, so that they can be measured in turn.  This server and QEMU's own serve
the same folder of a model: what they keep on disk is the same.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.guest.qemu import USER_NETWORK, Network, Share, VhostUser, Virtiofs
from tests.guest.vm import HOST, Guest

from bench import servers, tree
from bench.guest_rows import JOB, LISTED, STAGES, Row, Stage

# The host, as the guest sees it there; the guest is .15 of the same network.
PASST_HOST = "10.0.3.2"
TAP_HOST = "10.0.4.1"
TRANSPORTS = ("virtio", "virtiofs", "tcp", "passt", "tap")
JOB_ROWS = frozenset(row.key for row in JOB)
VIRTIOFS_ROWS = frozenset(row.key for stage in STAGES[:-1] for row in stage.rows)
"""All but those of cache=mmap, which is an option of 9P's client alone."""
VIRTIOFSD = {
    "virtiofsd": (
        ("virtiofsd", "/usr/libexec/virtiofsd"),
        "--socket-path {socket} --shared-dir {tree} --sandbox chroot --cache auto --xattr --log-level error",
    ),
    "virtiofsd-c": (
        ("/usr/lib/qemu/virtiofsd",),
        "-f --socket-path={socket} -o source={tree} -o sandbox=chroot -o cache=auto -o xattr -o log_level=err",
    ),
}
"""Where each is found, and its words. The cache's rule is that of `ninep serve` as well: names and
attributes for one second (cache=auto; both server's default), and extended attributes are there."""
TICKS = os.sysconf("SC_CLK_TCK")
START_LIMIT = 20.0  # seconds until passt has made its socket


class Missing(Exception):
    """This machine cannot do it; the text says why."""


@dataclass(frozen=True)
class MountPoint:
    """A mount: its key, and mount(8)'s type, source and options ("" for no mount at all)."""

    key: str
    source: str = ""
    options: str = ""
    pid: int = 0  # of a server in a process of its own
    rows: frozenset[str] = frozenset()  # that are run on it; empty: all
    kind: str = "9p"  # of file system

    def of(self, stage: Stage) -> tuple[Row, ...]:
        """The rows of a stage that are run on it."""
        return tuple(row for row in stage.rows if not self.rows or row.key in self.rows)

    def command(self, options: str, at: str) -> str:
        """The guest's command that mounts it with these options (of 9P's client)."""
        if self.kind == "virtiofs":
            return f"mount -t virtiofs {self.source} {at}"
        return f"mount -t 9p -o version=9p2000.L,access=any,{self.options},{options} {self.source} {at}"


@dataclass
class Setup:
    """All that is there on the host for the mounts that were asked for."""

    scratch: Path
    programs: servers.Programs
    mounts: list[MountPoint] = field(default_factory=list)
    shares: list[Share] = field(default_factory=list)
    devices: list[VhostUser | Virtiofs] = field(default_factory=list)
    networks: list[Network] = field(default_factory=lambda: [USER_NETWORK])
    interfaces: list[str] = field(default_factory=list)  # shell lines for the guest
    processes: list[int] = field(default_factory=list)  # processes beside QEMU and the servers

    def folder(self, name: str) -> Path:
        """The exported folder of a model or server, with the listing in it."""
        path = self.scratch / name
        if not path.exists():
            path.mkdir()
            tree.directory(tree.BenchTree(str(path), entries=LISTED), LISTED)
        return path

    def interface(self, backend: str, subnet: str) -> None:
        """One more network device of the guest, with an address below `subnet`."""
        name = f"eth{len(self.networks)}"
        self.networks.append(Network(backend))
        self.interfaces.append(f"ip link set {name} up && ip addr add {subnet}.15/24 dev {name}")

    def up(self, guest: Guest) -> None:
        """Configure the guest's further network devices."""
        for line in self.interfaces:
            guest.run(line).check()


def processor(pids: Sequence[int]) -> float:
    """Seconds of processor time used by these processes (proc(5): utime and stime)."""
    used = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
            fields = f.read().rpartition(")")[2].split()
        used += int(fields[11]) + int(fields[12])
    return used / TICKS


@contextlib.contextmanager
def set_up(keys: Sequence[str], scratch: str, programs: servers.Programs) -> Iterator[Setup]:
    """Start what the mounts need; those that this machine lacks something for are left out, with a
    message.
    """
    setup = Setup(Path(scratch), programs)
    asked = [key.partition(":")[::2] for key in keys]
    with contextlib.ExitStack() as stack:
        ready = {"virtio", "virtiofs", "tcp"}
        for name, start in (("passt", _passt), ("tap", _tap)):
            if any(transport == name for transport, _ in asked):
                try:
                    stack.enter_context(start(setup))
                    ready.add(name)
                except Missing as why:
                    print(f"left out: {name}: {why}", file=sys.stderr)
        models = dict.fromkeys(model for transport, model in asked if transport in TRANSPORTS)
        ours = {}
        for model in models:
            used = {transport for transport, other in asked if other == model} & ready
            ours[model] = stack.enter_context(_serving(setup, model, used))
        for transport, model in asked:
            setup.mounts += _mounts(setup, stack, transport, model, ours, ready)
        yield setup


def _mounts(
    setup: Setup,
    stack: contextlib.ExitStack,
    transport: str,
    model: str,
    ours: dict[str, servers.Running],
    ready: set[str],
) -> list[MountPoint]:
    key = f"{transport}:{model}" if model else transport
    if transport in TRANSPORTS:
        if transport not in ready:
            return []
        if transport == "virtio":
            return [MountPoint(key, f"ninep-{model}", "trans=virtio", ours[model].pid)]
        if transport == "virtiofs":
            return [MountPoint(key, f"fs-{model}", "", ours[model].pid, VIRTIOFS_ROWS, "virtiofs")]
        host = {"tcp": HOST, "passt": PASST_HOST, "tap": TAP_HOST}[transport]
        return [MountPoint(key, host, _tcp(ours[model]), ours[model].pid)]
    if transport == "9pfs":
        setup.shares.append(Share(model, setup.folder(model), model))
        return [MountPoint(key, model, "trans=virtio")]
    if transport == "memory":
        return [MountPoint(key, rows=JOB_ROWS)]
    if transport in VIRTIOFSD:
        try:
            pid = stack.enter_context(_virtiofsd(setup, transport))
        except Missing as why:
            print(f"left out: {key}: {why}", file=sys.stderr)
            return []
        return [MountPoint(key, transport, "", pid, VIRTIOFS_ROWS, "virtiofs")]
    server = servers.BY_KEY[key]
    if reason := servers.missing(server, setup.programs):
        print(f"left out: {key}: {reason}", file=sys.stderr)
        return []
    up = stack.enter_context(servers.running(server, str(setup.folder(key)), setup.programs, _cpus()))
    # The limit server implements too little for the job: it shows the cost of the round trips alone.
    rows = frozenset({"stat"}) if server.kind == "limit" else JOB_ROWS
    return [MountPoint(key, HOST, _tcp(up), up.pid, rows)]


def _tcp(up: servers.Running) -> str:
    aname = f",aname={up.aname}" if up.aname else ""
    return f"trans=tcp,port={up.port},uname=root{aname}"


def _cpus() -> tuple[int, ...]:
    return tuple(sorted(os.sched_getaffinity(0)))


@contextlib.contextmanager
def _serving(setup: Setup, model: str, used: set[str]) -> Iterator[servers.Running]:
    """This server with one model, listening on all the transports that are used."""
    words = f"{{ninep}} serve {{tree}} --security-model {model}"
    if "virtio" in used:
        device = VhostUser(f"ninep-{model}", setup.scratch / f"{model}.socket")
        setup.devices.append(device)
        words += f" --listen vhost-user:{device.socket},tag={device.tag}"
    if "virtiofs" in used:
        shared = Virtiofs(f"fs-{model}", setup.scratch / f"fs-{model}.socket")
        setup.devices.append(shared)
        words += f" --listen virtiofs:{shared.socket},tag={shared.tag}"
    if "tap" in used:
        words += f" --listen {TAP_HOST}:{{port}} --allow any"
    words += " --listen 127.0.0.1:{port}"
    server = servers.Server(f"ninep-{model}", f"ninep, {model}", words, "ours")
    with servers.running(server, str(setup.folder(model)), setup.programs, _cpus()) as up:
        yield up


def _started(words: Sequence[str], path: Path) -> subprocess.Popen[bytes]:
    """A process that has made its socket.

    Raises:
        Missing: it ended, or there was none within START_LIMIT.
    """
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + START_LIMIT
    while not path.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    if not path.exists():
        process.kill()
        process.wait()
        raise Missing("it ends at once")
    return process


@contextlib.contextmanager
def _virtiofsd(setup: Setup, key: str) -> Iterator[int]:
    """Another virtiofs server, as a device of the guest; gives its process."""
    places, words = VIRTIOFSD[key]
    program = next((found for found in map(shutil.which, places) if found), None)
    if not program or os.geteuid() != 0:
        raise Missing("it needs root" if program else f"none of {', '.join(places)} is there")
    device = Virtiofs(key, setup.scratch / f"{key}.socket")
    process = _started([program, *words.format(socket=device.socket, tree=setup.folder(key)).split()], device.socket)
    setup.devices.append(device)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def _passt(setup: Setup) -> Iterator[None]:
    """passt(1): the guest's gateway is this machine's loopback."""
    program = servers.which("passt")
    if not program:
        raise Missing("passt is not installed")
    folder = Path("/tmp", f"bench-passt.{os.getpid()}")  # passt becomes nobody, which must reach it
    folder.mkdir()
    try:
        folder.chmod(0o777)
        path = folder / "socket"
        words = ["-f", "-q", "-s", str(path), "-a", "10.0.3.15", "-n", "24", "-g", PASST_HOST, "-4"]
        process = _started([program, *words], path)
        try:
            setup.interface(f"stream,server=off,addr.type=unix,addr.path={path}", "10.0.3")
            setup.processes.append(process.pid)
            yield
        finally:
            process.terminate()
            process.wait()
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def _tap(setup: Setup) -> Iterator[None]:
    """A network device of this machine whose other end is the guest's (needs root)."""
    name = f"ninep{os.getpid() % 100_000}"
    ip = servers.which("ip")
    if not ip or os.geteuid() != 0:
        raise Missing("it needs iproute2 and root")
    made = subprocess.run(
        [ip, "tuntap", "add", "dev", name, "mode", "tap"], capture_output=True, text=True, check=False
    )
    if made.returncode:
        raise Missing(made.stderr.strip())
    try:
        subprocess.run([ip, "addr", "add", f"{TAP_HOST}/24", "dev", name], check=True)
        subprocess.run([ip, "link", "set", name, "up"], check=True)
        setup.interface(f"tap,ifname={name},script=no,downscript=no", "10.0.4")
        yield
    finally:
        subprocess.run([ip, "link", "delete", name], check=False)
