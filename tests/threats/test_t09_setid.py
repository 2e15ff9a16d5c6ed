"""T09: set-user and set-group bits do not survive what somebody other than root does to a file.

In every model, through whatever message, and also when the file was opened before it got the bits
(CVE-2023-1386).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.threats.lab import BASE, LINUX, MAPPED, UNIX, Attacker, Lab
from tests.threats.verbs import FILE, ROOT, SPARE, TAKEN, UNTOUCHED, setattr_

from ninep.linux import GETATTR_BASIC, NO_ID, O_RDWR, O_TRUNC, SETATTR_GID, SETATTR_MODE, SETATTR_SIZE, SETATTR_UID
from ninep.wire import messages as m

OTHER_USER = 1000
SETID = {0o6755: 0o0755, 0o4711: 0o0711, 0o2755: 0o0755, 0o2745: 0o2745, 0o6745: 0o2745, 0o7777: 0o1777, 0o0755: 0o0755}
"""Mode before, and after; 02000 without group execution is mandatory locking and stays."""
Change = Callable[[Attacker], object]
CHANGES: dict[str, tuple[tuple[bytes, ...], Change]] = {
    "write": ((LINUX, UNIX, BASE), lambda client: (client.open(FILE, 1), client.rpc(m.Twrite(FILE, 0, TAKEN)))),
    "open and truncate": ((LINUX,), lambda client: client.rpc(m.Tlopen(FILE, O_RDWR | O_TRUNC))),
    "open and truncate by mode": ((UNIX, BASE), lambda client: client.rpc(m.Topen(FILE, 0x11))),
    "create over": ((LINUX,), lambda client: (client.walk(ROOT, SPARE), client.rpc(m.Tlcreate(SPARE, b"program", O_RDWR | O_TRUNC, 0o644, NO_ID)))),
    "truncate": ((LINUX,), lambda client: client.rpc(setattr_(SETATTR_SIZE, size=3))),
    "truncate by stat": ((LINUX, UNIX, BASE), lambda client: client.rpc(m.Twstat(FILE, UNTOUCHED._replace(length=3)))),
    "truncate while open": ((LINUX,), lambda client: (client.open(FILE, 2), client.rpc(setattr_(SETATTR_SIZE, size=3)))),
    "chown": ((LINUX,), lambda client: client.rpc(setattr_(SETATTR_UID, uid=7))),
    "chgrp": ((LINUX,), lambda client: client.rpc(setattr_(SETATTR_GID, gid=7))),
    "chown by stat": ((UNIX,), lambda client: client.rpc(m.Twstat(FILE, UNTOUCHED._replace(n_uid=7)))),
}  # fmt: skip


def as_other_user(lab: Lab, dialect: bytes, uid: int = OTHER_USER) -> Attacker:
    client = lab.connect()
    client.version(dialect)
    client.attach(uname=b"somebody", n_uname=uid)
    return client


def cases(*, owners: bool = True) -> list[object]:
    return [
        pytest.param(change, dialect, id=f"{change}-{dialect.decode()}")
        for change, (dialects, _) in CHANGES.items()
        for dialect in dialects
        if owners or not change.startswith("ch")
    ]


@pytest.fixture
def root(lab: Lab) -> Attacker:
    client = lab.client()
    client.create(ROOT, SPARE, b"program", b"#!/bin/sh")
    client.clunk(SPARE)
    client.walk(ROOT, FILE, b"program")
    return client


def mode(client: Attacker) -> int:
    found: int = client.rpc(m.Tgetattr(FILE, GETATTR_BASIC)).attributes.mode
    return found & 0o7777


@pytest.mark.parametrize(("change", "dialect"), cases())
def test_the_bits_are_gone(lab: Lab, root: Attacker, change: str, dialect: bytes) -> None:
    for before, after in SETID.items():
        root.rpc(setattr_(SETATTR_MODE, mode=before))
        assert mode(root) == before
        with as_other_user(lab, dialect) as client:
            client.walk(ROOT, FILE, b"program")
            CHANGES[change][1](client)
        assert mode(root) == after, (oct(before), oct(mode(root)))
    content = (lab.top / "program").read_bytes()
    assert content.startswith(TAKEN) == (change == "write")


def test_a_file_that_was_open_before_it_got_the_bits(lab: Lab, root: Attacker, dialect: bytes) -> None:
    with as_other_user(lab, dialect) as client:
        client.walk(ROOT, FILE, b"program")
        client.open(FILE, 2)
        root.rpc(setattr_(SETATTR_MODE, mode=0o6755))
        client.rpc(m.Twrite(FILE, 0, TAKEN))
        assert mode(root) == 0o755
        root.rpc(setattr_(SETATTR_MODE, mode=0o6755))
        client.rpc(m.Twrite(FILE, 5, TAKEN))
        assert mode(root) == 0o755
    assert (lab.top / "program").read_bytes() == TAKEN * 2


def test_another_name_of_the_file_shows_it_too(lab: Lab, root: Attacker) -> None:
    root.rpc(m.Tlink(ROOT, FILE, b"other"))
    root.rpc(setattr_(SETATTR_MODE, mode=0o6755))
    with as_other_user(lab, LINUX) as client:
        client.walk(ROOT, FILE, b"other")
        client.open(FILE, 2)
        client.rpc(m.Twrite(FILE, 0, TAKEN))
    assert mode(root) == 0o755


def test_root_keeps_them_as_on_any_file_system(lab: Lab, root: Attacker) -> None:
    root.rpc(setattr_(SETATTR_MODE, mode=0o6755))
    with as_other_user(lab, LINUX, uid=0) as client:
        client.walk(ROOT, FILE, b"program")
        client.open(FILE, 2)
        client.rpc(m.Twrite(FILE, 0, TAKEN))
    assert mode(root) == 0o6755


@pytest.mark.parametrize("model", MAPPED)
def test_no_client_gives_a_file_of_the_host_such_bits(lab: Lab, root: Attacker) -> None:
    """Whatever a guest's root asks for, at the create or later, the host's file gets no SUID, SGID
    or sticky.
    """
    for name, asked in ((b"made", 0o6755), (b"changed", 0o644)):
        root.walk(ROOT, SPARE)
        root.rpc(m.Tlcreate(SPARE, name, O_RDWR, asked, NO_ID))
        root.clunk(SPARE)
    root.rpc(m.Tmkdir(ROOT, b"folder", 0o3777, NO_ID))
    root.walk(ROOT, SPARE, b"changed")
    root.rpc(setattr_(SETATTR_MODE, fid=SPARE, mode=0o7777))
    root.rpc(setattr_(SETATTR_MODE, mode=0o6711))
    assert mode(root) == 0o6711
    for name in ("made", "changed", "folder", "program"):
        assert not (lab.top / name).stat().st_mode & 0o7000, name


@pytest.mark.parametrize("model", MAPPED)
@pytest.mark.parametrize("uid", [0, OTHER_USER])
@pytest.mark.parametrize(("change", "dialect"), cases(owners=False))
def test_what_a_guest_writes_has_no_rights_on_the_host(
    lab: Lab, root: Attacker, change: str, dialect: bytes, uid: int
) -> None:
    """A program of the host's that really has the bits: with a guest's contents it has them no more,
    be it the guest's root that writes.
    """
    program = lab.top / "program"
    program.chmod(0o6755)
    with as_other_user(lab, dialect, uid) as client:
        client.walk(ROOT, FILE, b"program")
        CHANGES[change][1](client)
    assert not program.stat().st_mode & 0o6000


@pytest.mark.parametrize("model", ["mapped-xattr", "mapped-file"])
def test_the_hosts_bits_show_until_a_guest_changes_the_mode(lab: Lab, root: Attacker) -> None:
    """As the hypervisor has it (local_lstat, local_fstat): where no mode is recorded the host's
    shows. A guest's chmod records what it asked for, a chown takes none of the host's bits over.
    """
    program = lab.top / "host's"
    program.write_bytes(b"program")
    program.chmod(0o6755)
    root.walk(ROOT, SPARE, b"host's")
    shown = lambda: root.rpc(m.Tgetattr(SPARE, GETATTR_BASIC)).attributes
    assert shown().mode & 0o7777 == 0o6755
    with as_other_user(lab, LINUX) as client:
        client.walk(ROOT, FILE, b"host's")
        client.rpc(setattr_(SETATTR_UID, uid=7))
    assert (shown().uid, shown().mode & 0o7777) == (7, 0o755)
    root.rpc(setattr_(SETATTR_MODE, fid=SPARE, mode=0o711))
    assert shown().mode & 0o7777 == 0o711
    # mapped-file moves the file's ctime by a chown(2), which takes the bits away in any case.
    assert program.stat().st_mode & 0o7777 == (0o755 if lab.model == "mapped-file" else 0o6755)
    root.open(SPARE, 1)
    root.rpc(m.Twrite(SPARE, 0, b"P"))
    assert program.stat().st_mode & 0o7777 == 0o755
    assert shown().mode & 0o7777 == 0o711
