"""T21: two spellings of one name, where the host takes them for the same: the hidden metadata under
another name, and twins.

On the fake NTFS, which folds more than the real one, and on filesystems of this machine that fold:
NTFS by lowntfs-3g without regard to case, and ext4 with the casefold feature where the kernel has
it.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.guest.debs import Unavailable, system
from tests.threats.lab import LINUX, Attacker, Lab
from tests.threats.test_t01_names import MESSAGES, cases
from tests.threats.windows import WindowsLab

from ninep.linux import GETATTR_BASIC, NO_ID, SETATTR_GID, SETATTR_UID, Errno
from ninep.wire import messages as m

ROOT, FOLDER, FILE, MADE, OTHER = 0, 1, 2, 9, 10
RESERVED = [
    ".virtfs_metadata", ".VIRTFS_METADATA", ".Virtfs_Metadata", ".v\u0131rtfs_metadata", ".virtf\u017f_metadata", ".virtfs_\uff4detadata",
    ".vi\u200brtfs_metadata", ".virtfs\u00ad_metadata", ".virtfs_metadata\u0301", ".virtfs_metad\uff41ta",
    ".virtfs_metadata_root", ".VIRTFS_METADATA_ROOT", ".v\u0131rtfs_metadata_root",
]  # fmt: skip
TWINS = [
    ("ReadMe", "README"), ("k", "\u212a"), ("i", "\u0131"), ("s", "\u017f"), ("\u00e9", "e\u0301"), ("\u00c9", "\u00e9"),
    ("\u00df", "ss"), ("ab", "a\u200db"), ("\ufb01", "fi"), ("\u01c4", "\u01c6"), ("\u03c3", "\u03c2"),
]  # fmt: skip


def prepared(lab: Lab, dialect: bytes) -> Attacker:
    """A file with an owner, whose metadata an attacker would like to write."""
    client = lab.client(dialect)
    client.mkdir(ROOT, b"folder")
    client.walk(ROOT, FOLDER, b"folder")
    client.create(FOLDER, FILE, b"in", b"inside")
    client.clunk(FILE)
    client.walk(FOLDER, FILE, b"in")
    if client.linux:
        client.rpc(m.Tsetattr(FILE, SETATTR_UID | SETATTR_GID, 0, 1000, 2000, 0, 0, 0, 0, 0))
    return client


@pytest.mark.parametrize("kind", ["ntfs", "fat"])
@pytest.mark.parametrize(("message", "dialect"), list(cases()))
def test_metadata_has_no_second_name(monkeypatch: pytest.MonkeyPatch, kind: str, message: str, dialect: bytes) -> None:
    """Every message that takes a name, in every spelling, where the folder is and where it is not
    yet.
    """
    with WindowsLab(monkeypatch, kind, "mapped-file") as lab:
        client = prepared(lab, dialect)
        before = {path: what for path, what in lab.volume.picture().items() if "metadata" in path.lower()}
        assert before
        lab.volume.add("share\\other")
        client.walk(ROOT, OTHER, b"other")
        for name in (name.encode() for name in RESERVED):
            for fid in (FOLDER, OTHER, ROOT)[: 2 if message == "Twstat" else 3]:  # nobody renames the root anyway
                client.refuses(MESSAGES[message][1](fid, name), Errno.EINVAL)
                client.refuses(m.Twalk(fid, MADE, [name]), Errno.EINVAL)
        now = {path: what for path, what in lab.volume.picture().items() if "metadata" in path.lower()}
        assert now == before
        if client.linux:
            told = client.rpc(m.Tgetattr(FILE, GETATTR_BASIC)).attributes
            assert (told.uid, told.gid) == (1000, 2000)


@pytest.mark.parametrize("kind", ["ntfs", "unc"])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("pair", TWINS, ids=ascii)
def test_twins(monkeypatch: pytest.MonkeyPatch, kind: str, pair: tuple[str, str], first: bool) -> None:
    """One file or two, as the host has it: then a second one is EEXIST, and a rename from one
    spelling to the other loses nothing.
    """
    one, two = (name.encode() for name in (pair if first else pair[::-1]))
    with WindowsLab(monkeypatch, kind, "mapped-xattr") as lab:
        client = lab.client(LINUX)
        qid = client.create(ROOT, FILE, one, b"first")
        client.clunk(FILE)
        client.walk(ROOT, FILE, one)
        if folds(client, two):
            assert client.walk(ROOT, MADE, two) == [qid._replace(version=client.walk(ROOT, OTHER, one)[0].version)]
            client.clunk(MADE, OTHER)
            client.refuses(m.Tmkdir(ROOT, two, 0o755, NO_ID), Errno.EEXIST)
            client.refuses(m.Tlink(ROOT, FILE, two), Errno.EEXIST)
            client.rpc(m.Trenameat(ROOT, one, ROOT, two))
            client.refuses(m.Tmkdir(ROOT, one, 0o755, NO_ID), Errno.EEXIST)
            assert len(lab.names()) == 1
        else:
            assert lab.names() == {one.decode(), two.decode()}
        client.open(FILE)
        assert client.read(FILE) == b"first"


def folds(client: Attacker, name: bytes) -> bool:
    """Make a folder; whether that was refused because there is something of this name."""
    said = client.errors_of(m.Tmkdir(ROOT, name, 0o755, NO_ID))
    assert said in (set(), {Errno.EEXIST}), said
    return bool(said)


# -- filesystems of this machine ---------------------------------------------------------------------------------------


@pytest.fixture(params=["ntfs", "ext4"])
def folding(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder on a filesystem that finds names without regard to case."""
    with tempfile.TemporaryDirectory(prefix="ninep-folding.") as scratch:
        image, mounted = Path(scratch, "image"), Path(scratch, "mounted")
        mounted.mkdir()
        with image.open("wb") as file:
            file.truncate(32 << 20)
        try:
            if request.param == "ntfs":
                system(["mkfs.ntfs", "-F", "-q", "-Q", str(image)], stdout=subprocess.DEVNULL)
                system(["lowntfs-3g", str(image), str(mounted), "-o", "ignore_case"], stdout=subprocess.DEVNULL)
            else:
                system(["mkfs.ext4", "-q", "-O", "casefold", str(image)])
                system(["mount", "-o", "loop", str(image), str(mounted)])
        except Unavailable as missing:
            pytest.skip(f"no folding {request.param}: {missing}")
        try:
            (mounted / "base").mkdir()
            if request.param == "ext4":
                system(["chattr", "+F", str(mounted / "base")])
            yield mounted / "base"
        finally:
            system(["umount", "--lazy", str(mounted)])


def test_on_a_filesystem_that_folds(folding: Path) -> None:
    """The metadata of mapped-file in every spelling, and twins."""
    (folding / "probe").touch()
    assert (folding / "PROBE").exists()
    (folding / "probe").unlink()
    with Lab(folding, "mapped-file") as lab:
        client = prepared(lab, LINUX)
        for name in (name.encode() for name in RESERVED):
            for dialects, build, _ in MESSAGES.values():
                if LINUX in dialects:
                    client.refuses(build(FOLDER, name), Errno.EINVAL)
            client.refuses(m.Twalk(FOLDER, MADE, [name]), Errno.EINVAL)
        client.create(ROOT, MADE, b"ReadMe", b"first")
        client.clunk(MADE)
        client.refuses(m.Tmkdir(ROOT, b"README", 0o755, NO_ID), Errno.EEXIST)
        client.refuses(m.Tlink(ROOT, FILE, b"readme"), Errno.EEXIST)
        told = client.rpc(m.Tgetattr(FILE, GETATTR_BASIC)).attributes
        assert (told.uid, told.gid) == (1000, 2000)
