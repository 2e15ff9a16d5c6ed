"""What is logged about verbs."""

import logging

import pytest

from ninep import linux
from ninep.drivers.memory import MemoryDriver
from ninep.errors import Refused
from ninep.layers.trace import show, trace
from ninep.linux import Errno
from ninep.node import NOW, Changes, Node, User


@pytest.fixture
def root(caplog: pytest.LogCaptureFixture) -> Node:
    caplog.set_level(logging.DEBUG, "ninep.verbs")
    return trace(MemoryDriver(mode=0o700).attach(User()), User(uid=1000))


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Without the time."""
    return [record.getMessage().rpartition(" (")[0] for record in caplog.records]


def test_verbs_and_their_outcomes(root: Node, caplog: pytest.LogCaptureFixture) -> None:
    node, file = root.create(b"f", linux.O_RDWR, 0o644, 0, 0)
    file.write(0, b"abc", 0)
    file.write(3, bytes(5000), 0)
    file.read(0, 3)
    file.read_into(0, [memoryview(bytearray(100)), memoryview(bytearray(20))])
    file.close()
    node.getattr(2047)
    node.setattr(Changes(size=3, mode=0o600, mtime=NOW, by=7))
    root.opendir().read(0, 1000)
    root.symlink(b"l", b"to", 0, 0)
    root.walk(b"l").readlink()
    node.release()
    assert lines(caplog) == [
        "uid=1000 create '/' ('f', 2, 420, 0, 0) -> qid 00.0.2 'f', open",
        "uid=1000 file.write 'f' (0, 'abc', 0) -> 3",
        "uid=1000 file.write 'f' (3, <5000 bytes>, 0) -> 5000",
        "uid=1000 file.read 'f' (0, 3) -> <3 bytes>",
        "uid=1000 file.read_into 'f' (0, <120 bytes>) -> 120",
        "uid=1000 file.close 'f' () -> done",
        "uid=1000 getattr 'f' (2047) -> mode=100644 uid=0 gid=0 size=5003 nlink=1",
        "uid=1000 setattr 'f' (size=3 mode=0o600 mtime=now by=7) -> done",
        "uid=1000 opendir '/' () -> open",
        "uid=1000 dir.read '/' (0, 1000) -> 3 entries",
        "uid=1000 symlink '/' ('l', 'to', 0, 0) -> qid 02.0.3",
        "uid=1000 walk '/' ('l') -> qid 02.0.3 'l'",
        "uid=1000 readlink 'l' () -> 'to'",
        "uid=1000 release 'f' () -> done",
    ]


def test_refusals_are_told_and_passed_on(root: Node, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(Refused) as refusal:
        root.walk(b"missing")
    assert refusal.value.code is Errno.ENOENT
    assert lines(caplog) == ["uid=1000 walk '/' ('missing') -> ENOENT"]


def test_hostile_names_stay_on_their_line(root: Node, caplog: pytest.LogCaptureFixture) -> None:
    root.mkdir(b"\x1b[2J\nroot logged in\r\xff", 0o755, 0, 0)
    (line,) = lines(caplog)
    assert line.isprintable()
    assert r"\x1b[2J\nroot logged in\r\xff" in line


def test_long_names_are_cut(root: Node, caplog: pytest.LogCaptureFixture) -> None:
    root.mkdir(b"n" * 255, 0o755, 0, 0)
    assert lines(caplog) == ["uid=1000 mkdir '/' (<255 bytes>, 493, 0, 0) -> qid 80.0.2"]


def test_without_a_log_handler_no_text_is_made(root: Node, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ninep.verbs")
    root.mkdir(b"d", 0o755, 0, 0)
    assert lines(caplog) == []


def test_who_has_no_number_is_called_by_name(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "ninep.verbs")
    trace(MemoryDriver().attach(User()), User(uname=b"gl\nenda")).statfs()
    assert lines(caplog) == [r"uname='gl\nenda' statfs '/' () -> 262144 of 262144 blocks free"]


def test_what_has_no_short_form_is_named() -> None:
    assert show(object()) == "object"
