"""The fids of one client, and what of the limits they use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ninep.drivers.memory import MemoryDriver
from ninep.errors import Refused
from ninep.linux import O_RDWR, Errno
from ninep.node import User
from ninep.server.exports import Export, Exports
from ninep.server.fids import XattrBuffer
from ninep.server.limits import Limits
from ninep.server.session import FID_COST, Session, xattr_cost
from ninep.wire.dialect import Dialect
from ninep.wire.messages import NOFID

EXPORT = Export("data", MemoryDriver())
USER = User()


@pytest.fixture
def session() -> Iterator[Session]:
    limits = Limits(fids=3, open_files=2, directories=1, xattr_bytes=1 << 17)
    one = Session(Exports([EXPORT]), limits, Dialect.LINUX, 8192)
    yield one
    one.close()


def bind(session: Session, number: int) -> None:
    session.reserve_fid(number)
    session.bind(number, EXPORT.driver.attach(USER), USER, EXPORT)


def code_of(call: object, *arguments: object) -> Errno:
    with pytest.raises(Refused) as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value.code


def test_a_fid_that_is_not_in_use(session: Session) -> None:
    assert code_of(session.fid, 1) is Errno.EBADF
    bind(session, 1)
    assert session.fid(1) is session.fids[1]


def test_numbers_that_cannot_be_taken(session: Session) -> None:
    bind(session, 1)
    assert code_of(session.reserve_fid, 1) is Errno.EINVAL
    assert code_of(session.reserve_fid, NOFID) is Errno.EINVAL


def test_fids_have_a_limit_and_come_back(session: Session) -> None:
    for number in range(3):
        bind(session, number)
    assert code_of(session.reserve_fid, 3) is Errno.ENFILE
    session.retire(0)
    bind(session, 3)


def test_open_files_have_a_limit_and_come_back(session: Session) -> None:
    for number in range(2):
        bind(session, number)
        session.reserve_open()
        fid = session.fid(number)
        fid.node, fid.file = fid.node.create(b"f%d" % number, O_RDWR, 0o644, 0, 0)
        session.open(fid)
    assert code_of(session.reserve_open) is Errno.EMFILE
    session.retire(0)
    session.reserve_open()


def test_attributes_count_with_something_for_the_fid(session: Session) -> None:
    bind(session, 1)
    fid = session.fid(1)
    assert xattr_cost(fid) == 0
    room = (1 << 17) - FID_COST
    assert code_of(session.reserve_xattr, room + 1) is Errno.ENOSPC
    session.reserve_xattr(room)
    fid.set_xattr(XattrBuffer(b"user.a", room, 0))
    session.hold(fid)
    assert session.xattr_bytes == xattr_cost(fid) == 1 << 17
    session.discard(1)
    assert session.xattr_bytes == 0


def test_a_reply_that_the_client_cannot_take(session: Session) -> None:
    session.check_reply_size(8192)
    assert code_of(session.check_reply_size, 8193) is Errno.EMSGSIZE


@pytest.mark.parametrize(("block", "size"), [(0, 8168), (4096, 4096), (1000, 8000), (1 << 20, 8168)])
def test_the_iounit_is_a_multiple_of_the_block(session: Session, block: int, size: int) -> None:
    assert session.iosize(block) == size


def test_a_driver_that_waits_takes_the_session_out_of_the_event_loop(session: Session) -> None:
    session.attach(EXPORT, inline=True)
    assert (session.attached, session.inline) == (True, True)
    session.attach(EXPORT, inline=False)
    session.inline_again()
    assert not session.inline
