"""Attacks on the Windows host: names, short names, streams, links as elements, and swaps between
any two calls.

The fixture compares the folder beside the export, whose name begins with the export's, before and
after each test.
"""

from collections.abc import Callable

import pytest
from tests.host.windows.box import Box
from tests.host.windows.outside import junction_data, symlink_data

from ninep import linux
from ninep.errors import Refused, linux_errno
from ninep.host import NO_HANDLE, Handle, ObjectRef, iterate
from ninep.host.windows.api import Attribute, Tag
from ninep.linux import Errno

NEW = linux.O_CREAT | linux.O_EXCL | linux.O_RDWR
SECRET = "\\??\\C:\\share-secret"
NAMES = [
    b"..\\share-secret\\canary", b"..\\canary", b"a\\b", b"\\", b"\\share-secret\\canary", b"C:\\share-secret\\canary", b"C:canary",
    b"\\\\?\\C:\\share-secret\\canary", b"\\??\\C:\\share-secret\\canary", b"\\\\server\\share", b"\\Device\\HarddiskVolume1",
    b"file:stream", b"file::$DATA", b"file:stream:$DATA", b":stream", b"file:user.virtfs.uid", b"file::$INDEX_ALLOCATION", b"$MFT:x",
    b"CON", b"nul", b"NUL.txt", b"aux.tar.gz", b"COM1", b"com9.x", "COM\u00b9".encode(), b"LPT\xc2\xb2", b"PRN ", b"CONIN$", b"CONOUT$",
    b"CLOCK$", b"trailing.", b"trailing ", b"trailing. . .", b" leading", b"...", b". ", b".. ", b"..\x01", b" ",
    b"share~1", b"FILE~1", b"*", b"?", b"<", b'"', b"file*", b"x|y", b"x>y", b"\x01", b"\x1f", b"tab\t", b"new\nline",
    "\uff0f".encode(), "\u2215".encode(), "\u29f5".encode(), b"x" * 255, "\u6f22".encode() * 85,
]  # fmt: skip
# Those whose host names have lone surrogates.
RAW_NAMES = [
    b"\xff", b"\xed\xa0\x80", b"\xed\xb0\x80", b"\xed\xa0\x80\xed\xb0\x80", b"\xc0\xaf", b"\xe0\x80\xaf",
    "\uf05c".encode(), "\uf03a".encode(),
]  # fmt: skip


def attempt(verb: Callable[[], object]) -> Errno | None:
    """The errno, or None for success. Nothing but an OSError may come out."""
    try:
        verb()
    except OSError as error:
        return linux_errno(error)
    return None


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_every_name_is_one_file_in_this_folder(box: Box, name: bytes) -> None:
    """T22: made under one name of the host, listed and reached by the client's, and never anything
    else.
    """
    make_and_move(box, name)


@pytest.mark.parametrize("name", RAW_NAMES, ids=ascii)
def test_names_that_are_no_text(box: Box, name: bytes) -> None:
    make_and_move(box, name)


def make_and_move(box: Box, name: bytes) -> None:
    host = box.host
    box.outside.write("file", b"contents")
    handle = host.open_at(box.root, name, NEW)
    host.write(handle, b"x", 0)
    host.close(handle)
    made = box.outside.names() - {"file"}
    assert len(made) == 1
    listing = host.open_dir(ObjectRef(box.root, NO_HANDLE, b""))
    assert {entry.name for entry in iterate(listing)} == {b".", b"..", b"file", name}
    listing.close()
    assert host.stat_at(box.root, name).st_size == 1
    assert attempt(lambda: host.make_dir(box.root, name, 0o755)) == Errno.EEXIST
    place = box.place(name)
    host.make_link(place, box.root, b"link")
    box.free(place)
    host.rename(box.root, name, box.root, b"plain")
    host.rename(box.root, b"plain", box.root, name)
    assert box.outside.names() == made | {"file", "link"}
    host.remove_file(box.root, name)
    host.make_dir(box.root, name, 0o755)
    host.remove_dir(box.root, name)
    host.remove_file(box.root, b"link")
    assert box.outside.names() == {"file"}
    assert box.outside.read("file") == b"contents"


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"../x", b"/", b"a\0b", b"\0"], ids=ascii)
def test_what_is_no_name_is_refused_everywhere(box: Box, name: bytes) -> None:
    """T01; the server has refused these already."""
    host, root = box.host, box.root
    box.outside.write("file")
    place = box.place(b"file")
    verbs = [
        lambda: host.open_path(root, name),
        lambda: host.stat_at(root, name),
        lambda: host.open_at(root, name, linux.O_RDONLY),
        lambda: host.open_at(root, name, NEW),
        lambda: host.make_dir(root, name, 0o755),
        lambda: host.make_node(root, name, linux.S_IFREG, 0),
        lambda: host.make_symlink(root, name, b"x"),
        lambda: host.make_link(place, root, name),
        lambda: host.rename(root, name, root, b"y"),
        lambda: host.rename(root, b"file", root, name),
        lambda: host.remove_file(root, name),
        lambda: host.remove_dir(root, name),
    ]
    assert {attempt(verb) for verb in verbs} <= {Errno.ENOENT, Errno.EINVAL}
    box.free(place)
    assert box.outside.names() == {"file"}


