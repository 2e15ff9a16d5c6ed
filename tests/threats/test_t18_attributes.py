"""T18: attributes being written or read, held in fids: announced, filled, and never set.
``NINEP_LONG=1`` tries a hundred thousand times.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.client import RawClient
from tests.threats.lab import Lab
from tests.threats.process import Program, answers, pipelined
from tests.threats.verbs import FILE, ROOT

from ninep.linux import GETATTR_BASIC, XATTR_SIZE_MAX, Errno
from ninep.server.budgets import PROMISED_XATTRS
from ninep.server.limits import Limits
from ninep.server.session import FID_COST
from ninep.wire import messages as m

ATTEMPTS = 100_000 if os.environ.get("NINEP_LONG") else 5_000
BUDGET = 1 << 20
VALUE = b"v" * 3000  # ext4 keeps no more than a block of attributes
FIRST = 100


def announced(client: RawClient, fids: range, size: int) -> int:
    """How many of the fids can be made buffers for an attribute of so many bytes; the rest are
    refused, and stay what they are.
    """
    answers(client, [m.Twalk(FILE, fid, []) for fid in fids])
    said = answers(client, [m.Txattrcreate(fid, b"user.x", size, 0) for fid in fids], window=1)
    had = said.count(set())
    assert said == [set()] * had + [{Errno.ENOSPC}] * (len(fids) - had)
    for fid in fids[had:]:
        client.rpc(m.Tgetattr(fid, GETATTR_BASIC))
    client.clunk(*fids[had:])
    return had


def looked_up(client: RawClient, fids: range, name: bytes) -> int:
    """How many of the fids can be made values of an attribute; the rest are refused,
    and not made.
    """
    said = answers(client, [m.Txattrwalk(FILE, fid, name) for fid in fids], window=1)
    had = said.count(set())
    assert said == [set()] * had + [{Errno.ENOSPC}] * (len(fids) - had)
    assert answers(client, [m.Tclunk(fid) for fid in fids[had:]]) == [{Errno.EBADF}] * (len(fids) - had)
    return had


@pytest.mark.parametrize("size", [XATTR_SIZE_MAX, 5000, 0])
def test_attributes_are_counted_when_they_are_announced(labs: Callable[..., Lab], model: str, size: int) -> None:
    lab = labs(model, limits=Limits(xattr_bytes=BUDGET))
    most = BUDGET // (size + FID_COST)
    with lab.client() as client:
        client.create(ROOT, FILE, b"file")
        fids = range(FIRST, FIRST + most + 20)
        assert announced(client, fids, size) == most
        lab.alive()
        half = range(FIRST, FIRST + most // 2)
        said = answers(client, [m.Tclunk(fid) for fid in half])
        assert said == [{Errno.EINVAL} if size else set()] * len(half)  # it is not set, and the fid is gone
        assert announced(client, range(10_000, 10_020 + len(half)), size) == len(half)
    lab.wait_until_idle()
    assert ("user.x" in os.listxattr(lab.top / "file")) == (size == 0)


@pytest.mark.parametrize("name", [b"user.value", b""])
def test_values_are_counted_when_they_are_read(labs: Callable[..., Lab], model: str, name: bytes) -> None:
    lab = labs(model, limits=Limits(xattr_bytes=BUDGET))
    with lab.client() as client:
        client.create(ROOT, FILE, b"file")
        os.setxattr(lab.top / "file", "user.value", VALUE)
        size = len(VALUE) if name else len(b"user.value\0")
        most = BUDGET // (size + FID_COST)
        assert looked_up(client, range(FIRST, FIRST + most + 20), name) == most
        lab.alive()
        client.clunk(*range(FIRST, FIRST + most // 2))
        assert looked_up(client, range(FIRST + most, FIRST + 2 * most), name) == most // 2


def test_one_that_takes_all_leaves_the_others_what_they_were_promised(labs: Callable[..., Lab], model: str) -> None:
    lab = labs(model, limits=Limits(all_xattr_bytes=BUDGET))
    with lab.client() as hog, lab.client() as other:
        for client, name in ((hog, b"one"), (other, b"two")):
            client.create(ROOT, FILE, name)
        taken = announced(hog, range(FIRST, FIRST + 50), XATTR_SIZE_MAX)
        assert taken == (BUDGET + PROMISED_XATTRS) // (XATTR_SIZE_MAX + FID_COST)
        assert announced(other, range(FIRST, FIRST + 5), XATTR_SIZE_MAX) >= 1
        other.walk(FILE, 9)
        other.rpc(m.Txattrcreate(9, b"user.value", len(VALUE), 0))
        other.rpc(m.Twrite(9, 0, VALUE))
        other.clunk(9)
        other.rpc(m.Txattrwalk(FILE, 9, b"user.value"))
        assert other.read(9) == VALUE
        assert os.getxattr(lab.top / "two", "user.value") == VALUE


@pytest.mark.timeout(3600)
def test_memory_is_what_was_announced_however_often_one_tries(tmp_path: Path) -> None:
    with (
        Program.beside_a_canary(tmp_path, "--limit", "xattr-bytes=4M") as program,
        program.client(msize=1 << 17) as client,
    ):
        client.create(ROOT, FILE, b"file")
        before = program.memory
        most = announced(client, range(FIRST, FIRST + 100), XATTR_SIZE_MAX)
        assert most == (4 << 20) // (XATTR_SIZE_MAX + FID_COST)
        for fid in range(FIRST, FIRST + most):
            client.rpc(m.Twrite(fid, 0, b"x" * XATTR_SIZE_MAX))
        attempt = [m.Twalk(FILE, 9, []), m.Txattrcreate(9, b"user.x", XATTR_SIZE_MAX, 0), m.Tclunk(9)]
        program.holds_its_memory(lambda: pipelined(client, attempt, ATTEMPTS), 1 << 18)
        assert (4 << 20) * 9 // 10 < program.memory - before < (4 << 20) + (2 << 20)
