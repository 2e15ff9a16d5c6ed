"""The Linux kernel's virtiofs client on our server, with the machine's own QEMU: the scenario in every
security model, and what becomes of a mount when the guest or the server begins anew.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.guest.debs import Unavailable
from tests.guest.machine import Machine
from tests.guest.qemu import Virtiofs
from tests.guest.vm import HOST
from tests.serving import Server, may_become_another_user

pytestmark = [pytest.mark.guest, pytest.mark.slow, pytest.mark.timeout(900)]

MODELS = ("passthrough", "none", "mapped-xattr", "mapped-file", "mapped-owner")
SOME = "mapped-xattr"
EXCUSED = ("flock_excludes_the_other_mount",)
"""flock(2) is the guest's own (``locks``)."""


@dataclass(frozen=True)
class Served:
    """A server with a device for each model, and the guest that has them."""

    guest: Machine
    server: Server
    top: Path

    @contextmanager
    def mounted(self, model: str, *, by_tcp: bool = False) -> Iterator[list[str]]:
        """The device of a model, mounted; ``by_tcp``: and the same export over 9P."""
        commands = [f"mount -t virtiofs {model}"]
        if by_tcp:
            options = f"trans=tcp,port={self.server.port},aname={model},version=9p2000.L,cache=none,msize=262144"
            commands.append(f"mount -t 9p -o {options} {HOST}")
        folders = [f"/mnt/{model}-{number}" for number in range(len(commands))]
        for folder, command in zip(folders, commands, strict=True):
            self.guest.run(f"mkdir -p {folder} && {command} {folder}").check()
        try:
            yield folders
        finally:
            if self.guest.alive:
                self.guest.run("cd / && umount " + " ".join(folders)).check()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    top = Path(tempfile.mkdtemp(prefix="ninep-virtiofs."))
    options: list[str] = []
    devices = []
    for model in MODELS:
        (top / model).mkdir()
        more = ",devices" if model in {"passthrough", "none"} else ""
        options += ["--export", f"{model}={top / model},security-model={model}{more}"]
        socket = top / f"{model}.sock"
        options += ["--listen", f"virtiofs:{socket},tag={model},export={model},cache=none,locks=shared,posix-acl"]
        devices.append(Virtiofs(model, socket))
    (top / "other").mkdir()
    with Server(top / "other", *options) as server:
        guest = Machine({}, devices)
        try:
            guest.start()
        except Unavailable as missing:
            pytest.skip(f"no guest: {missing}")
        guest.kernel_complaints()
        yield Served(guest, server, top)
        assert guest.kernel_complaints() == []
        guest.stop()
    shutil.rmtree(top)


@pytest.mark.parametrize("model", MODELS)
def test_mounted_folder(served: Served, model: str) -> None:
    """The other mount is the same export by 9P: locks and changes hold across."""
    root = "root" if may_become_another_user() else "user"
    with served.mounted(model, by_tcp=True) as (folder, second):
        done = served.guest.scenario(folder, "--second", second, "--model", model, "--server", root)
    lines = done.output.splitlines()
    failures = [line for line in lines if not line.startswith(("ok ", "na "))]
    excused = (*EXCUSED, "acl_") if model == "none" else EXCUSED  # which has no ACLs (QEMU's rule)
    failures = [line for line in failures if not line.removeprefix("FAIL ").startswith(excused)]
    assert not failures, "\n".join(failures) + f"\n--- the server\n{served.server.said()}"
    assert sum(line.startswith("ok ") for line in lines) > 30, done.output


def test_large_files_and_many_entries(served: Served) -> None:
    with served.mounted(SOME) as (folder,):
        served.guest.run(
            f"dd if=/dev/urandom of=/tmp/data bs=1M count=20 2>/dev/null && cp /tmp/data {folder}/data && "
            f"echo 3 > /proc/sys/vm/drop_caches && cmp /tmp/data {folder}/data && rm {folder}/data"
        ).check()
        made = f"mkdir {folder}/many && cd {folder}/many && seq 3000 | xargs touch && ls | wc -l && ls -l | wc -l"
        assert served.guest.run(made, limit=300).check().output.split() == ["3000", "3001"]
        served.guest.run(f"rm -r {folder}/many", limit=300).check()


def test_stop_and_continue(served: Served) -> None:
    with served.mounted(SOME) as (folder,):
        served.guest.run(f"echo before > {folder}/f").check()
        served.guest.qmp.execute("stop")
        served.guest.qmp.execute("cont")
        assert served.guest.run(f"cat {folder}/f").check().output == "before\n"
        served.guest.run(f"rm {folder}/f").check()


def test_reboot(served: Served) -> None:
    served.guest.run(f"mkdir -p /mnt/r && mount -t virtiofs {SOME} /mnt/r && echo x > /mnt/r/kept").check()
    served.guest.reset()
    with served.mounted(SOME) as (folder,):
        assert served.guest.run(f"cat {folder}/kept && rm {folder}/kept").check().output == "x\n"
    assert "kept" not in os.listdir(served.top / SOME)
