"""What the mapped models leave on disk, against the hypervisor's own 9pfs: each reads what the
other wrote.

Both serve the same folder of the host; the guest mounts QEMU's share by virtio, and our server by
TCP or by virtio too, attached at the same time.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.guest.devices import Devices
from tests.guest.machine import MAPPED, Machine, Mount
from tests.serving import Server

pytestmark = [pytest.mark.guest, pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(900)]

WITH_ACL = Mount(acl=True)
METADATA = ".virtfs_metadata"


@pytest.fixture(params=MAPPED)
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=("tcp", "virtio"))
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def devices(transport: str, request: pytest.FixtureRequest) -> Devices | None:
    """The guest whose devices are our servers', when it is virtio's turn."""
    return request.getfixturevalue("virtio") if transport == "virtio" else None


@pytest.fixture
def machine(devices: Devices | None, request: pytest.FixtureRequest) -> Machine:
    """The guest that mounts both."""
    used: Machine = devices.guest if devices else request.getfixturevalue("guest")
    return used


@pytest.fixture
def share(machine: Machine, model: str) -> Path:
    """The folder of the host that both serve."""
    return machine.shares[model].folder


@pytest.fixture
def by_peer(machine: Machine, model: str) -> Iterator[str]:
    """That folder in the guest, served by QEMU."""
    with machine.attached(machine.shares[model].tag, WITH_ACL) as folder:
        yield folder


@pytest.fixture
def by_us(
    by_peer: str, machine: Machine, devices: Devices | None, model: str, share: Path, serve: Callable[..., Server]
) -> Iterator[str]:
    """That folder in the guest, served by our program."""
    if devices:
        with machine.attached(model, WITH_ACL) as folder:
            yield folder
        return
    server = serve(share, "--security-model", model)
    with machine.served(server.port, WITH_ACL) as (folder,):
        yield folder


def leave(machine: Machine, folder: str, name: str) -> dict[str, object]:
    """Make the objects in a new folder `name`, and what the maker tells of them."""
    machine.run(f"mkdir {folder}/{name}").check()
    return told(machine, folder, name, "--leave")


def told(machine: Machine, folder: str, name: str, what: str = "--describe") -> dict[str, object]:
    found: dict[str, object] = json.loads(machine.scenario(f"{folder}/{name}", what, "--acl").check().output)
    return found


def test_ours_reads_what_the_peer_wrote(machine: Machine, by_peer: str, by_us: str) -> None:
    made = leave(machine, by_peer, "peers")
    assert told(machine, by_us, "peers") == made


def test_the_peer_reads_what_ours_wrote(machine: Machine, by_peer: str, by_us: str) -> None:
    made = leave(machine, by_us, "ours")
    assert told(machine, by_peer, "ours") == made


def test_both_leave_the_same_bytes(machine: Machine, by_peer: str, by_us: str, share: Path) -> None:
    leave(machine, by_peer, "bytes-peer")
    leave(machine, by_us, "bytes-ours")
    assert on_disk(share / "bytes-ours") == on_disk(share / "bytes-peer")


def test_each_changes_what_the_other_wrote(machine: Machine, by_peer: str, by_us: str) -> None:
    leave(machine, by_peer, "mixed")
    steps = [
        (by_us, "chown 11:12 plain && chmod 4711 plain && mv char folder/char && rm program && echo new > program"),
        (by_peer, "chown 21:22 program && chmod 600 fifo && mv folder/char char && ln -s elsewhere/far new-link"),
        (by_us, "mv first plain && mknod block2 b 8 1 && rm new-link && mkdir new && chown -h 3:4 link"),
        (by_peer, "rm -r folder sticky && mv block2 new/block && mv program group/program"),
    ]
    for folder, commands in steps:
        machine.run(f"set -e; cd {folder}/mixed; {commands}").check()
        assert told(machine, by_us, "mixed") == told(machine, by_peer, "mixed"), commands


def test_each_removes_what_the_other_wrote(machine: Machine, by_peer: str, by_us: str, share: Path) -> None:
    leave(machine, by_peer, "removed-peer")
    leave(machine, by_us, "removed-ours")
    machine.run(f"rm -r {by_us}/removed-peer {by_peer}/removed-ours").check()
    left = [path.name for path in share.rglob("*")]
    assert not [name for name in left if name.startswith("removed")]


def on_disk(top: Path) -> dict[str, dict[str, object]]:
    """Every object below `top` on the host, by name: what only the host sees."""
    return {str(path.relative_to(top)): host_facts(path) for path in sorted(top.rglob("*"))}


def host_facts(path: Path) -> dict[str, object]:
    status = path.lstat()
    facts: dict[str, object] = {
        "mode": oct(status.st_mode),
        "attributes": {name: os.getxattr(path, name).hex() for name in sorted(os.listxattr(path))},
    }
    if stat.S_ISREG(status.st_mode):
        facts |= {"contents": path.read_bytes()}
    return facts
