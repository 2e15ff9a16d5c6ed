"""CephFS: a monitor, two object stores in memory, a metadata server, mounted by ceph-fuse.

All on the loopback interface, without authentication and without a manager, for tests alone.
"""

from __future__ import annotations

import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.cluster.mounts import is_mounted, unmounted
from tests.cluster.service import Service, free_ports, listens, program, wait_until

CONFIGURATION = """\
[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{port}
auth cluster required = none
auth service required = none
auth client required = none
auth allow insecure global id reclaim = true
public addr = 127.0.0.1
cluster addr = 127.0.0.1
osd objectstore = memstore
memstore device bytes = 2147483648
osd pool default size = 2
osd pool default min size = 1
osd pool default pg num = 8
osd crush chooseleaf type = 0
mon allow pool size one = true
mon pg warn on pool no redundancy = false
mon data avail crit = 1
mon max pg per osd = 1000
run dir = {folder}/run
admin socket = {folder}/run/$cluster-$name.$pid.asok
log file = {folder}/run/$name.log
mon data = {folder}/mon
osd data = {folder}/osd.$id
mds data = {folder}/mds
keyring = {folder}/keyring
"""
STORES = 2


class CephFS:
    """The file system, from `with` to its end. Its data are in the memory of the object stores."""

    def __init__(self, folder: Path) -> None:
        for name in ("ceph-mon", "ceph-osd", "ceph-mds", "ceph-fuse", "ceph", "monmaptool"):
            program(name)
        self._folder = folder
        self._stack = ExitStack()
        (self._port,) = free_ports(1)
        for name in ("run", "mon", "mds", *(f"osd.{number}" for number in range(STORES))):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._file = folder / "ceph.conf"
        fsid = str(uuid.uuid4())
        self._file.write_text(CONFIGURATION.format(fsid=fsid, port=self._port, folder=folder))
        map_ = folder / "monmap"
        address = f"[v2:127.0.0.1:{self._port}]"
        self._run("monmaptool", "--create", "--clobber", "--fsid", fsid, "--addv", "a", address, str(map_))
        self._run("ceph-mon", *self._options, "--mkfs", "-i", "a", "--monmap", str(map_))

    @property
    def _options(self) -> tuple[str, ...]:
        return "-c", str(self._file)

    def _run(self, name: str, *arguments: str) -> str:
        done = subprocess.run(
            [program(name), *arguments],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"{name} {arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def ceph(self, *arguments: str) -> str:
        """What the program `ceph` says."""
        return self._run("ceph", *self._options, "--connect-timeout", "60", *arguments)

    def _daemon(self, name: str, identity: str) -> Service:
        argv = [program(name), *self._options, "-f", "-i", identity]
        return self._stack.enter_context(Service(argv, ready=lambda: True, stop_by=signal.SIGKILL))

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self) -> None:
        monitor = Service(
            [program("ceph-mon"), *self._options, "-f", "-i", "a"], ready=listens(self._port), stop_by=signal.SIGKILL
        )
        self._stack.enter_context(monitor)
        for number in range(STORES):
            identity = str(uuid.uuid4())
            self.ceph("osd", "new", identity)
            self._run("ceph-osd", *self._options, "--mkfs", "-i", str(number), "--osd-uuid", identity)
            self._daemon("ceph-osd", str(number))
        wait_until(lambda: f"{STORES} up" in self.ceph("osd", "stat"), monitor.said)
        for pool in ("metadata", "data"):
            self.ceph("osd", "pool", "create", pool, "8")
        self.ceph("fs", "new", "tests", "metadata", "data")
        metadata = self._daemon("ceph-mds", "a")
        wait_until(lambda: "a=up:active" in self.ceph("mds", "stat"), metadata.said)

    @contextmanager
    def mounted(self, at: Path) -> Iterator[Service]:
        """Mount it by FUSE; several at once are several clients of the cluster."""
        at.mkdir(parents=True, exist_ok=True)
        argv = [program("ceph-fuse"), *self._options, "-f", "--client_acl_type=posix_acl", str(at)]
        with Service(argv, ready=lambda: is_mounted(at)) as service, unmounted(at):
            yield service
