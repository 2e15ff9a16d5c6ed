"""T30: what a client leaves out is what the export's policy says, and never the user or group of
the server process.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from tests.serving import may_become_another_user
from tests.threats.lab import BASE, LINUX, MAPPED, UNIX, Attacker, Lab
from tests.threats.verbs import UNTOUCHED, setattr_

from ninep.layers.id_map import OVERFLOW_ID, Ranges
from ninep.linux import GETATTR_BASIC, NO_ID, O_RDWR, SETATTR_GID, SETATTR_MODE, SETATTR_SIZE, SETATTR_UID, Errno
from ninep.node import Attributes, User
from ninep.wire import messages as m
from ninep.wire import posix_acl
from ninep.wire.modes import DMDEVICE, DMDIR, DMNAMEDPIPE, DMSOCKET, DMSYMLINK

pytestmark = pytest.mark.skipif(not may_become_another_user(), reason="only root's server has rights to give away")
FILE, SPARE = 100, 101
GROUP = 60


class Policy(NamedTuple):
    """Options of an export; who owns what is made by a client that names no id, and by uid 5 that
    names no group; and the group where the directory's, GROUP, is inherited (create(5)).
    """

    options: dict[str, Any]
    unnamed: tuple[int, int]
    five: tuple[int, int]
    inherited: int

    def owner(self, lab: Lab, dialect: bytes, uid: int, name: bytes) -> tuple[int, int]:
        named = self.unnamed if uid == NO_ID else self.five
        by_tcreate = dialect != LINUX or name == b"bsd"
        inherits = lab.model.startswith("mapped") and by_tcreate
        return (named[0], self.inherited) if inherits else named


POLICIES = {
    "squash root": Policy({"squash": "root", "anon": (77, 88)}, (77, 88), (5, 88), GROUP),
    "squash all": Policy({"squash": "all", "anon": (77, 88)}, (77, 88), (77, 88), 88),
    "id map": Policy(
        {"map_uids": Ranges.parse("0:100000:1000"), "map_gids": Ranges.parse("0:200000:1000")},
        (OVERFLOW_ID, OVERFLOW_ID),
        (100_005, OVERFLOW_ID),
        OVERFLOW_ID,
    ),
    "squash root, id map": Policy(
        {
            "squash": "root",
            "anon": (77, 88),
            "map_uids": Ranges.parse("0:0:1000"),
            "map_gids": Ranges.parse("0:0:1000"),
        },
        (OVERFLOW_ID, OVERFLOW_ID),
        (5, OVERFLOW_ID),
        GROUP,
    ),
}


@pytest.fixture(params=POLICIES)
def policy(request: pytest.FixtureRequest) -> Policy:
    return POLICIES[request.param]


def real_devices(model: str) -> dict[str, bool]:
    """Leave to make devices, where they are ones for the host too."""
    return {} if model in MAPPED else {"devices": True}


@pytest.fixture
def lab(labs: Callable[..., Lab], policy: Policy, model: str) -> Lab:
    lab = labs(model, **real_devices(model), **policy.options)
    lab.top.chmod(0o777)
    os.chown(lab.top, 0, GROUP)
    return lab


def session(lab: Lab, dialect: bytes, uname: bytes, uid: int = NO_ID) -> Attacker:
    client = lab.connect()
    client.version(dialect)
    client.attach(uname=uname, n_uname=uid)
    return client


LINUX_MAKES: dict[bytes, m.Message] = {
    b"dir": m.Tmkdir(0, b"dir", 0o755, NO_ID),
    b"link": m.Tsymlink(0, b"link", b"to", NO_ID),
    b"fifo": m.Tmknod(0, b"fifo", 0o010644, 0, 0, NO_ID),
    b"null": m.Tmknod(0, b"null", 0o020644, 1, 3, NO_ID),
    b"plain": m.Tmknod(0, b"plain", 0o100755, 0, 0, NO_ID),
    b"bsd": m.Tcreate(SPARE, b"bsd", 0o755, 2, b""),
}
BASE_MAKES: dict[bytes, tuple[int, bytes]] = {b"dir": (DMDIR | 0o755, b"")}
UNIX_MAKES = BASE_MAKES | {
    b"link": (DMSYMLINK | 0o777, b"to"),
    b"fifo": (DMNAMEDPIPE | 0o644, b""),
    b"socket": (DMSOCKET | 0o644, b""),
    b"null": (DMDEVICE | 0o644, b"c 1 3"),
}


def make_all(client: Attacker, model: str) -> list[bytes]:
    """Every verb that makes something, without an id wherever the dialect allows that; the names of
    what has an owner of its own.
    """
    unowned = {b"link"} if model == "mapped-owner" else set()
    return [name for name in _make_all(client) if name not in unowned]


def _make_all(client: Attacker) -> list[bytes]:
    client.create(0, FILE, b"file", b"content", 0o755)
    client.clunk(FILE)
    if client.linux:
        for message in LINUX_MAKES.values():
            if isinstance(message, m.Tcreate):
                client.walk(0, SPARE)
            client.rpc(message)
        client.clunk(SPARE)
        return [b"file", *LINUX_MAKES]
    makes = UNIX_MAKES if client.dialect == UNIX else BASE_MAKES
    for name, (perm, extension) in makes.items():
        client.walk(0, SPARE)
        client.rpc(m.Tcreate(SPARE, name, perm, 0, extension))
        client.clunk(SPARE)
    return [b"file", *makes]


@contextmanager
def inside(lab: Lab, *names: bytes) -> Iterator[Attributes]:
    """What the model says of a file, whatever the policy shows to clients."""
    nodes = [next(iter(lab.server.exports)).driver.attach(User())]
    try:
        for name in names:
            nodes.append(nodes[-1].walk(name))
        yield nodes[-1].getattr(GETATTR_BASIC)
    finally:
        for node in reversed(nodes):
            node.release()


def owner(lab: Lab, *names: bytes) -> tuple[int, int]:
    with inside(lab, *names) as a:
        return a.uid, a.gid


@pytest.mark.parametrize("uname", [b"root", b"0", b"", b"nobody here"])
def test_who_names_no_uid_and_no_group(lab: Lab, policy: Policy, dialect: bytes, uname: bytes) -> None:
    with session(lab, dialect, uname) as client:
        for name in make_all(client, lab.model):
            expected = policy.owner(lab, dialect, NO_ID, name)
            assert owner(lab, name) == expected, name
            if lab.model == "passthrough":
                found = os.lstat(lab.top / name.decode())
                assert (found.st_uid, found.st_gid) == expected, name


@pytest.mark.parametrize("dialect", [LINUX, UNIX])
def test_who_names_no_group(lab: Lab, policy: Policy, dialect: bytes) -> None:
    with session(lab, dialect, b"", 5) as client:
        for name in make_all(client, lab.model):
            assert owner(lab, name) == policy.owner(lab, dialect, 5, name), name


def acl_of(*named: int) -> bytes:
    """With an entry for each of these users."""
    users = [posix_acl.AclEntry(posix_acl.USER, 6, uid) for uid in named]
    base = [posix_acl.AclEntry(tag, 7, NO_ID) for tag in (posix_acl.GROUP_OBJ, posix_acl.MASK, posix_acl.OTHER)]
    return posix_acl.pack([posix_acl.AclEntry(posix_acl.USER_OBJ, 7, NO_ID), *users, *base])


def get_acl(client: Attacker, name: bytes) -> bytes:
    size = client.rpc(m.Txattrwalk(SPARE, FILE, name)).size
    value = bytes(client.rpc(m.Tread(FILE, 0, size)).data)
    client.clunk(FILE)
    return value


def set_acl(client: Attacker, name: bytes, value: bytes) -> None:
    client.walk(SPARE, FILE)
    client.rpc(m.Txattrcreate(FILE, name, len(value), 0))
    client.rpc(m.Twrite(FILE, 0, value))
    client.clunk(FILE)


@pytest.mark.parametrize("model", ["passthrough", *MAPPED])
def test_whom_an_acl_names_that_is_inherited(lab: Lab, policy: Policy) -> None:
    """A client's kernel gives a new file what the directory's default ACL shows it
    (v9fs_set_create_acl of fs/9p/acl.c): users whom it could not name stay who they are.
    """
    stored = acl_of(0, 3, 65533, 100_003)
    driver = next(iter(lab.server.exports)).driver
    with session(lab, LINUX, b"", 5) as client:
        client.rpc(m.Tmkdir(0, b"dir", 0o777, NO_ID))
        root = driver.attach(User())
        above = root.walk(b"dir")
        above.setxattr(posix_acl.DEFAULT, stored, 0)
        client.walk(0, SPARE, b"dir")
        shown = get_acl(client, posix_acl.DEFAULT)
        assert (shown != stored) == ("map_uids" in policy.options)
        client.rpc(m.Tmkdir(SPARE, b"below", 0o777, NO_ID))
        client.clunk(SPARE)
        client.walk(0, SPARE, b"dir", b"below")
        for name in (posix_acl.DEFAULT, posix_acl.ACCESS):
            set_acl(client, name, shown)
        made = above.walk(b"below")
        assert made.getxattr(posix_acl.DEFAULT) == made.getxattr(posix_acl.ACCESS) == stored
        for node in (made, above, root):
            node.release()


def test_the_group_of_the_directory(labs: Callable[..., Lab], dialect: bytes, model: str) -> None:
    """create(5), where the group is only recorded and Tcreate makes the file; else it is the host's
    choice, as in QEMU's 9pfs.
    """
    lab = labs(model, **real_devices(model))
    with session(lab, LINUX, b"") as maker:
        maker.rpc(m.Tmkdir(0, b"here", 0o777, NO_ID))
        maker.walk(0, 1, b"here")
        maker.rpc(setattr_(SETATTR_UID | SETATTR_GID, fid=1, uid=5, gid=GROUP))
    with session(lab, dialect, b"") as client:
        client.walk(0, 1, b"here")
        client.clunk(0)
        client.walk(1, 0)
        for name in make_all(client, lab.model):
            by_tcreate = dialect != LINUX or name == b"bsd"
            group = GROUP if model.startswith("mapped") and by_tcreate else os.getegid()
            assert owner(lab, b"here", name)[1] == group, name


def test_a_chown_that_leaves_one_out_leaves_it_alone(lab: Lab, policy: Policy) -> None:
    with session(lab, LINUX, b"", 5) as client:
        client.create(0, FILE, b"file")
        before = owner(lab, b"file")
        client.rpc(setattr_(SETATTR_UID | SETATTR_GID, fid=FILE, uid=NO_ID, gid=NO_ID))
        client.rpc(setattr_(SETATTR_UID, fid=FILE, uid=NO_ID))
        assert owner(lab, b"file") == before
        client.rpc(setattr_(SETATTR_UID | SETATTR_GID, fid=FILE, uid=NO_ID, gid=7))
        assert owner(lab, b"file")[0] == before[0]
        now = owner(lab, b"file")
        client.rpc(setattr_(SETATTR_UID | SETATTR_GID, fid=FILE, uid=6, gid=NO_ID))
        assert owner(lab, b"file")[1] == now[1]


@pytest.mark.parametrize("dialect", [UNIX, BASE])
def test_a_wstat_never_gives_to_root(lab: Lab, policy: Policy, dialect: bytes) -> None:
    with session(lab, dialect, b"root") as client:
        client.create(0, FILE, b"file")
        before = owner(lab, b"file")
        for number, name in ((0, b"root"), (0, b"0"), (0, b""), (NO_ID, b"0"), (NO_ID, b"00"), (NO_ID, b"root")):
            client.errors_of(m.Twstat(FILE, UNTOUCHED._replace(uid=name, gid=name, n_uid=number, n_gid=number)))
            owned = owner(lab, b"file")
            assert 0 not in owned, (number, name)
            assert owned == before or number == 0 or name.isdigit(), (number, name)
            before = owned


def test_a_directory_with_sgid_gives_its_group(labs: Callable[..., Lab], dialect: bytes) -> None:
    """As where the kernel makes it; but root's group is squashed there, too."""
    lab = labs("passthrough", squash="root", anon=(77, 88))
    for name, group in (("games", 60), ("roots", 0)):
        (lab.top / name).mkdir()
        os.chown(lab.top / name, 0, group)
        (lab.top / name).chmod(0o2777)
    with session(lab, dialect, b"root") as client:
        for name, group in ((b"games", 60), (b"roots", 88)):
            client.walk(0, 1, name)
            client.create(1, FILE, b"file")
            client.clunk(FILE, 1)
            found = os.lstat(lab.top / name.decode() / "file")
            assert (found.st_uid, found.st_gid) == (77, group)


