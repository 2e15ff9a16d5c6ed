r"""T22: names that mean something to Windows (paths, drives, streams, devices, 8.3 aliases), and
reparse points as elements of a path.

Each security model on the kind of volume that asks most of it, in each dialect; the sibling
``C:\share-secret`` has the export's name as a prefix. What Windows would make of the names, the
fake does: see ``tests.host.windows`` for the same attacks on the host module alone.
"""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Callable, Iterator

import pytest
from tests.host.windows.outside import junction_data
from tests.host.windows.test_attacks import NAMES, RAW_NAMES
from tests.support.client import Failed
from tests.support.judge import stats
from tests.threats.lab import DIALECTS, LINUX, UNIX, Attacker
from tests.threats.test_t01_names import MESSAGES, cases
from tests.threats.verbs import VERBS
from tests.threats.windows import LINKS, ON, SECRET, WindowsLab

from ninep.host.windows.api import Attribute, Tag
from ninep.linux import AT_REMOVEDIR, GETATTR_BASIC, NO_ID, Errno
from ninep.wire import messages as m

ROOT, FOLDER, FILE, MADE, OTHER = 0, 1, 2, 9, 10
LONGEST = 255
BEYOND = (Errno.ELOOP, Errno.ENOTDIR, Errno.ENXIO, Errno.EACCES, Errno.EPERM)  # by what the model takes the thing for
TAKEN = (Errno.EEXIST, Errno.ENOENT)  # by whether the server looks before it makes


@pytest.fixture(params=ON)
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch, model: str) -> Iterator[WindowsLab]:
    with WindowsLab(monkeypatch, ON[model], model) as lab:
        yield lab


@pytest.fixture
def attacker(lab: WindowsLab, dialect: bytes) -> Attacker:
    """A session; the export has a file and a folder with a file."""
    lab.volume.add("share\\file", b"contents")
    lab.volume.add("share\\folder")
    lab.volume.add("share\\folder\\in", b"inside")
    client = lab.client(dialect)
    client.walk(ROOT, FOLDER, b"folder")
    client.walk(ROOT, FILE, b"folder", b"in")
    return client


def listed(client: Attacker, *names: bytes) -> set[bytes]:
    client.walk(ROOT, MADE, *names)
    client.open(MADE)
    try:
        if client.linux:
            return set(client.names(MADE, 8000))
        found: set[bytes] = set()
        at = 0
        while data := client.read(MADE, at, 8000):
            found |= {record["name"] for record in stats(data, extended=client.dialect == UNIX)}
            at += len(data)
        return found
    finally:
        client.clunk(MADE)


# -- names -------------------------------------------------------------------------------------------------------------


def test_every_name_is_one_file_of_its_folder(lab: WindowsLab, attacker: Attacker) -> None:
    """Made, found, listed, read, renamed and removed under the client's name; one new name on the
    host, never a stream, device or path.
    """
    for name in NAMES + RAW_NAMES:
        before = lab.names()
        try:
            attacker.create(ROOT, MADE, name, b"own")
        except Failed as failure:
            pytest.fail(f"{name!r}: {failure}")
        made = lab.names() - before
        assert len(made) == 1, name
        assert attacker.read(MADE) == b"own"
        attacker.clunk(MADE)
        assert name in listed(attacker)
        attacker.walk(ROOT, MADE, name)
        attacker.open(MADE)
        assert attacker.read(MADE) == b"own"
        attacker.clunk(MADE)
        if attacker.linux:
            attacker.refuses(m.Tmkdir(ROOT, name, 0o755, NO_ID), Errno.EEXIST)
            attacker.rpc(m.Trenameat(ROOT, name, FOLDER, b"moved"))
            attacker.rpc(m.Trenameat(FOLDER, b"moved", ROOT, name))
            assert lab.names() - before == made
            attacker.rpc(m.Tunlinkat(ROOT, name, 0))
        else:
            attacker.walk(ROOT, MADE, name)
            attacker.rpc(m.Tremove(MADE))
        assert lab.names() == before
    assert bytes(lab.volume.at("share\\file").streams[""].data) == b"contents"
    assert lab.streams("share\\file") == set()


