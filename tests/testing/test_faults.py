"""Faults occur when they are planned, and only then."""

from threading import Thread

import pytest
from tests.support.client import TIMEOUT

from ninep import linux
from ninep.drivers.memory import MemoryDriver
from ninep.errors import Refused
from ninep.linux import Errno
from ninep.node import Node, OpenFile, User
from ninep.testing.faults import ALWAYS, Faults


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def root(faults: Faults) -> Node:
    return faults(MemoryDriver().attach(User()), User())


@pytest.fixture
def file(root: Node) -> OpenFile:
    return root.create(b"f", linux.O_RDWR, 0o644, 0, 0)[1]


def outcomes(file: OpenFile, count: int) -> list[Errno | int]:
    found: list[Errno | int] = []
    for _ in range(count):
        try:
            found.append(file.write(0, b"xy"))
        except Refused as refusal:
            found.append(refusal.code)
    return found


def test_without_a_plan_all_goes_well(file: OpenFile, faults: Faults) -> None:
    assert outcomes(file, 3) == [2, 2, 2]
    assert (faults.calls["file.write"], faults.calls["create"], faults.calls["walk"]) == (3, 1, 0)


def test_the_third_call(file: OpenFile, faults: Faults) -> None:
    faults.fail("file.write", Errno.ENOSPC, at=3)
    assert outcomes(file, 4) == [2, 2, Errno.ENOSPC, 2]


def test_two_calls_in_a_row(file: OpenFile, faults: Faults) -> None:
    faults.fail("file.write", Errno.EDQUOT, at=2, times=2)
    assert outcomes(file, 4) == [2, Errno.EDQUOT, Errno.EDQUOT, 2]


def test_from_now_on_until_cleared(file: OpenFile, faults: Faults) -> None:
    faults.fail("file.write", Errno.EIO, times=ALWAYS)
    assert outcomes(file, 3) == [Errno.EIO] * 3
    faults.clear()
    assert outcomes(file, 1) == [2]


def test_before_or_after_the_driver(root: Node, faults: Faults) -> None:
    faults.fail("mkdir", Errno.EIO)
    faults.fail("mkdir", Errno.EIO, at=2, after=True)
    for name in (b"before", b"after"):
        with pytest.raises(Refused):
            root.mkdir(name, 0o755, 0, 0)
    assert [entry.name for entry in root.opendir().read(0, 1000)] == [b".", b"..", b"after"]


def test_other_verbs_and_nodes_below(root: Node, faults: Faults) -> None:
    root.mkdir(b"d", 0o755, 0, 0)
    faults.fail("dir.read", Errno.EACCES)
    listing = root.walk(b"d").opendir()
    with pytest.raises(Refused):
        listing.read(0, 100)
    assert listing.read(0, 100)


def test_an_exception_no_driver_may_raise(root: Node, faults: Faults) -> None:
    faults.crash("walk", ZeroDivisionError("by order"))
    with pytest.raises(ZeroDivisionError):
        root.walk(b"x")


def test_a_call_that_waits(file: OpenFile, faults: Faults) -> None:
    hold = faults.hold("file.write")
    done: list[Errno | int] = []
    thread = Thread(target=lambda: done.extend(outcomes(file, 1)))
    thread.start()
    assert hold.reached.wait(TIMEOUT)
    assert done == []
    hold.go.set()
    thread.join(TIMEOUT)
    assert done == [2]


def test_a_held_call_times_out(file: OpenFile, faults: Faults) -> None:
    faults.hold("file.write", timeout=0)
    with pytest.raises(AssertionError, match="never let go"):
        file.write(0, b"x")


def test_verbs_that_do_not_exist(faults: Faults) -> None:
    with pytest.raises(ValueError, match=r"'file\.walk' is no verb"):
        faults.fail("file.walk", Errno.EIO)
