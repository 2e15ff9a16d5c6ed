"""What the mapped models leave on disk, against the hypervisor's own 9pfs: each reads what the
other wrote.

Both serve the same folder of the host; the guest mounts QEMU's share by virtio and our server by
TCP.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.guest.machine import MAPPED, Machine, Mount
from tests.serving import Server

pytestmark = [pytest.mark.guest, pytest.mark.peer, pytest.mark.slow, pytest.mark.timeout(900)]

WITH_ACL = Mount(acl=True)
METADATA = ".virtfs_metadata"


@pytest.fixture(params=MAPPED)
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def share(machine: Machine, model: str) -> Path:
    """The folder of the host that both serve."""
    return machine.shares[model]


@pytest.fixture
def by_peer(guest: Machine, model: str) -> Iterator[str]:
    """That folder in the guest, served by QEMU."""
    with guest.shared(model, WITH_ACL) as folder:
        yield folder


@pytest.fixture
def by_us(by_peer: str, guest: Machine, model: str, share: Path, serve: Callable[..., Server]) -> Iterator[str]:
    """That folder in the guest, served by our program."""
    server = serve(share, "--security-model", model)
    with guest.served(server.port, WITH_ACL) as (folder,):
        yield folder


def leave(guest: Machine, folder: str, name: str) -> dict[str, object]:
    """Make the objects in a new folder `name`, and what the maker tells of them."""
    guest.run(f"mkdir {folder}/{name}").check()
    return told(guest, folder, name, "--leave")


def told(guest: Machine, folder: str, name: str, what: str = "--describe") -> dict[str, object]:
    found: dict[str, object] = json.loads(guest.scenario(f"{folder}/{name}", what, "--acl").check().output)
    return found


def test_ours_reads_what_the_peer_wrote(guest: Machine, by_peer: str, by_us: str) -> None:
    made = leave(guest, by_peer, "peers")
    assert told(guest, by_us, "peers") == made


def test_the_peer_reads_what_ours_wrote(guest: Machine, by_peer: str, by_us: str) -> None:
    made = leave(guest, by_us, "ours")
    assert told(guest, by_peer, "ours") == made


def test_both_leave_the_same_bytes(guest: Machine, by_peer: str, by_us: str, share: Path) -> None:
    leave(guest, by_peer, "bytes-peer")
    leave(guest, by_us, "bytes-ours")
    assert on_disk(share / "bytes-ours") == on_disk(share / "bytes-peer")


def test_each_changes_what_the_other_wrote(guest: Machine, by_peer: str, by_us: str) -> None:
    leave(guest, by_peer, "mixed")
    steps = [
        (by_us, "chown 11:12 plain && chmod 4711 plain && mv char folder/char && rm program && echo new > program"),
        (by_peer, "chown 21:22 program && chmod 600 fifo && mv folder/char char && ln -s elsewhere/far new-link"),
        (by_us, "mv first plain && mknod block2 b 8 1 && rm new-link && mkdir new && chown -h 3:4 link"),
        (by_peer, "rm -r folder sticky && mv block2 new/block && mv program group/program"),
    ]
    for folder, commands in steps:
        guest.run(f"set -e; cd {folder}/mixed; {commands}").check()
        assert told(guest, by_us, "mixed") == told(guest, by_peer, "mixed"), commands


def test_each_removes_what_the_other_wrote(guest: Machine, by_peer: str, by_us: str, share: Path) -> None:
    leave(guest, by_peer, "doomed-peer")
    leave(guest, by_us, "doomed-ours")
    guest.run(f"rm -r {by_us}/doomed-peer {by_peer}/doomed-ours").check()
    left = [path.name for path in share.rglob("*")]
    assert not [name for name in left if name.startswith("doomed")]


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