def test_names_that_are_not_there_lead_nowhere(lab: WindowsLab, attacker: Attacker) -> None:
    """Neither to what Windows calls so (``file::$DATA`` is ``file``), nor out of the folder, nor to
    a device.
    """
    before = lab.volume.picture()
    for name in set(NAMES + RAW_NAMES) - {b"share~1"}:
        attacker.refuses(m.Twalk(ROOT, MADE, [name]), Errno.ENOENT)
        assert not attacker.walk_or_not(ROOT, MADE, b"folder", name, b"in")
        if attacker.linux:
            attacker.refuses(m.Tunlinkat(ROOT, name, 0), Errno.ENOENT)
            attacker.refuses(m.Tunlinkat(ROOT, name, AT_REMOVEDIR), Errno.ENOENT)
            attacker.refuses(m.Trenameat(ROOT, name, ROOT, b"mine"), Errno.ENOENT)
    after = lab.volume.picture()
    assert after.keys() == before.keys()


@pytest.mark.parametrize(("message", "dialect"), list(cases()))
def test_every_message_with_a_name(lab: WindowsLab, attacker: Attacker, message: str) -> None:
    """Whatever is done or refused: nothing appears but in the folder that was named, and no file
    gets a stream (the lab looks outside).
    """
    build = MESSAGES[message][1]
    lab.volume.add("share\\folder\\kept", b"kept")
    for name in NAMES:
        attacker.walk(ROOT, MADE)
        attacker.errors_of(build(FILE if message == "Twstat" else MADE, name))
        for fid in (MADE, FILE):
            attacker.errors_of(m.Tclunk(fid))
        remove_all(lab, "share", but={"file", "folder"})
        remove_all(lab, "share\\folder", but={"kept"})
        lab.volume.add("share\\folder\\in", b"inside")
        attacker.walk(FOLDER, FILE, b"in")
        for path, content in (("share\\file", b"contents"), ("share\\folder\\kept", b"kept")):
            assert bytes(lab.volume.at(path).streams[""].data) == content
            assert lab.streams(path) == set()


def remove_all(lab: WindowsLab, folder: str, but: set[str]) -> None:
    """Take away what a message made; what it was not about must still be there."""
    names = lab.names(folder)
    assert names >= but
    for name in names - but:
        lab.volume.remove(f"{folder}\\{name}")


def test_names_that_are_too_long(lab: WindowsLab, attacker: Attacker) -> None:
    """255 units of UTF-16, however many bytes; and a path of any length, since there is none."""
    for name in (
        b"x" * (LONGEST + 1),
        "\u6f22".encode() * (LONGEST + 1),
        "\U0001f600".encode() * 128,
        b"\xff" * 256,
        b"x" * 60000,
    ):
        attacker.refuses(m.Twalk(ROOT, MADE, [name[:8000]]), Errno.ENAMETOOLONG)
        if attacker.linux:
            attacker.refuses(m.Tmkdir(ROOT, name[:8000], 0o755, NO_ID), Errno.ENAMETOOLONG)
    attacker.walk(ROOT, MADE)
    for _ in range(12):
        attacker.mkdir(MADE, b"d" * LONGEST)
        attacker.walk(MADE, OTHER, b"d" * LONGEST)
        attacker.clunk(MADE)
        attacker.walk(OTHER, MADE)
        attacker.clunk(OTHER)
    attacker.create(MADE, OTHER, b"deep", b"down here")
    assert attacker.read(OTHER) == b"down here"


def test_spellings_that_only_windows_programs_may_use(lab: WindowsLab, attacker: Attacker) -> None:
    """The private forms stand for the plain ones, which no client can make: ``CON`` on the volume
    would be a trap for a program of the host.
    """
    for plain, private in (
        ("CON", "\uf043ON"),
        ("nul.txt", "\uf06eul.txt"),
        ("dot.", "dot\uf02e"),
        ("space ", "space\uf020"),
    ):
        for message in ("Tcreate", "Tmkdir") if attacker.linux else ("Tcreate",):
            client = lab.client(attacker.dialect)
            client.refuses(MESSAGES[message][1](ROOT, private.encode()), Errno.EINVAL)
            client.close()
        attacker.create(ROOT, MADE, plain.encode())
        attacker.clunk(MADE)
        assert private in lab.names()
        assert plain not in lab.names()


# -- 8.3 aliases -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["mapped-xattr", "mapped-file"])  # on the volumes that make them
def test_short_names_are_no_names(lab: WindowsLab, attacker: Attacker) -> None:
    lab.volume.add("share\\a long name.html", b"long")
    assert lab.volume.at("share").aliases.keys() >= {"ALONGN~1.HTM"}
    before = lab.names()
    for short in (b"ALONGN~1.HTM", b"alongn~1.htm"):
        attacker.refuses(m.Twalk(ROOT, MADE, [short]), Errno.ENOENT)
        attacker.walk(ROOT, MADE)
        attacker.refuses(m.Tcreate(MADE, short, 0o644, 1, b""), *TAKEN)
        attacker.clunk(MADE)
        if attacker.linux:
            attacker.refuses(m.Tunlinkat(ROOT, short, 0), Errno.ENOENT)
            attacker.refuses(m.Trenameat(ROOT, short, ROOT, b"mine"), Errno.ENOENT)
            attacker.refuses(m.Trenameat(ROOT, b"file", ROOT, short), *TAKEN)
            attacker.refuses(m.Tlink(ROOT, FILE, short), *TAKEN)
    assert lab.names() == before
    assert bytes(lab.volume.at("share\\a long name.html").streams[""].data) == b"long"


