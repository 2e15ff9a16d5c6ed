"""T06: links and nodes that clients make."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

import pytest
from tests.serving import may_become_another_user
from tests.threats.lab import LINUX, MAPPED, UNIX, Attacker, Lab
from tests.threats.verbs import FILE, ROOT, SPARE

from ninep.linux import GETATTR_BASIC, NO_ID, S_IFBLK, S_IFCHR, S_IFIFO, S_IFSOCK, Errno
from ninep.wire import messages as m
from ninep.wire.modes import DMDEVICE, DMNAMEDPIPE, DMSOCKET

NODES = {
    b"chr": (S_IFCHR, 1, 5, DMDEVICE, b"c 1 5"),  # /dev/zero
    b"blk": (S_IFBLK, 8, 0, DMDEVICE, b"b 8 0"),  # a disk
    b"fifo": (S_IFIFO, 0, 0, DMNAMEDPIPE, b""),
    b"sock": (S_IFSOCK, 0, 0, DMSOCKET, b""),
}
DEVICES = {b"chr", b"blk"}


def make(client: Attacker, name: bytes) -> set[Errno]:
    kind, major, minor, perm, extension = NODES[name]
    if client.dialect == LINUX:
        return client.errors_of(m.Tmknod(ROOT, name, kind | 0o666, major, minor, NO_ID))
    client.walk(ROOT, SPARE)
    said = client.errors_of(m.Tcreate(SPARE, name, perm | 0o666, 0, extension))
    client.clunk(SPARE)
    return said


@pytest.mark.parametrize("dialect", [LINUX, UNIX], ids=bytes.decode)
def test_clients_make_no_device_that_is_one_for_the_host(lab: Lab, dialect: bytes) -> None:
    """Whoever works together with a guest could open a disk through it. In the mapped models a
    device is a file with a note.
    """
    with lab.client(dialect) as client:
        for name in NODES:
            said = make(client, name)
            if name in DEVICES and lab.model not in MAPPED:
                assert said == {Errno.EPERM}
                assert not os.path.lexists(lab.top / name.decode())
            else:
                assert not said, name
                kind = stat.S_IFMT(os.lstat(lab.top / name.decode()).st_mode)
                assert kind == (stat.S_IFREG if lab.model in MAPPED else NODES[name][0])


def test_what_was_made_is_not_opened(lab: Lab, dialect: bytes) -> None:
    with lab.client() as maker:
        made = [name for name in NODES if not make(maker, name)]
    assert made
    with lab.client(dialect) as client:
        for name in made:
            client.walk(ROOT, FILE, name)
            for how in (0, 1, 2):
                said = client.errors_of(m.Tlopen(FILE, how) if client.linux else m.Topen(FILE, how))
                assert said & {Errno.ENXIO}, name
            client.clunk(FILE)


@pytest.mark.skipif(not may_become_another_user(), reason="the host lets only root make devices")
@pytest.mark.parametrize("model", ["passthrough", "none"])
def test_an_export_may_allow_devices(labs: Callable[..., Lab], model: str) -> None:
    with labs(model, devices=True).client() as client:
        for name in DEVICES:
            assert not make(client, name)
            client.walk(ROOT, FILE, name)
            found = client.rpc(m.Tgetattr(FILE, GETATTR_BASIC)).attributes
            assert (found.mode & 0o170000, found.rdev) == (NODES[name][0], os.makedev(*NODES[name][1:3]))
            client.refuses(m.Tlopen(FILE, 0), Errno.ENXIO)
            client.clunk(FILE)


def test_types_that_mknod_must_not_make(lab: Lab) -> None:
    with lab.client() as client:
        for kind in range(16):
            if kind << 12 not in {0, 0o100000, S_IFCHR, S_IFBLK, S_IFIFO, S_IFSOCK}:
                assert client.errors_of(m.Tmknod(ROOT, b"odd", kind << 12 | 0o644, 0, 0, NO_ID)), oct(kind << 12)
        assert os.listdir(lab.top) in ([], [".virtfs_metadata"])


def test_a_hard_link_leads_to_nothing_but_a_file_of_the_export(labs: Callable[..., Lab]) -> None:
    """Fids of another export of the same server are no targets, nor are folders."""
    lab = labs("passthrough")
    with lab.client() as client:
        client.mkdir(ROOT, b"folder")
        client.walk(ROOT, FILE, b"folder")
        client.refuses(m.Tlink(ROOT, FILE, b"to-folder"), Errno.EPERM)
        client.refuses(m.Tlink(ROOT, 77, b"to-nothing"), Errno.EBADF)
