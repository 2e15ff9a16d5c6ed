"""T03: links as elements of a path.

Every verb is tried with each element on its way replaced by a link that leads outside: before the
client walks there, after it did, and after the server let go of its handles and has to come back by
name.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.client import Failed
from tests.threats.lab import Lab, codes
from tests.threats.verbs import FILE, FOLDER, ROOT, SPARE, VERBS

from ninep.drivers.local import LocalDriver
from ninep.linux import NO_ID, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, Errno
from ninep.wire import messages as m

ELEMENTS = ("one", "one/two", "one/two/leaf")
REFUSALS = {Errno.ELOOP, Errno.ENOTDIR, Errno.ENOENT, Errno.ESTALE}
LINKS: dict[str, Callable[[Path, Path], str]] = {
    "absolute": lambda target, _: str(target),
    "relative": lambda target, link: os.path.relpath(target, link.parent),
    "chained": lambda target, link: _chain(target, link),  # noqa: PLW0108 - it comes further down
    "dangling": lambda target, _: str(target / "not there"),
    "looped": lambda _, link: link.name,
}


def _chain(target: Path, link: Path) -> str:
    for number in range(3):
        (link.parent / f"hop{number}").symlink_to(f"hop{number + 1}" if number < 2 else target)
    return "hop0"


def own_tree(top: Path) -> None:
    (top / "one" / "two").mkdir(parents=True)
    leaf = top / "one" / "two" / "leaf"
    leaf.write_bytes(b"our own content")
    os.setxattr(leaf, "user.own", b"our own value")
    (top / "other").write_bytes(b"")


def swap(lab: Lab, top: Path, element: str, kind: str) -> None:
    """Put a link to what has the same name in the canary where an element is."""
    target = lab.canary.top / Path(element).relative_to("one")
    path = top / element
    path.rename(top / "away")
    path.symlink_to(LINKS[kind](target, path))


def forget_handles(lab: Lab) -> None:
    """The server has too many handles: all that can come back by name are closed."""
    driver = next(iter(lab.server.exports)).driver
    assert isinstance(driver, LocalDriver)
    handles = driver._table.handles

    def reclaim() -> None:
        with handles.lock:
            handles.reclaim(0)
            handles.reclaim(0)  # the first pass only marks what was used just now

    lab.do(reclaim)


def attack(lab: Lab, dialect: bytes, verb: str, meddle: Callable[[Path], None], *, late: bool) -> set[Errno]:
    """One verb in a tree of its own, meddled with before or after the client's walk. What the
    server says, nothing if it did as asked.
    """
    top = lab.top / verb
    top.mkdir()
    own_tree(top)
    with lab.client(dialect) as client:
        try:
            if not late:
                meddle(top)
            client.walk(ROOT, SPARE, verb.encode())
            client.clunk(ROOT)
            client.walk(SPARE, ROOT)  # rename and link end in the verb's own folder
            client.clunk(SPARE)
            client.rpc(m.Twalk(ROOT, 3, [b"one"]))
            client.rpc(m.Twalk(3, FOLDER, [b"two"]))
            client.rpc(m.Twalk(FOLDER, FILE, [b"leaf"]))
            if late:
                meddle(top)
            VERBS[dialect][verb](client)
        except Failed as failure:
            return codes(failure)
    return set()


def test_every_verb_works_where_nothing_is_replaced_meanwhile(lab: Lab, dialect: bytes) -> None:
    for verb in VERBS[dialect]:
        assert not attack(lab, dialect, verb, lambda _: None, late=False), verb


@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize("kind", LINKS)
def test_a_link_is_never_followed(lab: Lab, dialect: bytes, element: str, kind: str) -> None:
    for verb in VERBS[dialect]:
        said = attack(lab, dialect, verb, lambda top: swap(lab, top, element, kind), late=False)
        if element != "one/two/leaf":
            assert said & REFUSALS, (verb, said)


@pytest.mark.parametrize("element", ELEMENTS)
@pytest.mark.parametrize("pinned", [True, False], ids=["pinned", "by-name"])
def test_a_link_that_came_after_the_walk_is_never_followed(
    lab: Lab, dialect: bytes, element: str, *, pinned: bool
) -> None:
    def meddle(top: Path) -> None:
        swap(lab, top, element, "absolute")
        if not pinned:
            forget_handles(lab)

    for verb in VERBS[dialect]:
        attack(lab, dialect, verb, meddle, late=True)


FINAL: dict[str, tuple[m.Message, tuple[Errno, ...]]] = {
    "open": (m.Tlopen(FILE, O_RDONLY), (Errno.ELOOP,)),
    "open for writing": (m.Tlopen(FILE, O_WRONLY), (Errno.ELOOP,)),
    "open and truncate": (m.Tlopen(FILE, O_RDWR | O_TRUNC), (Errno.ELOOP,)),
    "create in": (m.Tlcreate(FILE, b"x", O_RDWR, 0o644, NO_ID), (Errno.ENOTDIR, Errno.ELOOP)),
    "mkdir in": (m.Tmkdir(FILE, b"x", 0o755, NO_ID), (Errno.ENOTDIR, Errno.ELOOP)),
    "walk through": (m.Twalk(FILE, SPARE, [b"file"]), (Errno.ENOTDIR, Errno.ELOOP)),
    "unlink in": (m.Tunlinkat(FILE, b"file", 0), (Errno.ENOTDIR, Errno.ELOOP)),
    "rename out of": (m.Trenameat(FILE, b"file", ROOT, b"x"), (Errno.ENOTDIR, Errno.ELOOP)),
    "rename into": (m.Trenameat(ROOT, b"own", FILE, b"x"), (Errno.ENOTDIR, Errno.ELOOP)),
    "link into": (m.Tlink(FILE, 5, b"x"), (Errno.ENOTDIR, Errno.ELOOP)),
}


@pytest.mark.parametrize("target", ["../canary", "../canary/file", "../canary/fifo", "/dev/zero", "self"])
def test_a_final_link_is_used_as_itself(lab: Lab, target: str) -> None:
    """lstat, readlink, rename, unlink mean the link; what would mean its target is refused."""
    (lab.top / "own").write_bytes(b"")
    (lab.top / "self").symlink_to(target)
    with lab.client() as client:
        client.walk(ROOT, FILE, b"self")
        client.walk(ROOT, 5, b"own")
        for what, (message, expected) in FINAL.items():
            assert client.errors_of(message) & set(expected), what
        assert client.rpc(m.Tgetattr(FILE, 0x7FF)).attributes.mode & 0o170000 == 0o120000
        assert client.rpc(m.Treadlink(FILE)).target == target.encode()
        client.rpc(m.Trenameat(ROOT, b"self", ROOT, b"moved"))
        assert os.readlink(lab.top / "moved") == target
        client.rpc(m.Tunlinkat(ROOT, b"moved", 0))
    assert not os.path.lexists(lab.top / "moved")


def test_links_that_clients_make_lead_nowhere_either(lab: Lab, dialect: bytes) -> None:
    with lab.client() as maker:
        for name, target in ((b"up", b".."), (b"file", b"../canary/file"), (b"root", b"/"), (b"dir", b"../canary")):
            maker.rpc(m.Tsymlink(ROOT, name, target, NO_ID))
    with lab.client(dialect) as client:
        for name in (b"up", b"file", b"root", b"dir"):
            client.walk(ROOT, FILE, name)
            said = client.errors_of(m.Tlopen(FILE, 0) if client.linux else m.Topen(FILE, 0))
            assert said & {Errno.ELOOP}, (name, said)
            assert not client.walk_or_not(FILE, SPARE, b"file")
            assert not client.walk_or_not(ROOT, SPARE, name, b"canary", b"file")
            client.clunk(FILE)


@pytest.mark.parametrize("element", ELEMENTS[1:])
def test_no_verb_follows_a_link_that_a_client_made(lab: Lab, dialect: bytes, element: str) -> None:
    """Not even where such a link is one for the host too: its attributes, times, owner, contents
    are its own or refused.
    """
    target = lab.canary.top / Path(element).relative_to("one")
    *parents, name = os.fsencode(element).split(b"/")

    def meddle(top: Path) -> None:
        with lab.client() as maker:
            for number, parent in enumerate([os.fsencode(top.name), *parents]):
                maker.walk(ROOT if number == 0 else 100 + number - 1, 100 + number, parent)
            folder = 100 + len(parents)
            maker.rpc(m.Trenameat(folder, name, folder, b"away"))
            maker.rpc(m.Tsymlink(folder, name, os.fsencode(target), NO_ID))

    for verb in VERBS[dialect]:
        attack(lab, dialect, verb, meddle, late=False)