def test_no_bits_of_root_are_kept(lab: Lab, dialect: bytes) -> None:
    """Who names nobody writes as an ordinary user: SUID goes with the write."""
    with session(lab, dialect, b"root") as client:
        client.create(0, FILE, b"file", mode=0o755)
        if client.linux:
            client.rpc(setattr_(SETATTR_MODE, fid=FILE, mode=0o4755))
        elif client.dialect == UNIX:
            client.rpc(m.Twstat(FILE, UNTOUCHED._replace(mode=0o755 | 0x00080000)))
        client.rpc(m.Twrite(FILE, 0, b"x"))
        with inside(lab, b"file") as a:
            assert a.mode & 0o7777 == 0o755


# -- run-as: who is asking is a user of the host, by whatever name


ALICE, BOB = 2001, 2002
ENTRIES = {
    name: pwd.struct_passwd((name, "x", uid, uid, "", "/", "/bin/sh"))
    for name, uid in (
        ("alice", ALICE),
        ("bob", BOB),
        ("toor", 0),
        ("ROOT", 0),
        ("+0", 0),
        ("root", 0),
        ("alias", ALICE),
    )
}


@pytest.fixture
def users(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that knows these users."""
    monkeypatch.setattr(pwd, "getpwnam", lambda name: ENTRIES[name])
    numbers = {entry.pw_uid: entry for entry in reversed(ENTRIES.values())}
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: numbers[uid])
    monkeypatch.setattr(os, "getgrouplist", lambda name, gid: [gid])


def private(lab: Lab, owner: int) -> None:
    lab.top.chmod(0o755)
    (lab.top / "secret").write_bytes(b"content")
    os.chown(lab.top / "secret", owner, owner)
    (lab.top / "secret").chmod(0o600)


def open_both(client: Attacker, fid: int) -> m.Message:
    return m.Tlopen(fid, O_RDWR) if client.linux else m.Topen(fid, 2)


def truncate(client: Attacker, fid: int) -> m.Message:
    if client.linux:
        return setattr_(SETATTR_SIZE, fid=fid, size=0)
    return m.Twstat(fid, UNTOUCHED._replace(length=0))


NONE = Errno.EACCES, Errno.EPERM


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize("one_connection", [False, True])
def test_no_user_acts_through_what_another_opened(
    labs: Callable[..., Lab], dialect: bytes, one_connection: bool
) -> None:
    lab = labs("passthrough", run_as_user=True)
    private(lab, ALICE)
    with session(lab, dialect, b"alice") as alice, session(lab, dialect, b"bob") as other:
        bob, root = other, 0
        if one_connection:
            bob, root = alice, 50
            alice.attach(root, uname=b"bob", n_uname=NO_ID)
        alice.walk(0, FILE, b"secret")
        alice.rpc(open_both(alice, FILE))
        bob.walk(root, SPARE, b"secret")
        bob.refuses(truncate(bob, SPARE), *NONE)
        bob.refuses(m.Twstat(SPARE, UNTOUCHED), *NONE)  # an fsync
        bob.refuses(open_both(bob, SPARE), *NONE)
        assert (lab.top / "secret").read_bytes() == b"content"


@pytest.mark.usefixtures("users")
def test_one_user_under_two_names(labs: Callable[..., Lab], dialect: bytes) -> None:
    """What counts is the number: the alias has all that is alice's, through her own
    open file too.
    """
    lab = labs("passthrough", run_as_user=True)
    private(lab, ALICE)
    with session(lab, dialect, b"alice") as alice, session(lab, dialect, b"alias") as alias:
        alice.walk(0, FILE, b"secret")
        alice.rpc(open_both(alice, FILE))
        (lab.top / "secret").chmod(0o400)
        alias.walk(0, SPARE, b"secret")
        alias.rpc(truncate(alias, SPARE))
        assert (lab.top / "secret").read_bytes() == b""


@pytest.mark.usefixtures("users")
def test_what_a_user_created_is_his_to_truncate(labs: Callable[..., Lab], dialect: bytes) -> None:
    lab = labs("passthrough", run_as_user=True)
    lab.top.chmod(0o777)
    with session(lab, dialect, b"alice") as client, session(lab, dialect, b"bob") as other:
        client.create(0, FILE, b"file", b"content", 0o600)
        (lab.top / "file").chmod(0)
        for who, told in ((other, set(NONE)), (client, set())):
            who.walk(0, SPARE, b"file")
            said = who.errors_of(truncate(who, SPARE))
            assert bool(said) == bool(told)
            assert said <= told or said & told
        assert (lab.top / "file").read_bytes() == b""


@pytest.mark.usefixtures("users")
@pytest.mark.parametrize("uname", [b"root", b"toor", b"ROOT", b"+0"])
@pytest.mark.parametrize("uid", [NO_ID, 0])
def test_root_is_squashed_under_any_name(labs: Callable[..., Lab], dialect: bytes, uname: bytes, uid: int) -> None:
    lab = labs("passthrough", run_as_user=True, squash="root", anon=(77, 88))
    private(lab, 0)
    lab.top.chmod(0o777)
    with session(lab, dialect, uname, uid) as client:
        client.walk(0, FILE, b"secret")
        client.refuses(open_both(client, FILE), *NONE)
        client.create(0, SPARE, b"new")
        found = os.lstat(lab.top / "new")
        assert (found.st_uid, found.st_gid) == (77, 88)