# -- names of another spelling -----------------------------------------------------------------------------------------


def test_a_short_name_is_no_name(ntfs: Box) -> None:
    """8.3 aliases (T08, T21): the hidden metadata would have a second spelling, and a rename would
    replace it by that.
    """
    host, root = ntfs.host, ntfs.root
    ntfs.outside.mkdir(".virtfs_metadata")
    ntfs.outside.write(".virtfs_metadata\\file", b"virtfs.uid=0\n")
    ntfs.outside.write("a long name.html", b"contents")
    assert {link.short for link in ntfs.fake.volume.at("share").children.values()} == {"VIRTFS~1", "ALONGN~1.HTM"}
    ntfs.outside.write("other")
    other = ntfs.place(b"other")
    for short in (b"VIRTFS~1", b"virtfs~1", b"ALONGN~1.HTM"):
        verbs = {
            "open_path": lambda short=short: host.open_path(root, short),
            "stat": lambda short=short: host.stat_at(root, short),
            "open": lambda short=short: host.open_at(root, short, linux.O_RDWR),
            "remove": lambda short=short: host.remove_file(root, short),
            "rmdir": lambda short=short: host.remove_dir(root, short),
            "rename from": lambda short=short: host.rename(root, short, root, b"moved"),
        }
        assert {verb: attempt(call) for verb, call in verbs.items()} == dict.fromkeys(verbs, Errno.ENOENT)
        making = {
            "create": lambda short=short: host.open_at(root, short, NEW),
            "open or create": lambda short=short: host.open_at(root, short, linux.O_CREAT | linux.O_RDWR),
            "mkdir": lambda short=short: host.make_dir(root, short, 0o755),
            "link": lambda short=short: host.make_link(other, root, short),
            "rename to": lambda short=short: host.rename(root, b"other", root, short),
        }
        assert {verb: attempt(call) for verb, call in making.items()} == dict.fromkeys(making, Errno.EEXIST)
    ntfs.free(other)
    assert ntfs.outside.names() == {".virtfs_metadata", "a long name.html", "other"}
    assert ntfs.outside.read("a long name.html") == b"contents"


def test_a_name_that_looks_short_but_is_a_name(ntfs: Box) -> None:
    ntfs.host.close(ntfs.host.open_at(ntfs.root, b"abc~1", NEW))
    assert ntfs.host.stat_at(ntfs.root, b"abc~1").st_size == 0
    assert ntfs.host.stat_at(ntfs.root, b"ABC~1").st_size == 0
    ntfs.host.remove_file(ntfs.root, b"abc~1")
    assert ntfs.outside.names() == set()


def test_names_that_differ_in_case_are_the_directorys_business(box: Box) -> None:
    """T21, the one policy: the directory finds names as Windows does; a twin is EEXIST; the case of
    the first is kept.
    """
    host = box.host
    host.close(host.open_at(box.root, b"ReadMe", NEW))
    assert host.stat_at(box.root, b"README").st_ino == host.stat_at(box.root, b"readme").st_ino
    assert attempt(lambda: host.open_at(box.root, b"readme", NEW)) == Errno.EEXIST
    assert attempt(lambda: host.make_dir(box.root, b"README", 0o755)) == Errno.EEXIST
    assert box.outside.names() == {"ReadMe"}
    host.remove_file(box.root, b"README")
    assert box.outside.names() == set()


def test_a_directory_that_is_flagged_case_sensitive(ntfs: Box) -> None:
    ntfs.fake.volume.at("share").case_sensitive = True
    ntfs.host.close(ntfs.host.open_at(ntfs.root, b"a", NEW))
    ntfs.host.close(ntfs.host.open_at(ntfs.root, b"A", NEW))
    assert ntfs.outside.names() == {"a", "A"}
    assert ntfs.host.stat_at(ntfs.root, b"a").st_ino != ntfs.host.stat_at(ntfs.root, b"A").st_ino


@pytest.mark.parametrize(
    "spelling",
    [
        b".virtfs_metadata",
        b".VIRTFS_METADATA",
        b".Virtfs_Metadata.",
        ".v\u0131rtfs_metadata".encode(),
        b".virtfs_metadata ",
    ],
)
def test_reserved_names_are_known_in_every_spelling_that_opens_them(box: Box, spelling: bytes) -> None:
    assert box.host.reserved_match(spelling, b".virtfs_metadata")
    assert not box.host.reserved_match(b"file", b".virtfs_metadata")