# -- streams -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["mapped-xattr"])
@pytest.mark.parametrize("dialect", [LINUX])
@pytest.mark.parametrize(
    "attribute",
    [
        b"user.virtfs.uid:$DATA", b"user.virtfs.uid::$DATA", b"USER.VIRTFS.UID", b"User.Virtfs.Uid", b"user.virtfs.uid.", b"user.virtfs.uid ",
        b"user.v\xc4\xb1rtfs.uid", b"user.virtf\xc5\xbf.uid", b"user.x:y", b"user.x\\..\\file", b"user.../../canary/file:secret", b":$DATA", b"$DATA",
        b"user.:$DATA", b"user.Zone.Identifier", b"Zone.Identifier", b"user.virtfs.uid\xff", b"user." + b"x" * 250, b"security.x", b"system.x",
    ],
    ids=ascii,
)  # fmt: skip
def test_no_attribute_is_another_stream(lab: WindowsLab, attacker: Attacker, attribute: bytes) -> None:
    """Refused, or a stream of its own: never the file's content, its recorded owner, a program's
    stream or another file.
    """
    attacker.rpc(m.Tsetattr(FILE, 2 | 4, 0, 1000, 2000, 0, 0, 0, 0, 0))
    lab.volume.at("share\\folder\\in").streams["ZONE.IDENTIFIER"] = zone = type(
        lab.volume.at("share\\file").streams[""]
    )("Zone.Identifier", bytearray(b"zone"))
    before = {name: bytes(stream.data) for name, stream in lab.volume.at("share\\folder\\in").streams.items()}
    attacker.walk(FILE, MADE)
    try:
        attacker.rpc(m.Txattrcreate(MADE, attribute, 4, 0))
        attacker.rpc(m.Twrite(MADE, 0, b"evil"))
        attacker.clunk(MADE)
    except Failed:
        attacker.errors_of(m.Tclunk(MADE))
    after = {name: bytes(stream.data) for name, stream in lab.volume.at("share\\folder\\in").streams.items()}
    assert {name: after[name] for name in before} == before
    assert len(after) <= len(before) + 1
    assert bytes(zone.data) == b"zone"
    told = attacker.rpc(m.Tgetattr(FILE, GETATTR_BASIC)).attributes
    assert (told.uid, told.gid) == (1000, 2000)


# -- reparse points ----------------------------------------------------------------------------------------------------


def test_nothing_lies_beyond_a_reparse_point(lab: WindowsLab, attacker: Attacker) -> None:
    """Listed, looked at, renamed and removed as what they are; never opened, and no element of a
    path.
    """
    for kind in LINKS:
        for directory in (True, False):
            lab.link("x", kind, directory=directory)
            assert b"x" in listed(attacker)  # one odd entry does not spoil the listing
            attacker.walk(ROOT, OTHER, b"x")
            for names in ([b"file"], [b"..", b"..", b"canary", b"file"], [b"..", b"x", b"file"]):
                assert not attacker.walk_or_not(OTHER, MADE, *names), kind
            try_below(attacker, OTHER)
            if attacker.linux:
                attacker.rpc(m.Trenameat(ROOT, b"x", FOLDER, b"y"))
                attacker.rpc(m.Tunlinkat(FOLDER, b"y", 0))
                attacker.clunk(OTHER)
            else:
                attacker.rpc(m.Tremove(OTHER))
            assert lab.names() == {"file", "folder"}


def try_below(attacker: Attacker, fid: int) -> None:
    """Open it, and all that can be done in a folder."""
    if not attacker.linux:
        attacker.refuses(m.Topen(fid, 0), *BEYOND)
        attacker.refuses(m.Tcreate(fid, b"new", 0o644, 1, b""), *BEYOND)
        return
    for message in (
        m.Tlopen(fid, 0), m.Tlopen(fid, 2), m.Tlopen(fid, 0o200000), m.Tmkdir(fid, b"new", 0o755, NO_ID),
        m.Tlcreate(fid, b"new", 2, 0o644, NO_ID), m.Tsymlink(fid, b"new", b"y", NO_ID), m.Tlink(fid, FILE, b"new"),
        m.Trenameat(fid, b"file", ROOT, b"stolen"), m.Trenameat(FOLDER, b"in", fid, b"file"),
        m.Tunlinkat(fid, b"file", 0), m.Tunlinkat(fid, b"file", AT_REMOVEDIR),
    ):  # fmt: skip
        attacker.refuses(message, *BEYOND)


