"""Stat records of 9P2000 and 9P2000.u: from attributes, and to changes."""

from __future__ import annotations

import pytest

from ninep.drivers.memory import MemoryDriver
from ninep.errors import Refused
from ninep.linux import S_IFCHR, S_IFDIR, S_IFREG, S_ISUID, Errno
from ninep.node import Changes, Node, User
from ninep.server.stat_record import changes_of, differing, stat_of, stat_size
from ninep.wire.codec import pack_stat
from ninep.wire.modes import DMAPPEND, DMDIR, EXTENDED, LEAVE32, LEAVE64, PLAIN, Encoding, makedev
from ninep.wire.types import Qid, Stat

UNTOUCHED = Stat(0xFFFF, LEAVE32, Qid(0xFF, LEAVE32, LEAVE64), LEAVE32, LEAVE32, LEAVE32, LEAVE64)
BASIC = 0x7FF


@pytest.fixture
def root() -> Node:
    return MemoryDriver().attach(User())


def test_a_directory(root: Node) -> None:
    root.mkdir(b"d", 0o755, 1000, 100)
    directory = root.walk(b"d")
    record = stat_of(directory, PLAIN)
    assert (record.name, record.uid, record.gid, record.length) == (b"d", b"1000", b"100", 0)
    assert record.mode == DMDIR | 0o755
    assert record.extension == b""


@pytest.mark.parametrize(("encoding", "extension"), [(EXTENDED, b"c 5 1"), (PLAIN, b"")])
def test_a_device(root: Node, encoding: Encoding, extension: bytes) -> None:
    root.mknod(b"n", S_IFCHR | 0o600, makedev(5, 1), 0, 0)
    assert stat_of(root.walk(b"n"), encoding).extension == extension


def test_a_link_has_its_target(root: Node) -> None:
    root.symlink(b"l", b"to/there", 0, 0)
    assert stat_of(root.walk(b"l"), EXTENDED).extension == b"to/there"


@pytest.mark.parametrize("encoding", [PLAIN, EXTENDED])
def test_the_size_is_that_of_the_packed_record(root: Node, encoding: Encoding) -> None:
    root.symlink(b"name", b"target", 12345, 7)
    record = stat_of(root.walk(b"name"), encoding)
    assert stat_size(record, encoding) == len(pack_stat(record, encoding))


def test_a_record_that_changes_nothing() -> None:
    assert changes_of(UNTOUCHED, S_IFREG | 0o644, EXTENDED, by=0) is None


def test_what_is_asked_for() -> None:
    asked = UNTOUCHED._replace(mode=0o600, length=5, mtime=7, n_uid=1000)
    found = changes_of(asked, S_IFREG | 0o644, EXTENDED, by=3)
    assert found == Changes(size=5, mode=0o600, mtime=7_000_000_000, uid=1000, by=3)


def test_ids_of_plain_9p2000_are_decimal_words() -> None:
    found = changes_of(UNTOUCHED._replace(gid=b"100"), None, PLAIN, by=0)
    assert found is not None
    assert found.gid == 100
    for word in (b"wheel", b"-1", b"4294967295", b"00000000001"):
        with pytest.raises(Refused) as caught:
            changes_of(UNTOUCHED._replace(gid=word), None, PLAIN, by=0)
        assert caught.value.code is Errno.EINVAL


@pytest.mark.parametrize(("mode", "asked"), [(S_IFREG, DMDIR | 0o755), (S_IFDIR, 0o755), (S_IFREG, DMAPPEND | 0o644)])
def test_the_type_of_a_file_cannot_be_changed(mode: int, asked: int) -> None:
    with pytest.raises(Refused) as caught:
        changes_of(UNTOUCHED._replace(mode=asked), mode, PLAIN, by=0)
    assert caught.value.code is Errno.EPERM


def test_a_record_sent_back_as_it_was_changes_nothing(root: Node) -> None:
    root.mkdir(b"d", 0o755, 1000, 100)
    directory = root.walk(b"d")
    attributes = directory.getattr(BASIC)
    asked = changes_of(stat_of(directory, EXTENDED), attributes.mode, EXTENDED, by=0)
    assert asked is not None
    left = differing(asked, attributes, EXTENDED)
    assert left == Changes(by=0)


def test_a_chown_that_drops_privileges_sets_the_mode_again(root: Node) -> None:
    attributes = root.getattr(BASIC)._replace(mode=S_IFREG | S_ISUID | 0o755, uid=1000, gid=100, size=3)
    asked = Changes(size=3, uid=0, gid=100, mode=S_ISUID | 0o755, atime=0, mtime=0, by=0)
    left = differing(asked, attributes, EXTENDED)
    assert (left.size, left.uid, left.gid, left.mode) == (None, 0, None, S_ISUID | 0o755)