# -- links as elements -------------------------------------------------------------------------------------------------

LINKS = [
    ("junction", Tag.MOUNT_POINT, junction_data(SECRET)),
    ("symlink", Tag.SYMLINK, symlink_data(SECRET)),
    ("unc", Tag.SYMLINK, symlink_data("\\??\\UNC\\server\\share")),
    ("loop", Tag.MOUNT_POINT, junction_data("\\??\\C:\\share\\x")),
    ("wsl", Tag.LX_SYMLINK, b"\2\0\0\0../share-secret"),
]


def below(host_dir: Handle, box: Box, file: ObjectRef) -> list[Callable[[], object]]:
    """Every verb on the name of the canary below a directory handle."""
    host = box.host
    return [
        lambda: host.close(host.open_path(host_dir, b"canary")),
        lambda: host.stat_at(host_dir, b"canary"),
        lambda: leaked(box, host.open_at(host_dir, b"canary", linux.O_RDONLY)),
        lambda: leaked(box, host.open_at(host_dir, b"canary", linux.O_RDWR | linux.O_TRUNC)),
        lambda: leaked(box, host.open_at(host_dir, b"new", NEW)),
        lambda: host.make_dir(host_dir, b"newdir", 0o755),
        lambda: host.make_symlink(host_dir, b"newlink", b"x"),
        lambda: host.make_node(host_dir, b"newnode", linux.S_IFREG, 0),
        lambda: host.make_link(file, host_dir, b"newname"),
        lambda: host.rename(host_dir, b"canary", box.root, b"stolen"),
        lambda: host.rename(box.root, b"file", host_dir, b"canary"),
        lambda: host.remove_file(host_dir, b"canary"),
        lambda: host.remove_dir(host_dir, b"canary"),
    ]


def leaked(box: Box, handle: Handle) -> None:
    data = box.host.read(handle, 100, 0)
    box.host.close(handle)
    assert data != b"canary", "the canary was read"


@pytest.mark.parametrize(("kind", "tag", "data"), LINKS, ids=[row[0] for row in LINKS])
def test_nothing_lies_below_a_link(ntfs: Box, kind: str, tag: int, data: bytes) -> None:
    """T03, bug 6: a link as an element that is not the last one."""
    ntfs.outside.mkdir("x")
    ntfs.outside.set_reparse("x", tag, data)
    ntfs.outside.write("file", b"mine")
    link = ntfs.host.open_path(ntfs.root, b"x")
    file = ntfs.place(b"file")
    refusals = {attempt(verb) for verb in below(link, ntfs, file)}
    assert refusals <= {Errno.ELOOP, Errno.ENOTDIR}
    ntfs.free(file)
    ntfs.host.close(link)
    assert ntfs.outside.names() == {"x", "file"}


def turn(box: Box, how: str) -> bool:
    """Another program puts a junction to the canary's folder in the place of ``dir``, by NT's own
    rules; False if they forbid it.
    """
    try:
        if how == "turned":  # the very directory that the client holds: it must be empty
            for name in box.outside.names("dir"):
                box.outside.remove(f"dir\\{name}")
            box.outside.set_reparse("dir", Tag.MOUNT_POINT, junction_data(SECRET))
        else:  # another one under its name
            box.outside.rename("dir", "aside")
            box.outside.mkdir("dir")
            box.outside.set_reparse("dir", Tag.MOUNT_POINT, junction_data(SECRET))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("how", ["turned", "replaced"])
@pytest.mark.parametrize("verb", range(13))
@pytest.mark.parametrize("moment", range(8))
def test_a_directory_becomes_a_junction_at_any_moment(ntfs: Box, verb: int, moment: int, how: str) -> None:
    """T04, bug 7: before each NT call of each verb in turn. Whatever comes out, nothing of the
    canary's folder does.
    """
    ntfs.outside.mkdir("dir")
    ntfs.outside.write("file", b"mine")
    directory = ntfs.host.open_path(ntfs.root, b"dir")
    if verb not in {4, 5, 6, 7, 8, 10}:
        ntfs.outside.write("dir\\canary", b"yellow")
    file = ntfs.place(b"file")
    verbs = below(directory, ntfs, file)
    calls = 0

    def swap(call: str) -> None:
        nonlocal calls
        if calls == moment:
            ntfs.fake.before = None
            turn(ntfs, how)
        calls += 1

    ntfs.fake.before = swap
    attempt(verbs[verb])
    ntfs.fake.before = None
    ntfs.free(file)
    ntfs.host.close(directory)
    assert "stolen" not in ntfs.outside.names() or ntfs.outside.read("stolen") == b"yellow"


