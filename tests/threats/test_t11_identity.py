"""T11: who somebody is belongs to the fid, not to the connection; and with ``run-as-user`` the host
itself checks what each may do.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.serving import may_become_another_user
from tests.threats.lab import LINUX, Attacker, Lab
from tests.threats.verbs import TAKEN, setattr_

from ninep.layers.id_map import OVERFLOW_ID, Ranges
from ninep.linux import (
    GETATTR_BASIC,
    NO_ID,
    O_RDWR,
    O_TRUNC,
    O_WRONLY,
    SETATTR_ATIME,
    SETATTR_GID,
    SETATTR_MODE,
    SETATTR_MTIME,
    SETATTR_SIZE,
    SETATTR_UID,
    Errno,
)
from ninep.wire import messages as m

A, B = 1, 2  # daemon and bin: users that every Linux host knows, with groups of the same number
FILE = 100
needs_root = pytest.mark.skipif(not may_become_another_user(), reason="only root may become other users")


def two_users(lab: Lab) -> Attacker:
    """One connection on which fid A is the root as user A, and fid B as user B."""
    client = lab.connect()
    client.version()
    for uid in (A, B):
        client.attach(uid, uname=b"", n_uname=uid)
    return client


# -- every model: the fid says whose a new file is


@needs_root
def test_a_new_file_belongs_to_the_user_of_the_fid(lab: Lab) -> None:
    with two_users(lab) as client:
        for number in range(3):
            for uid in (A, B):
                client.create(uid, FILE, b"%d-%d" % (uid, number))
                client.rpc(m.Tmkdir(uid, b"d%d-%d" % (uid, number), 0o755, NO_ID))
                client.rpc(m.Tsymlink(uid, b"l%d-%d" % (uid, number), b"x", NO_ID))
                client.clunk(FILE)
        for uid in (A, B):
            for kind in (b"", b"d", b"l"):
                client.walk(B, FILE, b"%s%d-0" % (kind, uid))
                # Where links are real and owners are not, a link belongs to whom its directory
                # belongs.
                owner = os.stat(lab.top).st_uid if kind == b"l" and lab.model == "mapped-owner" else uid
                assert client.rpc(m.Tgetattr(FILE, GETATTR_BASIC)).attributes.uid == owner
                client.clunk(FILE)


@pytest.mark.parametrize("uid", [0, 1 << 31, NO_ID - 1, NO_ID])
def test_uids_at_the_edges(labs: Callable[..., Lab], uid: int) -> None:
    """In the mapped models any number may own a file, and nobody (NO_ID) leaves it to the host."""
    for model in ("mapped-xattr", "mapped-file"):
        with labs(model).connect() as client:
            client.version()
            client.attach(n_uname=uid)
            client.create(0, FILE, b"new")
            found = client.rpc(m.Tgetattr(FILE, GETATTR_BASIC)).attributes.uid
            assert found == (os.geteuid() if uid == NO_ID else uid)


def test_ids_outside_the_map_are_the_overflow_id(labs: Callable[..., Lab]) -> None:
    lab = labs("mapped-xattr", map_uids=Ranges.parse("0:100000:1000"), map_gids=Ranges.parse("0:100000:1000"))
    with lab.connect() as client:
        client.version()
        for uid, shown in ((0, 0), (999, 999), (1000, OVERFLOW_ID), (100000, OVERFLOW_ID), (1 << 31, OVERFLOW_ID)):
            client.attach(n_uname=uid)
            client.create(0, FILE, b"by-%d" % uid)
            assert client.rpc(m.Tgetattr(FILE, GETATTR_BASIC)).attributes.uid == shown
            client.errors_of(setattr_(SETATTR_UID, fid=FILE, uid=5000))
            assert client.rpc(m.Tgetattr(FILE, GETATTR_BASIC)).attributes.uid in {OVERFLOW_ID, shown}
            client.clunk(FILE, 0)


def test_root_is_squashed(labs: Callable[..., Lab]) -> None:
    lab = labs("mapped-xattr", squash="root", anon=(77, 88))
    with lab.connect() as client:
        client.version()
        for uid, owner in ((0, 77), (5, 5)):
            client.attach(n_uname=uid)
            client.create(0, FILE, b"by-%d" % uid)
            assert client.rpc(m.Tgetattr(FILE, GETATTR_BASIC)).attributes.uid == owner
            client.clunk(FILE, 0)


def test_every_user_is_who_the_kernel_says(labs: Callable[..., Lab]) -> None:
    """``squash=peer``: what a client claims to be does not count."""
    lab = labs("mapped-xattr", squash="peer")
    with lab.connect() as client:
        client.version()
        for claimed in (0, 5, NO_ID):
            client.attach(n_uname=claimed, uname=b"somebody")
            client.create(0, FILE, b"by-%d" % claimed)
            assert client.rpc(m.Tgetattr(FILE, GETATTR_BASIC)).attributes.uid == os.geteuid()
            client.clunk(FILE, 0)


# -- run-as-user: the host's permission bits


class Kind(NamedTuple):
    """A file of the export."""

    owner: int
    group: int
    mode: int

    def may(self, uid: int, bits: int) -> bool:
        shift = 6 if uid == self.owner else 3 if uid == self.group else 0
        return self.mode >> shift & bits == bits


FILES = {
    b"own": Kind(A, A, 0o600),
    b"group": Kind(0, A, 0o060),
    b"other": Kind(0, 0, 0o606),
    b"other-read": Kind(0, 0, 0o604),
    b"not-group": Kind(0, A, 0o606),
    b"root": Kind(0, 0, 0o600),
}
R, W = 4, 2
NONE = Errno.EACCES, Errno.EPERM
Act = Callable[[Attacker], set[Errno]]
ACTS: dict[str, tuple[Act, Callable[[Kind, int], bool]]] = {
    "read": (lambda client: client.errors_of(m.Tlopen(FILE, 0)), lambda kind, uid: kind.may(uid, R)),
    "write": (lambda client: client.errors_of(m.Tlopen(FILE, O_WRONLY)), lambda kind, uid: kind.may(uid, W)),
    "both": (lambda client: client.errors_of(m.Tlopen(FILE, O_RDWR)), lambda kind, uid: kind.may(uid, R | W)),
    "truncate": (
        lambda client: client.errors_of(m.Tlopen(FILE, O_WRONLY | O_TRUNC)),
        lambda kind, uid: kind.may(uid, W),
    ),
    "size": (
        lambda client: client.errors_of(setattr_(SETATTR_SIZE, fid=FILE, size=1)),
        lambda kind, uid: kind.may(uid, W),
    ),
    "mode": (
        lambda client: client.errors_of(setattr_(SETATTR_MODE, fid=FILE, mode=0o777)),
        lambda kind, uid: kind.owner == uid,
    ),
    "owner": (lambda client: client.errors_of(setattr_(SETATTR_UID, fid=FILE, uid=B)), lambda kind, uid: False),
    "times": (
        lambda client: client.errors_of(setattr_(SETATTR_ATIME | SETATTR_MTIME, fid=FILE)),
        lambda kind, uid: kind.owner == uid or kind.may(uid, W),
    ),
    "get xattr": (
        lambda client: client.errors_of(m.Txattrwalk(FILE, FILE + 1, b"user.own")),
        lambda kind, uid: kind.may(uid, R),
    ),
    "set xattr": (lambda client: set_xattr(client), lambda kind, uid: kind.may(uid, W)),  # noqa: PLW0108 - further down
}


def set_xattr(client: Attacker) -> set[Errno]:
    client.rpc(m.Txattrcreate(FILE, b"user.own", len(TAKEN), 0))
    client.rpc(m.Twrite(FILE, 0, TAKEN))
    return client.errors_of(m.Tclunk(FILE))


def fill(top: Path) -> None:
    for name, kind in FILES.items():
        path = top / name.decode()
        path.write_bytes(b"content")
        os.setxattr(path, "user.own", b"value")
        os.chown(path, kind.owner, kind.group)
        path.chmod(kind.mode)


@pytest.fixture
def host_users(labs: Callable[..., Lab]) -> Lab:
    if not may_become_another_user():
        pytest.skip("only root may become other users")
    lab = labs("passthrough", run_as_user=True)
    os.chmod(lab.top, 0o1777)
    return lab


@pytest.mark.parametrize("act", ACTS)
def test_the_hosts_bits_count(host_users: Lab, act: str) -> None:
    do, allowed = ACTS[act]
    fill(host_users.top)
    with two_users(host_users) as client:
        for name, kind in FILES.items():
            for uid in (B, A, B):
                client.walk(uid, FILE, name)
                said = do(client)
                assert (not said) == allowed(kind, uid), (name, uid, said)
                assert not said or said & set(NONE)
                client.errors_of(m.Tclunk(FILE))
                client.errors_of(m.Tclunk(FILE + 1))
                fill(host_users.top)


def test_no_user_acts_through_what_another_opened(host_users: Lab) -> None:
    """Nodes are shared by all who hold a file: an open handle of one user is no right
    of another.
    """
    fill(host_users.top)
    with two_users(host_users) as client:
        client.walk(A, 10, b"own")
        client.rpc(m.Tlopen(10, O_RDWR))
        client.walk(B, 20, b"own")
        client.refuses(setattr_(SETATTR_SIZE, fid=20, size=0), *NONE)
        client.refuses(setattr_(SETATTR_MODE, fid=20, mode=0o777), *NONE)
        client.refuses(m.Tlopen(20, 0), *NONE)
        client.refuses(m.Twrite(20, 0, TAKEN), Errno.EBADF)
        client.refuses(m.Txattrwalk(20, 21, b"user.own"), *NONE)
        client.rpc(m.Tlock(10, 1, 0, 0, 0, 1, b"a"))
        assert (host_users.top / "own").read_bytes() == b"content"


def test_folders_that_only_one_may_enter(host_users: Lab) -> None:
    with two_users(host_users) as client:
        client.rpc(m.Tmkdir(A, b"private", 0o700, NO_ID))
        client.walk(A, 10, b"private")
        client.create(10, 11, b"secret", b"content")
        client.walk(B, 20, b"private")
        client.refuses(m.Twalk(20, 21, [b"secret"]), *NONE)
        client.refuses(m.Tlopen(20, 0), *NONE)
        client.refuses(m.Tunlinkat(20, b"secret", 0), *NONE)
        client.refuses(m.Tmkdir(20, b"x", 0o755, NO_ID), *NONE)
        client.refuses(m.Trenameat(20, b"secret", B, b"taken"), *NONE)
        client.refuses(m.Trename(20, m.NOFID, b"taken"), *NONE)  # the root is sticky, as /tmp is
        client.refuses(m.Tunlinkat(B, b"private", 0x200), *NONE)


def test_no_client_becomes_root_or_another_user(host_users: Lab) -> None:
    with host_users.connect() as client:
        client.version()
        client.refuses(m.Tattach(0, m.NOFID, b"", b"", 54321), Errno.EPERM)
        client.refuses(m.Tattach(0, m.NOFID, b"no such user", b"", NO_ID), Errno.EPERM)
        client.refuses(m.Tattach(0, m.NOFID, b"", b"", NO_ID), Errno.EPERM)
        client.attach(n_uname=A)
        client.create(0, FILE, b"new", mode=0o644)
        client.refuses(setattr_(SETATTR_UID, fid=FILE, uid=0), *NONE)
        client.refuses(setattr_(SETATTR_GID, fid=FILE, gid=0), *NONE)
        client.rpc(setattr_(SETATTR_MODE, fid=FILE, mode=0o6755))
    found = os.stat(host_users.top / "new")
    assert (found.st_uid, found.st_gid) == (A, A)


@needs_root
def test_root_that_runs_as_the_user_nobody(labs: Callable[..., Lab]) -> None:
    lab = labs("passthrough", run_as_user=True, squash="root", anon=(OVERFLOW_ID, OVERFLOW_ID))
    fill(lab.top)
    with lab.client(LINUX) as client:
        client.walk(0, FILE, b"root")
        client.refuses(m.Tlopen(FILE, 0), *NONE)
        client.clunk(FILE)
        client.walk(0, FILE, b"other")
        client.rpc(m.Tlopen(FILE, O_RDWR))
