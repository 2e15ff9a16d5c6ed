"""T14: integers at their ends, for everything that has an offset, a count, a size, an id or a time;
and what that makes the server allocate.
"""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from tests.threats.lab import BASE, LINUX, Attacker, Lab
from tests.threats.verbs import FILE, FOLDER, ROOT, SPARE, UNTOUCHED

from ninep.linux import GETATTR_BASIC, NO_ID, SETATTR_SIZE, Errno
from ninep.server.limits import Limits
from ninep.wire import messages as m
from ninep.wire.modes import DMDIR

MSIZE = 65536 + 24
OFFSETS = (
    0,
    1,
    (1 << 31) - 1,
    1 << 31,
    1 << 32,
    (1 << 63) - MSIZE,
    (1 << 63) - 2,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 1,
)
COUNTS = (0, 1, 11, 23, 24, 4096, MSIZE, MSIZE + 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
BEYOND = {Errno.EINVAL, Errno.EFBIG, Errno.EOVERFLOW} if hasattr(Errno, "EOVERFLOW") else {Errno.EINVAL, Errno.EFBIG}
NUMBERS32 = (0, 1, 0o7777, 0xFFFF, 1 << 31, NO_ID - 1, NO_ID)
NUMBERS64 = (0, 1, 999_999_999, 1_000_000_000, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
XATTR = 60


@pytest.fixture
def client(lab: Lab, dialect: bytes) -> Attacker:
    """Fids: a file open for reading and writing, an open folder, and (in .L) an attribute."""
    made = lab.client(dialect, MSIZE)
    made.create(ROOT, FILE, b"file", b"content")
    made.walk(ROOT, FOLDER)
    made.open(FOLDER)
    if dialect == LINUX:
        made.rpc(m.Txattrwalk(FILE, XATTR, b""))
    return made


@pytest.fixture(autouse=True)
def frugal(client: Attacker) -> Iterator[None]:
    """Nothing that a number says makes the server (or this client) allocate more than some
    messages.
    """
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 * MSIZE + (2 << 20), f"{peak} bytes"


def fids(client: Attacker) -> list[int]:
    return [FILE, FOLDER, XATTR, ROOT, 77] if client.linux else [FILE, FOLDER, ROOT, 77]


def test_reads(client: Attacker) -> None:
    for fid, offset, count in itertools.product(fids(client), OFFSETS, COUNTS):
        for message in (
            (m.Tread(fid, offset, count), m.Treaddir(fid, offset, count))
            if client.linux
            else (m.Tread(fid, offset, count),)
        ):
            said = client.errors_of(message)
            if fid == FILE and isinstance(message, m.Tread):
                end = offset + min(count, MSIZE - 11)
                assert said & BEYOND if end > (1 << 63) - 1 else not said, (offset, count, said)


def test_what_is_read_where_there_is_nothing(client: Attacker) -> None:
    for offset in (8, 1 << 40, (1 << 63) - MSIZE):
        assert client.read(FILE, offset, 4096) == b""
    assert client.read(FILE, 0, (1 << 32) - 1) == b"content"


def test_writes(client: Attacker, lab: Lab) -> None:
    for fid, offset in itertools.product(fids(client), OFFSETS):
        for data in (b"", b"x", b"x" * 4096):
            said = client.errors_of(m.Twrite(fid, offset, data))
            if fid == FILE and offset + len(data) > (1 << 63) - 1:
                assert said & BEYOND, (offset, len(data), said)
            if fid != FILE:
                assert said, (fid, offset)
    assert (lab.top / "file").stat().st_blocks < 1000, "a hole was filled"


def test_sizes(client: Attacker) -> None:
    """ext4 holds 16 TiB; what is beyond any file is refused by the server, what is beyond this one
    by the host.
    """
    for size in NUMBERS64:
        if client.linux:
            said = client.errors_of(m.Tsetattr(FILE, SETATTR_SIZE, 0, 0, 0, size, 0, 0, 0, 0))
            assert size < 1 << 43 or said & BEYOND, size
        if size < (1 << 64) - 1:
            said = client.errors_of(m.Twstat(FILE, UNTOUCHED._replace(length=size)))
            assert size < 1 << 43 or said & BEYOND, size


def test_attributes(client: Attacker) -> None:
    if not client.linux:
        for field, number in itertools.product(("mode", "atime", "mtime", "n_uid", "n_gid", "type", "dev"), NUMBERS32):
            client.errors_of(
                m.Twstat(FILE, UNTOUCHED._replace(**{field: number if field != "type" else number & 0xFFFF}))
            )
            client.rpc(m.Tstat(FILE))
        return
    for valid, number in itertools.product((1, 2, 4, 7, 0x1FF, 0xFFFFFFFF), NUMBERS32):
        client.errors_of(m.Tsetattr(FILE, valid & ~SETATTR_SIZE, number, number, number, 0, 0, 0, 0, 0))
        client.rpc(m.Tgetattr(FILE, GETATTR_BASIC))
    for seconds, nanoseconds in itertools.product((*NUMBERS64[:-2], -1, -(1 << 63)), NUMBERS64):
        said = client.errors_of(m.Tsetattr(FILE, 0x1B0, 0, 0, 0, 0, seconds, nanoseconds, seconds, nanoseconds))
        assert nanoseconds < 1_000_000_000 or said & {Errno.EINVAL}, (seconds, nanoseconds)
        client.rpc(m.Tgetattr(FILE, 0x3FFF))
    for mask in (*NUMBERS64, 0x800):
        client.rpc(m.Tgetattr(FILE, mask))


@pytest.mark.parametrize("dialect", [LINUX], ids=bytes.decode)
@pytest.mark.parametrize("model", ["passthrough"])
def test_locks(client: Attacker) -> None:
    for start, length, kind, flags in itertools.product(OFFSETS[2:], OFFSETS[2:], (0, 1, 2, 3, 255), (0, 1, 1 << 31)):
        for fid in (FILE, FOLDER, ROOT):
            said = client.errors_of(m.Tlock(fid, kind, flags, start, length, NO_ID, b"me"))
            if start + length > 1 << 63 or kind > 2 or flags == 1 << 31 or fid == ROOT:
                assert said & {Errno.EINVAL, Errno.EBADF}, (fid, start, length, kind, flags)
            client.errors_of(m.Tgetlock(fid, kind, start, length, 0, b"you"))
    client.rpc(m.Tlock(FILE, 2, 0, 0, 0, NO_ID, b"me"))


@pytest.mark.parametrize("dialect", [LINUX], ids=bytes.decode)
def test_xattr_sizes(client: Attacker) -> None:
    for size in (*NUMBERS64, 65535, 65536, 65537):
        client.walk(ROOT, SPARE, b"file")
        said = client.errors_of(m.Txattrcreate(SPARE, b"user.x", size, 0))
        assert (said == {Errno.E2BIG}) if size > 65536 else not said
        if not said:
            for offset in OFFSETS:
                told = client.errors_of(m.Twrite(SPARE, offset, b"xx"))
                assert told or offset <= size, (size, offset)
        client.errors_of(m.Tclunk(SPARE))


@pytest.mark.parametrize("dialect", [LINUX], ids=bytes.decode)
def test_device_numbers(client: Attacker) -> None:
    for number, (major, minor) in enumerate(itertools.product(NUMBERS32, NUMBERS32)):
        if not client.errors_of(m.Tmknod(ROOT, b"n%d" % number, 0o20600, major, minor, NO_ID)):
            client.walk(ROOT, SPARE, b"n%d" % number)
            client.rpc(m.Tgetattr(SPARE, GETATTR_BASIC))
            client.rpc(m.Tstat(SPARE))
            client.clunk(SPARE)


def test_modes_of_what_is_made(client: Attacker) -> None:
    for number, mode in enumerate(NUMBERS32):
        client.errors_of(m.Tcreate(SPARE, b"f%d" % number, mode, 0))
        for perm in (mode, mode | DMDIR):
            client.walk(ROOT, SPARE)
            client.errors_of(
                m.Tcreate(SPARE, b"p%d-%d" % (number, perm >> 31), perm, 0, b"x" if client.dialect != BASE else b"")
            )
            client.errors_of(m.Tstat(SPARE))
            client.clunk(SPARE)
        if client.linux:
            client.walk(ROOT, SPARE)
            client.errors_of(m.Tlcreate(SPARE, b"l%d" % number, 2, mode, mode))
            client.rpc(m.Tgetattr(SPARE, GETATTR_BASIC))
            client.clunk(SPARE)
            client.errors_of(m.Tmkdir(ROOT, b"d%d" % number, mode, mode))


def test_fids_and_tags_at_their_ends(client: Attacker) -> None:
    for fid in (0xFFFFFFFE, 0x80000000, 0x7FFFFFFF):
        client.walk(ROOT, fid)
        client.rpc(m.Tstat(fid))
        client.clunk(fid)
    client.refuses(m.Twalk(ROOT, m.NOFID, []), Errno.EINVAL)
    client.refuses(m.Tattach(m.NOFID, m.NOFID, b"", b"", 0), Errno.EINVAL)
    for tag in (0, 1, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF):
        client.reply(client.send(m.Tstat(ROOT), tag=tag))


SMALL = Limits(msize=MSIZE)


@pytest.mark.parametrize(
    "asked",
    [0, 1, 6, 7, 255, 256, 302, 303, 2048, 4095, 4096, 8216, MSIZE - 1, MSIZE, MSIZE + 1, 1 << 31, (1 << 32) - 1],
)
def test_msize(labs: Callable[..., Lab], dialect: bytes, asked: int) -> None:
    """Below the least: refused, and a later version is agreed on. Above the most: the most."""
    with labs("passthrough", limits=SMALL).connect() as client:
        if asked < (303 if dialect == LINUX else 256):
            client.judge.dialect = dialect  # whose words the refusal is in
            client.refuses(m.Tversion(asked, dialect), Errno.EMSGSIZE)
            client.judge.dialect = b"unknown"
        else:
            assert client.version(dialect, asked).msize == min(asked, MSIZE)
            client.attach()
            size = min(1000, asked - 24)
            client.create(ROOT, FILE, b"file", b"x" * size)
            assert len(client.read(FILE, 0, (1 << 32) - 1)) == size
        client.version(dialect)
        client.attach()
