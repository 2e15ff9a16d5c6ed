"""Requests with their users' rights. The users are those that every Debian has; the host's kernel
is the judge.
"""

import ctypes
import errno
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from tests.support.client import TIMEOUT

from ninep import linux
from ninep.errors import Refused, linux_errno
from ninep.host import _credentials as credentials
from ninep.host._credentials import Identity, become
from ninep.linux import NO_ID, Errno
from ninep.node import Changes, Node, OpenFile, User

if sys.platform != "linux" or os.geteuid() != 0:
    pytest.skip("other users' rights are root's to take, on Linux", allow_module_level=True)

from ninep.drivers.local import LocalDriver
from ninep.drivers.memory import MemoryDriver
from ninep.layers.base import Layer
from ninep.layers.id_map import Squash
from ninep.layers.run_as import RunAs, RunAsNode
from ninep.server.exports import Export
from ninep.testing.audit import Audit
from ninep.testing.suite import Capabilities, DriverSuite
from ninep.testing.suite.tree import GID, UID, in_buffers

ALICE = Identity(1, 1, (1, 60))
BOB = Identity(2, 2, (2,))


def who() -> tuple[int, int, list[int]]:
    """The file-system ids and groups of this thread."""
    fields = dict(
        line.split(":\t", 1) for line in Path("/proc/thread-self/status").read_text().splitlines() if ":\t" in line
    )
    return int(fields["Uid"].split()[3]), int(fields["Gid"].split()[3]), sorted(map(int, fields["Groups"].split()))


def capabilities() -> int:
    """The effective ones of this thread."""
    status = Path("/proc/thread-self/status").read_text()
    return int(status.partition("CapEff:")[2].split()[0], 16)


DAC_OVERRIDE, SETGID, SETUID = 1, 6, 7
KEEPCAPS = 8  # PR_SET_KEEPCAPS of prctl(2)


def read_as_alice(folder: int) -> str:
    """What a process reads that is user 5 and has these capabilities, itself and as a user."""
    libc = ctypes.CDLL(None)
    wanted = 1 << DAC_OVERRIDE | 1 << SETGID | 1 << SETUID
    version = (ctypes.c_uint * 2)(0x20080522, 0)
    assert not libc.prctl(KEEPCAPS, 1, 0, 0, 0)
    os.setresuid(5, 5, 5)
    assert not libc.capset(version, (ctypes.c_uint * 6)(wanted, wanted, 0, 0, 0, 0))

    def read() -> str:
        try:
            with os.fdopen(os.open("secret", os.O_RDONLY, dir_fd=folder)) as file:
                return file.read()
        except OSError as error:
            return errno.errorcode[error.errno or 0]

    own = read()
    with become(ALICE):
        as_alice = read()
    kept = "DAC_OVERRIDE" if capabilities() == wanted else f"{capabilities():#x}"
    return f"with DAC_OVERRIDE: {own}; as alice: {as_alice}; {kept}"