def test_a_file_that_is_elsewhere_is_read(lab: WindowsLab, attacker: Attacker) -> None:
    """An offline file is a file, with the cloud's tag or without; it is read by a thread
    (``tests/host/windows/test_filtered.py``).
    """
    lab.volume.at("share\\file").attributes |= Attribute.OFFLINE
    attacker.walk(ROOT, MADE, b"file")
    attacker.open(MADE)
    assert attacker.read(MADE) == b"contents"


RACES = {name: verb for name, verb in VERBS[LINUX].items() if name != "Txattrwalk"}  # it needs an attribute to be there


@pytest.mark.parametrize(("model", "how"), [("mapped-xattr", "turned"), ("mapped-file", "replaced")])
@pytest.mark.timeout(900)
def test_a_folder_becomes_a_junction_at_any_moment(monkeypatch: pytest.MonkeyPatch, model: str, how: str) -> None:
    """Another program does it, by NT's rules, before each NT call of each verb in turn: nothing of
    the canary's folder comes out or goes in.
    """
    with WindowsLab(monkeypatch, ON[model], model) as lab:
        turned = sum(race(lab, verb, how) for verb in RACES.values())
        assert turned > len(RACES)


def race(lab: WindowsLab, verb: Callable[[Attacker], object], how: str) -> int:
    """How often the folder could be swapped."""
    swapped = 0
    for moment in range(200):
        lab.volume.add("share\\two")
        lab.volume.add("share\\two\\leaf", b"leaf")
        lab.volume.add("share\\other", b"other")
        client = lab.client()
        client.walk(ROOT, FOLDER, b"two")
        client.walk(ROOT, FILE, b"two", b"leaf")
        client.walk(ROOT, 3)
        calls = 0

        def swap(call: str, moment: int = moment) -> None:
            nonlocal calls, swapped
            if calls == moment:
                lab.nt.before = None
                swapped += turn(lab, how)
            calls += 1

        lab.nt.before = swap
        with contextlib.suppress(Failed):
            verb(client)
        done, lab.nt.before = lab.nt.before is not None, None
        client.close()
        lab.wait_until_idle()
        empty(lab)
        if done:
            return swapped
    raise AssertionError("a verb without end")


def turn(lab: WindowsLab, how: str) -> bool:
    """Put a junction to the canary's folder in the place of ``two``; False if NT would not let
    another program do so now.
    """
    folder = lab.volume.parent("share\\two")[0].find("two")
    if folder is None:
        return False
    if how == "turned":
        if any(opened.link is link for link in folder.file.children.values() for opened in lab.nt.handles.values()):
            return False
        for name in list(lab.names("share\\two")):
            lab.volume.remove(f"share\\two\\{name}")
        if folder.file.children:  # of the host module's own
            return False
        file = folder.file
    else:
        if lab.nt._open_below(folder.file):
            return False
        lab.volume.move("share\\two", "share\\aside")
        file = lab.volume.add("share\\two")
    file.reparse = (Tag.MOUNT_POINT, junction_data(SECRET))
    file.attributes |= Attribute.REPARSE_POINT
    file.touch()
    return True


def empty(lab: WindowsLab) -> None:
    """Take away all that is in the export."""

    def clear(folder: str) -> None:
        for link in list(lab.volume.at(folder).children.values()):
            if link.file.is_dir and link.file.reparse is None:
                clear(f"{folder}\\{link.name}")
            lab.volume.unlink(link)

    clear("share")


def test_the_type_of_links_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Links that Linux has a word for are links; what it has none for is a file without permissions
    and without size.
    """
    with WindowsLab(monkeypatch, "ntfs", "passthrough") as lab:
        client = lab.client()
        for kind in LINKS:
            lab.link(kind.replace(" ", "-"), kind, directory=False)
            client.walk(ROOT, MADE, kind.replace(" ", "-").encode())
            told = client.rpc(m.Tgetattr(MADE, GETATTR_BASIC)).attributes
            known = kind not in {"app execution", "DFS", "unheard of"}
            assert stat.S_ISLNK(told.mode) == known
            assert known or (stat.S_IMODE(told.mode), told.size) == (0, 0)
            client.clunk(MADE)


assert set(DIALECTS) == set(VERBS)
