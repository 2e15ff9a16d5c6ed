"""T10: a read-only export, and every way to get past it: all mode bytes, all flag bits, every
message that changes something.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.client import Failed
from tests.threats.lab import Attacker, Canary, Lab, codes
from tests.threats.spy import Spy
from tests.threats.verbs import FILE, FOLDER, ROOT, SPARE, TAKEN, VERBS, setattr_

from ninep.linux import (
    LOCK_BLOCKED,
    LOCK_RDLCK,
    LOCK_SUCCESS,
    LOCK_UNLCK,
    LOCK_WRLCK,
    NO_ID,
    O_ACCMODE,
    O_CREAT,
    O_RDONLY,
    O_TRUNC,
    Errno,
)
from ninep.wire import messages as m

HARMLESS = {
    "Tstat", "Tstat folder", "Topen read", "Topen exec", "Twalk down", "Twalk up and down", "Tgetattr", "Tgetattr folder", "Tstatfs",
    "Tlopen read", "Treaddir", "Txattrwalk", "Txattrwalk all", "Twstat nothing",
}  # fmt: skip
OTRUNC, OCEXEC, ORCLOSE, OAPPEND = 0x10, 0x20, 0x40, 0x80
XATTRS = {"Txattrcreate", "Txattrcreate folder"}


@pytest.fixture
def export(labs: Callable[..., Lab], model: str) -> Lab:
    """A read-only lab with a tree that a writable one made before, spied on."""
    lab = labs(model, read_only=True)
    lab.spy = Spy()
    served = next(iter(lab.server.exports))
    layers, served.layers = served.layers, ()
    with lab.client() as maker:
        maker.mkdir(ROOT, b"one")
        maker.walk(ROOT, FOLDER, b"one")
        maker.mkdir(FOLDER, b"two")
        maker.walk(FOLDER, 3, b"two")
        maker.create(3, FILE, b"leaf", b"content")
        maker.create(ROOT, SPARE, b"other", b"content")
        maker.clunk(SPARE)
        maker.walk(3, SPARE, b"leaf")
        maker.rpc(m.Txattrcreate(SPARE, b"user.own", 1, 0))
        maker.rpc(m.Twrite(SPARE, 0, b"x"))
        maker.clunk(SPARE)
    lab.wait_until_idle()
    served.layers = [lab.spy, *layers]
    return lab


@pytest.fixture
def reader(export: Lab, dialect: bytes) -> Attacker:
    client = export.client(dialect)
    client.walk(ROOT, 3, b"one")
    client.walk(3, FOLDER, b"two")
    client.walk(FOLDER, FILE, b"leaf")
    return client


@pytest.fixture(autouse=True)
def unchanged(export: Lab) -> object:
    """Nothing of the export changes, not even a time, and the driver is not even asked."""
    tree = Canary.__new__(Canary)
    tree.top = export.top
    before = tree.digest()
    yield None
    assert tree.digest() == before
    assert not export.spy.changes, export.spy.changes[:3]


@pytest.mark.parametrize("fid", [ROOT, FOLDER, FILE])
def test_all_mode_bytes(reader: Attacker, fid: int) -> None:
    for mode in range(256):
        reader.walk(fid, SPARE)
        said = reader.errors_of(m.Topen(SPARE, mode))
        writes = mode & 3 in {1, 2} or mode & (OTRUNC | ORCLOSE)
        if writes:
            assert said & {Errno.EROFS, Errno.EISDIR}, hex(mode)
        elif fid == FILE:
            assert not said, hex(mode)
            assert reader.read(SPARE) == b"content"
            reader.refuses(m.Twrite(SPARE, 0, TAKEN), Errno.EBADF)
        reader.clunk(SPARE)
        reader.walk(ROOT, SPARE, b"one")
        assert reader.errors_of(m.Tcreate(SPARE, b"taken", 0o644, mode)) & {Errno.EROFS, Errno.EINVAL}, hex(mode)
        assert reader.errors_of(m.Tcreate(SPARE, b"taken", 0x800001ED, mode)) & {
            Errno.EROFS,
            Errno.EISDIR,
            Errno.EINVAL,
        }, hex(mode)
        reader.clunk(SPARE)


@pytest.mark.parametrize("fid", [ROOT, FILE])
def test_all_flag_bits(export: Lab, fid: int) -> None:
    with export.client() as client:
        client.walk(ROOT, FILE, b"one", b"two", b"leaf")
        for access in range(4):
            for bit in range(33):
                flags = access | (1 << bit if bit < 32 else 0)
                client.walk(fid, SPARE)
                said = client.errors_of(m.Tlopen(SPARE, flags))
                if flags & (O_ACCMODE | O_TRUNC):
                    assert said & {Errno.EROFS, Errno.EISDIR, Errno.EINVAL}, oct(flags)
                elif fid == FILE and not flags & O_CREAT:
                    assert not said, oct(flags)
                    client.refuses(m.Twrite(SPARE, 0, TAKEN), Errno.EBADF)
                client.clunk(SPARE)
                for name in (b"leaf", b"taken"):
                    client.walk(ROOT, SPARE, b"one", b"two")
                    assert client.errors_of(m.Tlcreate(SPARE, name, flags, 0o644, NO_ID)) & {
                        Errno.EROFS,
                        Errno.EINVAL,
                    }, oct(flags)
                    client.clunk(SPARE)


def test_every_verb(reader: Attacker, export: Lab) -> None:
    for verb, act in VERBS[reader.dialect].items():
        with export.client(reader.dialect) as client:
            client.walk(ROOT, 3, b"one")
            client.walk(3, FOLDER, b"two")
            client.walk(FOLDER, FILE, b"leaf")
            said: set[Errno] = set()
            try:
                act(client)
            except Failed as failure:
                said = codes(failure)
            if verb in HARMLESS:
                assert not said, verb
            else:
                assert said & {Errno.EROFS}, (verb, said)


def test_a_remove_clunks_all_the_same(reader: Attacker) -> None:
    reader.walk(ROOT, SPARE, b"other")
    reader.refuses(m.Tremove(SPARE), Errno.EROFS)
    reader.refuses(m.Tclunk(SPARE), Errno.EBADF)


def test_all_setattr_bits(export: Lab) -> None:
    with export.client() as client:
        client.walk(ROOT, FILE, b"one", b"two", b"leaf")
        for bit in range(32):
            said = client.errors_of(setattr_(1 << bit))
            assert said & {Errno.EROFS} or 1 << bit > 0x1FF or 1 << bit in {0x80, 0x100}, hex(1 << bit)
        for valid in range(0x200):
            client.errors_of(setattr_(valid, mode=0o777, size=1))


def test_locks_never_open_the_hosts_file_for_writing(export: Lab) -> None:
    """A write lock is one among clients: programs of the host are executed (no ETXTBSY) and take
    locks (no EAGAIN) as if there were none.
    """
    program = export.top / "one" / "two" / "leaf"
    with export.client() as one, export.client() as other:
        for client in (one, other):
            client.walk(ROOT, FILE, b"one", b"two", b"leaf")
            client.rpc(m.Tlopen(FILE, O_RDONLY))
        for start, length in ((0, 0), (3, 1)):
            assert one.rpc(m.Tlock(FILE, LOCK_WRLCK, 0, start, length, 1, b"one")).status == LOCK_SUCCESS
            for kind in (LOCK_RDLCK, LOCK_WRLCK):
                assert other.rpc(m.Tlock(FILE, kind, 0, 3, 1, 1, b"other")).status == LOCK_BLOCKED
            assert other.rpc(m.Tgetlock(FILE, LOCK_UNLCK, 3, 1, 1, b"other")).type == LOCK_WRLCK
            assert modes_of_handles(program) <= {O_RDONLY}
            with program.open("r+b") as file:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert other.rpc(m.Tlock(FILE, LOCK_UNLCK, 0, 0, 0, 1, b"other")).status == LOCK_SUCCESS
        one.clunk(FILE)
        assert other.rpc(m.Tlock(FILE, LOCK_WRLCK, 0, 0, 0, 1, b"other")).status == LOCK_SUCCESS


def modes_of_handles(path: Path) -> set[int]:
    """How this process, which is the server, has a file open."""
    found = set()
    for handle in map(int, os.listdir("/proc/self/fd")):
        try:
            flags = fcntl.fcntl(handle, fcntl.F_GETFL)
            if os.path.samestat(os.fstat(handle), path.stat()):
                found.add(flags & O_ACCMODE)
        except OSError:
            continue  # the listing's own
    return found


def test_a_read_lock_is_that_of_any_reader(export: Lab) -> None:
    """The host's writers keep away while a client reads, and the other way round."""
    with export.client() as client, (export.top / "one" / "two" / "leaf").open("r+b") as file:
        client.walk(ROOT, FILE, b"one", b"two", b"leaf")
        client.rpc(m.Tlopen(FILE, O_RDONLY))
        assert client.rpc(m.Tlock(FILE, LOCK_RDLCK, 0, 0, 0, 1, b"here")).status == LOCK_SUCCESS
        with pytest.raises(BlockingIOError):
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        client.rpc(m.Tlock(FILE, LOCK_UNLCK, 0, 0, 0, 1, b"here"))
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert client.rpc(m.Tlock(FILE, LOCK_RDLCK, 0, 0, 0, 1, b"here")).status == LOCK_BLOCKED


def test_reading_listing_locking_and_syncing_go_on(export: Lab) -> None:
    with export.client() as client:
        client.walk(ROOT, FILE, b"one", b"two", b"leaf")
        client.rpc(m.Tlopen(FILE, O_RDONLY))
        assert client.read(FILE) == b"content"
        assert client.rpc(m.Tlock(FILE, 0, 0, 0, 0, 1, b"here")).status == 0
        client.rpc(m.Tfsync(FILE))
        client.walk(ROOT, FOLDER, b"one")
        client.rpc(m.Tlopen(FOLDER, O_RDONLY))
        assert client.names(FOLDER) == [b"two"]