def in_child(call: Callable[[], str]) -> str:
    """What a function returns in a child process, which it may change."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.write(writing, call().encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    os.waitpid(pid, 0)
    return said


def refused(code: Errno) -> "pytest.RaisesExc[OSError]":
    return pytest.raises(OSError, check=lambda error: linux_errno(error) is code)


class TestBecome:
    def test_there_and_back(self) -> None:
        before = who()
        with become(ALICE):
            assert who() == (1, 1, [1, 60])
        assert who() == before

    def test_back_also_after_a_failure(self) -> None:
        before = who()
        with pytest.raises(ZeroDivisionError), become(ALICE):
            raise ZeroDivisionError
        assert who() == before

    def test_other_threads_stay_who_they_are(self) -> None:
        before = who()
        inside, done = threading.Event(), threading.Event()

        def act() -> None:
            with become(ALICE):
                inside.set()
                done.wait(TIMEOUT)

        thread = threading.Thread(target=act)
        thread.start()
        assert inside.wait(TIMEOUT)
        try:
            assert who() == before
        finally:
            done.set()
            thread.join(TIMEOUT)

    def test_rights_go_and_come_back(self, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("root's")
        secret.chmod(0o600)
        handle = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with become(ALICE), pytest.raises(PermissionError):
                os.open("secret", os.O_RDONLY, dir_fd=handle)
            os.close(os.open("secret", os.O_RDONLY, dir_fd=handle))
        finally:
            os.close(handle)

    def test_no_capability_stays_with_a_user(self) -> None:
        """With CAP_SYS_RESOURCE his writes would pass his quota, and take what is kept for root."""
        before = capabilities()
        with become(ALICE):
            assert capabilities() == 0
        assert capabilities() == before
        with become(Identity(0, 0, (0,))):
            assert capabilities() == before

    def test_none_stays_of_a_process_that_is_not_root_either(self, tmp_path: Path) -> None:
        """The kernel takes none away then: setfsuid(2) does when the uid leaves 0."""
        secret = tmp_path / "secret"
        secret.write_text("root's")
        secret.chmod(0o600)
        handle = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            assert (
                in_child(lambda: read_as_alice(handle)) == "with DAC_OVERRIDE: root's; as alice: EACCES; DAC_OVERRIDE"
            )
        finally:
            os.close(handle)

    def test_users_of_the_host(self) -> None:
        assert credentials.identity_of(0).uid == 0
        assert credentials.identity_named(b"root") == credentials.identity_of(0)

    @pytest.mark.parametrize("uid", [4_000_000_000, NO_ID, 1 << 40, -1])
    def test_who_is_no_user(self, uid: int) -> None:
        with refused(Errno.EPERM):
            credentials.identity_of(uid)

    @pytest.mark.parametrize("name", [b"no such user", b"\xff", b"", b"root\0"])
    def test_names_that_no_user_has(self, name: bytes) -> None:
        with refused(Errno.EPERM):
            credentials.identity_named(name)


@pytest.fixture
def export(tmp_path: Path) -> Iterator[Node]:
    """A folder with write permission for all users, as the driver sees it."""
    tmp_path.chmod(0o777)
    driver = LocalDriver(str(tmp_path), security_model="passthrough")
    root = driver.attach(User())
    yield root
    root.release()
    driver.close()


@pytest.fixture
def alice(export: Node) -> Node:
    return RunAs(always=ALICE)(export, User())


@pytest.fixture
def bob(export: Node) -> Node:
    return RunAs(always=BOB)(export, User())


@pytest.fixture
def alices(alice: Node) -> Iterator[Node]:
    """A file that only alice may read."""
    node, file = alice.create(b"f", linux.O_RDWR, 0o600, 1, 1)
    file.write(0, b"alice's", 1)
    file.close()
    yield node
    node.release()


class TestRights:
    def test_what_is_made_belongs_to_its_maker(self, alice: Node, alices: Node) -> None:
        alice.mkdir(b"d", 0o755, 0, 0)
        alice.symlink(b"l", b"to", 1, 60)
        alice.mknod(b"p", linux.S_IFIFO | 0o644, 0, 1, 77)
        owners = {}
        for name in (b"f", b"d", b"l", b"p"):
            node = alice.walk(name)
            a = node.getattr(linux.GETATTR_BASIC)
            owners[name] = (a.uid, a.gid)
            node.release()
        assert owners == {b"f": (1, 1), b"d": (1, 1), b"l": (1, 60), b"p": (1, 1)}

    FORBIDDEN: ClassVar[dict[str, Callable[[Node, Node], object]]] = {
        "open": lambda root, file: file.open(linux.O_RDONLY, 2),
        "open to write": lambda root, file: file.open(linux.O_WRONLY, 2),
        "truncate": lambda root, file: file.setattr(Changes(size=0, by=2)),
        "set mtime": lambda root, file: file.setattr(Changes(mtime=0, by=2)),
        "create over": lambda root, file: root.create(b"f", linux.O_RDWR, 0o644, 2, 2),
        "set xattr": lambda root, file: file.setxattr(b"user.x", b"", 0),
    }
    FORBIDDEN_TO_OWN: ClassVar[dict[str, Callable[[Node, Node], object]]] = {
        "chmod": lambda root, file: file.setattr(Changes(mode=0o777, by=2)),
        "chown": lambda root, file: file.setattr(Changes(uid=2, by=2)),
    }

    @pytest.mark.parametrize("how", FORBIDDEN)
    def test_other_users_are_kept_out(self, bob: Node, alices: Node, how: str) -> None:
        node = bob.walk(b"f")
        try:
            with pytest.raises(OSError, check=lambda error: linux_errno(error) in {Errno.EACCES, Errno.EPERM}):
                self.FORBIDDEN[how](bob, node)
        finally:
            node.release()
        assert alices.open(linux.O_RDONLY, 1).read(0, 100) == b"alice's"

    @pytest.mark.parametrize("how", FORBIDDEN_TO_OWN)
    def test_what_belongs_to_others_stays_theirs(self, bob: Node, alices: Node, how: str) -> None:
        node = bob.walk(b"f")
        try:
            with refused(Errno.EPERM):
                self.FORBIDDEN_TO_OWN[how](bob, node)
        finally:
            node.release()
        a = alices.getattr(linux.GETATTR_BASIC)
        assert (a.uid, a.mode & 0o7777) == (1, 0o600)

    def test_a_user_cannot_truncate_through_another_users_open_file(self, bob: Node, alices: Node) -> None:
        file = alices.open(linux.O_RDWR, 1)
        node = bob.walk(b"f")
        try:
            with refused(Errno.EACCES):
                node.setattr(Changes(size=0, by=2))
            assert file.read(0, 100) == b"alice's"
        finally:
            node.release()
            file.close()

    def test_a_folder_without_search_permission(self, alice: Node, bob: Node) -> None:
        alice.mkdir(b"private", 0o700, 1, 1)
        inner = alice.walk(b"private")
        inner.mkdir(b"x", 0o755, 1, 1)
        known = inner.walk(b"x")  # the driver knows it by now; bob gains nothing by that
        folder = bob.walk(b"private")
        try:
            with refused(Errno.EACCES):
                folder.walk(b"x")
            with refused(Errno.EACCES):
                folder.opendir()
            with refused(Errno.EACCES):
                folder.mkdir(b"y", 0o755, 2, 2)
            with refused(Errno.EACCES):
                folder.unlink(b"x", directory=True)
        finally:
            for node in (known, inner, folder):
                node.release()

    def test_the_sticky_bit(self, export: Node, bob: Node, alices: Node) -> None:
        export.setattr(Changes(mode=0o1777, by=0))
        with refused(Errno.EPERM):
            bob.unlink(b"f", directory=False)
        with refused(Errno.EPERM):
            bob.rename(b"f", bob, b"g")

    def test_groups_count(self, export: Node, alice: Node, bob: Node) -> None:
        export.mkdir(b"games", 0o2770, 0, 60)
        folder = alice.walk(b"games")
        folder.mkdir(b"mine", 0o755, 1, 60)
        made = folder.walk(b"mine")
        assert made.getattr(linux.GETATTR_BASIC).gid == 60
        with refused(Errno.EACCES):
            bob.walk(b"games").mkdir(b"mine", 0o755, 2, 2)
        made.release()
        folder.release()

    def test_devices_are_roots_to_make(self, alice: Node) -> None:
        with refused(Errno.EPERM):
            alice.mknod(b"null", linux.S_IFCHR | 0o666, 0x0103, 1, 1)

    @pytest.mark.parametrize(
        "write",
        [lambda file: file.write(0, b"xy", 0), lambda file: file.write_from(0, in_buffers(b"xy", (1, 1))[1], 0)],
        ids=["write", "write_from"],
    )
    def test_a_write_by_a_user_drops_privileges_whatever_the_client_says(
        self, alice: Node, alices: Node, write: Callable[[OpenFile], int]
    ) -> None:
        alices.setattr(Changes(mode=0o4755, by=0))
        file = alices.open(linux.O_RDWR, 0)
        assert write(file) == 2
        file.close()
        assert alices.getattr(linux.GETATTR_BASIC).mode & 0o7777 == 0o755

    def test_privileges_of_a_shared_file_go_too(self, bob: Node, alices: Node) -> None:
        """bob may write alice's file, but not chmod it: the kernel takes SUID away with
        the write.
        """
        alices.setattr(Changes(mode=0o4777, by=0))
        node = bob.walk(b"f")
        file = node.open(linux.O_RDWR, 2)
        assert file.write(0, b"bob's  ", 2) == 7
        file.close()
        node.release()
        assert alices.getattr(linux.GETATTR_BASIC).mode & 0o7777 == 0o777

    def test_root_is_root(self, export: Node, alices: Node) -> None:
        root = RunAs()(export, User(uid=0))
        node = root.walk(b"f")
        node.setattr(Changes(uid=2, gid=2, by=0))
        file = node.open(linux.O_RDONLY, 0)
        assert file.read(0, 100) == b"alice's"
        file.close()
        made, file = root.create(b"g", linux.O_RDWR, 0o600, 2, 60)
        file.close()
        a = made.getattr(linux.GETATTR_BASIC)
        assert (a.uid, a.gid) == (2, 60)
        made.release()
        node.release()


class TestIdentity:
    """Who is asking is decided once: the user of the host, with all groups."""

    def test_who_asks_is_the_user_of_the_host(self, alice: Node) -> None:
        """Not the number that the client names, which is that of no file here."""
        made, file = alice.create(b"f", linux.O_RDWR, 0o644, NO_ID, NO_ID)
        made.setattr(Changes(mode=0, by=NO_ID))
        made.setattr(Changes(size=3, by=77))
        assert made.getattr(linux.GETATTR_BASIC).size == 3
        file.close()
        made.release()

    @pytest.mark.parametrize("other", [BOB, Identity(1, 1, (1,)), Identity(1, 60, (1, 60))])
    def test_no_open_file_is_shared_with_other_rights(self, export: Node, alices: Node, other: Identity) -> None:
        """The same uid with other groups has other rights."""
        file = alices.open(linux.O_RDWR)
        export.walk(b"f").setattr(Changes(mode=0, by=0))
        layer = RunAs(always=other)
        node = layer(export, User()).walk(b"f")
        try:
            for act in (lambda: node.setattr(Changes(size=0)), node.fsync):
                with refused(Errno.EACCES):
                    act()
            assert file.read(0, 100) == b"alice's"
        finally:
            node.release()
            file.close()

    def test_a_squash_below_or_above_makes_no_difference(self, export: Node) -> None:
        del export
        users = {"root": User(uid=0), "by name": User(uname=b"root"), "daemon": User(uname=b"daemon"), "1": User(uid=1)}
        for squash in (Squash(2, 60, root_only=True), Squash(2, 60)):
            both = [self.attached([RunAs(), squash], user) for user in users.values()]
            assert both == [self.attached([squash, RunAs()], user) for user in users.values()]
            assert both == [(2, 60, ()), (2, 60, ())] + (
                [(2, 60, ())] * 2 if squash.all_users else [credentials.identity_of(1)] * 2
            )

    @staticmethod
    def attached(layers: list[Layer], user: User) -> Identity:
        root = Export("", MemoryDriver(), layers).attach(user)
        assert isinstance(root, RunAsNode)
        return root.identity

    def test_a_squashed_user_need_not_be_known(self) -> None:
        assert self.attached([RunAs(), Squash(2, 60)], User(uname=b"no such user")) == (2, 60, ())
        with refused(Errno.EPERM):
            self.attached([RunAs(), Squash(2, 60, root_only=True)], User(uname=b"no such user"))


class TestSuite(DriverSuite):
    """An ordinary user behind a root server has all that the same user has alone."""

    capabilities = Capabilities(owners="refused", devices=False, root_keeps_setid=False)

    @pytest.fixture
    def root(self, tmp_path: Path) -> Iterator[Node]:
        os.chown(tmp_path, UID, GID)
        driver = LocalDriver(str(tmp_path), security_model="passthrough")
        node = driver.attach(User())
        yield RunAs(always=Identity(UID, GID, (GID,)))(node, User())
        node.release()
        driver.close()


class TestAttach:
    def test_by_number_or_by_name(self) -> None:
        root = MemoryDriver().attach(User())
        layer = RunAs()
        assert layer(root, User(uid=0)).identity.uid == 0  # type: ignore[attr-defined]
        assert layer(root, User(uname=b"daemon")).identity.uid == 1  # type: ignore[attr-defined]
        assert layer(root, User(uname=b"daemon", uid=0)).identity.uid == 0  # type: ignore[attr-defined]

    @pytest.mark.parametrize("user", [User(), User(uname=b"nobody here"), User(uid=4_000_000_000)])
    def test_who_is_unknown_stays_out(self, user: User) -> None:
        with refused(Errno.EPERM):
            RunAs()(MemoryDriver().attach(User()), user)

    def test_who_stays_out_leaves_nothing_behind(self) -> None:
        audit = Audit()
        export = Export("", MemoryDriver(), [audit, RunAs()])
        with refused(Errno.EPERM):
            export.attach(User(uid=4_000_000_000))
        audit.check()

    def test_two_users_of_one_export_share_its_tree(self, alice: Node, bob: Node, export: Node) -> None:
        layer = RunAs()
        one, two = layer(export, User(uid=1)), layer(export, User(uid=2))
        one.mkdir(b"open", 0o777, 1, 1)
        folder = one.walk(b"open")
        two.mkdir(b"d", 0o755, 2, 2)
        with refused(Errno.EXDEV):
            alice.rename(b"d", folder, b"e")  # another layer, if the same driver
        two.rename(b"d", folder, b"e")
        assert folder.walk(b"e").getattr(linux.GETATTR_BASIC).uid == 2
        folder.release()

    def test_a_process_that_may_not(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(credentials, "supported", lambda: False)
        with refused(Errno.EPERM):
            RunAs()


def test_supported_is_what_it_says() -> None:
    assert credentials.supported()
    with become(ALICE):
        assert not Refused(Errno.EPERM).errno
