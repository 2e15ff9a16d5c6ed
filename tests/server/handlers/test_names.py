"""What a name may be: every name-taking message, every illegal name, from a directory and from a
file (T01).
"""

from collections.abc import Callable

import pytest
from tests.support.client import RawClient, refused
from tests.support.served import Served
from tests.wire.wire_examples import UNTOUCHED

from ninep.linux import NO_ID, Errno
from ninep.wire import messages as m
from ninep.wire.types import Stat

ILLEGAL = (b"", b"/", b"a/b", b"../x", b"a/../../x", b"/etc/passwd", b"a\0", b"\0", b"a\0/b")
ROOT, FILE = 0, 1
NEW = 50
Ask = Callable[[int, bytes], m.Message]

CREATING: dict[str, Ask] = {
    "lcreate": lambda fid, name: m.Tlcreate(fid, name, 2, 0o644, NO_ID),
    "mkdir": lambda fid, name: m.Tmkdir(fid, name, 0o755, NO_ID),
    "mknod": lambda fid, name: m.Tmknod(fid, name, 0o100644, 0, 0, NO_ID),
    "symlink": lambda fid, name: m.Tsymlink(fid, name, b"target", NO_ID),
    "link": lambda fid, name: m.Tlink(fid, FILE, name),
    "create": lambda fid, name: m.Tcreate(fid, name, 0o644, 2, b""),
    "create directory": lambda fid, name: m.Tcreate(fid, name, 0x80000000 | 0o755, 0, b""),
}
RENAMING: dict[str, Ask] = {
    "rename": lambda fid, name: m.Trename(FILE, fid, name),
    "renameat old": lambda fid, name: m.Trenameat(fid, name, fid, b"new"),
    "renameat new": lambda fid, name: m.Trenameat(fid, b"f", fid, name),
}
REMOVING: dict[str, Ask] = {
    "unlinkat": lambda fid, name: m.Tunlinkat(fid, name, 0),
    "unlinkat directory": lambda fid, name: m.Tunlinkat(fid, name, 0x200),
}
ALL = CREATING | RENAMING | REMOVING
DOTS = (
    {(key, b"."): Errno.EEXIST for key in CREATING}
    | {(key, b".."): Errno.EEXIST for key in CREATING}
    | {(key, name): Errno.EISDIR for key in RENAMING for name in (b".", b"..")}
    | {(key, b"."): Errno.EINVAL for key in REMOVING}
    | {(key, b".."): Errno.ENOTEMPTY for key in REMOVING}
)


@pytest.fixture
def client(served: Served) -> RawClient:
    client = served.client()
    client.create(0, FILE, b"f")
    client.clunk(FILE)
    client.walk(0, FILE, b"f")
    return client


def unchanged(client: RawClient) -> bool:
    client.walk(ROOT, NEW)
    client.open(NEW)
    return client.names(NEW) == [b"f"]


@pytest.mark.parametrize("fid", [ROOT, FILE, 99], ids=["directory", "file", "no fid"])
@pytest.mark.parametrize("name", ILLEGAL, ids=repr)
@pytest.mark.parametrize("ask", ALL.values(), ids=ALL)
def test_illegal_names_are_not_there(client: RawClient, ask: Ask, name: bytes, fid: int) -> None:
    # Decided before any fid is looked at (QEMU 9p.c, name_is_illegal).
    with refused(Errno.ENOENT):
        client.rpc(ask(fid, name))
    assert unchanged(client)


@pytest.mark.parametrize(
    ("case", "code"), DOTS.items(), ids=lambda case: f"{case[0]} {case[1]!r}" if isinstance(case, tuple) else ""
)
def test_dots(client: RawClient, case: tuple[str, bytes], code: Errno) -> None:
    key, name = case
    with refused(code):
        client.rpc(ALL[key](ROOT, name))
    assert unchanged(client)


@pytest.mark.parametrize("dialect", [b"9P2000.L", b"9P2000.u", b"9P2000"], ids=bytes.decode)
@pytest.mark.parametrize("fid", [ROOT, FILE], ids=["directory", "file"])
@pytest.mark.parametrize("name", [name for name in ILLEGAL if name] + [b".", b".."], ids=repr)
def test_twstat(served: Served, client: RawClient, dialect: bytes, fid: int, name: bytes) -> None:
    # QEMU runs into an assertion on a slash here.
    client = served.client(dialect)
    client.walk(0, FILE, b"f")
    with refused(Errno.EISDIR if name in {b".", b".."} else Errno.ENOENT):
        client.rpc(m.Twstat(fid, UNTOUCHED._replace(name=name)))
    assert client.rpc(m.Tstat(FILE)).stat.name == b"f"


def test_an_empty_name_in_a_twstat_is_left_alone(client: RawClient) -> None:
    client.rpc(m.Twstat(FILE, UNTOUCHED._replace(name=b"", mode=0o600)))
    stat: Stat = client.rpc(m.Tstat(FILE)).stat
    assert (stat.name, stat.mode) == (b"f", 0o600)


@pytest.mark.parametrize("ask", [*CREATING.values(), RENAMING["renameat new"]], ids=[*CREATING, "renameat new"])
def test_names_that_look_odd_are_names(client: RawClient, ask: Ask) -> None:
    name = b"\xff\n \\:..."
    client.walk(ROOT, NEW + 1)
    fid = NEW + 1
    client.rpc(ask(fid, name))
    client.walk(ROOT, NEW)
    client.open(NEW)
    assert name in client.names(NEW)


@pytest.mark.parametrize("ask", [*CREATING.values(), RENAMING["rename"], RENAMING["renameat new"]])
def test_names_that_are_too_long(client: RawClient, ask: Ask) -> None:
    with refused(Errno.ENAMETOOLONG):
        client.rpc(ask(ROOT, b"n" * 256))
    assert unchanged(client)