def test_a_directory_that_is_moved_to_cannot_become_a_junction(ntfs: Box) -> None:
    """NT itself opens the directory of a rename or a new link, and follows: it must not be empty
    then, and cannot be emptied.
    """
    ntfs.outside.write("file", b"mine")
    ntfs.outside.mkdir("dir")
    directory, file = ntfs.host.open_path(ntfs.root, b"dir"), ntfs.place(b"file")
    turned = []

    def swap(call: str) -> None:
        if call == "change":
            ntfs.fake.before = None
            turned.append(turn(ntfs, "turned"))

    for verb in (
        lambda: ntfs.host.make_link(file, directory, b"link"),
        lambda: ntfs.host.rename(ntfs.root, b"file", directory, b"f"),
    ):
        ntfs.fake.before = swap
        assert attempt(verb) is None
    assert turned == [False, False]
    assert "f" in ntfs.outside.names("dir")  # the link may have been removed by the attempt
    ntfs.free(file)
    ntfs.host.close(directory)


def test_the_swap_would_lead_out_without_the_flag(ntfs: Box) -> None:
    """That the attack above is one: it is OBJ_DONT_REPARSE that stops it where the pinned directory
    itself was turned.
    """
    ntfs.outside.mkdir("dir")
    directory = ntfs.host.open_path(ntfs.root, b"dir")
    assert turn(ntfs, "turned")
    assert attempt(lambda: ntfs.host.stat_at(directory, b"canary")) == Errno.ELOOP
    ntfs.fake.honours_dont_reparse = False
    handle = ntfs.host.open_at(directory, b"canary", linux.O_RDONLY)
    assert ntfs.host.read(handle, 100, 0) == b"canary"
    ntfs.host.close(handle)
    ntfs.host.close(directory)


def test_a_file_becomes_a_link_between_look_and_open(ntfs: Box) -> None:
    """Opened through the pin, then asked: what the pin holds is opened or nothing (bugs 1, 7)."""
    ntfs.outside.write("file", b"mine")
    place = ntfs.place(b"file")
    file = ntfs.fake.volume.at("share\\file")

    def swap(call: str) -> None:
        if call == "create":
            ntfs.fake.before = None
            file.reparse = (Tag.SYMLINK, symlink_data(SECRET + "\\canary"))
            file.attributes |= Attribute.REPARSE_POINT

    ntfs.fake.before = swap
    with pytest.raises(Refused) as refusal:
        ntfs.host.open_file(place, linux.O_RDWR | linux.O_TRUNC)
    assert refusal.value.code == Errno.ELOOP
    assert bytes(file.streams[""].data) == b"mine"
    ntfs.free(place)


def test_a_path_of_any_length(box: Box) -> None:
    """Bug 9: there is no path, so nothing is cut at 260 characters."""
    dirs, name = [box.root], b"d" * 200
    for _ in range(12):
        box.host.make_dir(dirs[-1], name, 0o755)
        dirs.append(box.host.open_path(dirs[-1], name))
    handle = box.host.open_at(dirs[-1], b"file", NEW)
    box.host.write(handle, b"deep", 0)
    box.host.close(handle)
    assert box.host.stat_at(dirs[-1], b"file").st_size == 4
    box.host.remove_file(dirs[-1], b"file")
    while len(dirs) > 1:
        box.host.close(dirs.pop())
        box.host.remove_dir(dirs[-1], name)
    assert box.outside.names() == set()


def test_failures_use_nothing_up(ntfs: Box) -> None:
    """T16: a thousand failures of each kind leave no handle (the fixture looks too)."""
    ntfs.outside.write("file")
    ntfs.outside.mkdir("dir")
    ntfs.outside.write("link")
    ntfs.outside.set_reparse("link", Tag.SYMLINK, symlink_data(SECRET))
    place = ntfs.place(b"link")
    before = len(ntfs.fake.handles)
    host, root = ntfs.host, ntfs.root
    verbs = [
        lambda: host.open_file(place, linux.O_RDONLY),
        lambda: host.open_at(root, b"link", linux.O_RDWR),
        lambda: host.open_at(root, b"dir", linux.O_RDONLY),
        lambda: host.open_at(root, b"file", NEW),
        lambda: host.open_dir(place),
        lambda: host.remove_dir(root, b"file"),
        lambda: host.remove_file(root, b"dir"),
        lambda: host.rename(root, b"file", root, b"dir"),
        lambda: host.rename(root, b"missing", root, b"dir"),
        lambda: host.make_link(place, root, b"file"),
        lambda: host.get_xattr(place, b"user.missing"),
        lambda: host.open_root("C:\\missing"),
        lambda: host.open_root("C:\\share\\file"),
    ]
    for verb in verbs:
        for _ in range(1000):
            assert attempt(verb) is not None
    assert len(ntfs.fake.handles) == before
    ntfs.free(place)
