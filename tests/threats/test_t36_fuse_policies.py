"""T36: any requests of a kernel over FUSE, against what an export permits: a read-only one stays as it
is, what is made belongs to whom the policy says, nothing outside is touched, nothing is given back twice.

The requests are those of the fuzzer, with a seed: node ids, handles and names that often exist.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from fuzz import fuse
from tests.support.fuse_kernel import ROOT, Failed, Kernel

from ninep.drivers.local import LocalDriver
from ninep.layers.id_map import OVERFLOW_ID, IdMap, Ranges, Squash
from ninep.layers.no_devices import no_devices
from ninep.layers.read_only import read_only
from ninep.linux import NO_ID, S_IFCHR, S_IFIFO, S_IFREG
from ninep.node import Node, User
from ninep.transport.fuse import MountOptions
from ninep.wire.fuse import Opcode

if sys.platform != "linux" or os.geteuid() != 0:
    pytest.skip("real owners are root's to give, on Linux", allow_module_level=True)

Layer = Callable[[Node, User], Node]
MODELS = ("passthrough", "mapped-xattr", "mapped-file", "mapped-owner", "none")
RANGES = Ranges.parse("0:100000:65536")
OWNERS: dict[str, tuple[Layer, Callable[[int], bool]]] = {
    "squash all": (Squash(), lambda uid: uid == OVERFLOW_ID),
    "squash root": (Squash(root_only=True), lambda uid: uid != 0),
    "map": (IdMap(RANGES, RANGES), lambda uid: uid >= 100_000 or uid == OVERFLOW_ID),
}


class Tree:
    """An export beside a file that is none of it."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.export = top / "export"
        self.export.mkdir()
        self.canary = top / "canary"
        self.canary.write_text("outside")
        (self.export / "dir").mkdir()
        (self.export / "a").write_text("data")
        (self.export / "b").symlink_to("../canary")
        os.mkfifo(self.export / "dir" / "a")
        self.before = self.files()
        self.outside = self.canary.stat()

    def files(self) -> dict[int, tuple[str, os.stat_result]]:
        """All files, by number: path and attributes."""
        paths = [
            os.path.join(above, name) for above, folders, files in os.walk(self.export) for name in folders + files
        ]
        return {found.st_ino: (path, found) for path, found in ((path, os.lstat(path)) for path in paths)}

    def made(self) -> list[os.stat_result]:
        """What was not there before."""
        return [found for number, (_, found) in self.files().items() if number not in self.before]

    def attack(self, model: str, layers: Sequence[Layer], seed: int) -> None:
        """What a kernel asks."""
        chance = random.Random(seed)
        options = MountOptions(posix_acl=chance.random() < 0.5, locks=chance.choice(["local", "shared"]))
        kernel = Kernel(LocalDriver(str(self.export), model), layers, limits=fuse.LIMITS, options=options)
        kernel.init()
        for name in (b"a", b"dir", b"b"):
            kernel.lookup(ROOT, name)
        kernel.open(ROOT + 1)
        for uid in (0, 500, NO_ID):
            make(kernel, uid)
        fuse.run(kernel, bytes(chance.choice((chance.randrange(fuse.RAW), chance.randrange(12))) for _ in range(800)))
        assert sorted(os.listdir(self.top)) == ["canary", "export"]
        now = self.canary.stat()
        assert (now.st_ctime_ns, now.st_size, now.st_nlink) == (self.outside.st_ctime_ns, self.outside.st_size, 1)


def make(kernel: Kernel, uid: int) -> None:
    """One of each kind, as a user; the fuzzer's requests have none of these names."""
    kernel.uid = kernel.gid = uid
    for opcode, fields in (
        (Opcode.CREATE, (0o102, S_IFREG | 0o644, 0, 0, b"file%d" % uid)),
        (Opcode.MKDIR, (0o755, 0, b"folder%d" % uid)),
        (Opcode.SYMLINK, (b"link%d" % uid, b"a")),
        (Opcode.MKNOD, (S_IFIFO | 0o644, 0, 0, 0, b"fifo%d" % uid)),
        (Opcode.MKNOD, (S_IFCHR | 0o644, 0x0103, 0, 0, b"device%d" % uid)),
    ):
        with suppress(Failed):
            kernel.ask(opcode, ROOT, *fields)


@pytest.fixture(autouse=True)
def defects() -> Iterator[None]:
    """What the server says of itself fails the test."""
    fuse.begin()
    yield
    fuse.finish()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("model", MODELS)
def test_a_read_only_export_stays_as_it_is(tmp_path: Path, model: str, seed: int) -> None:
    tree = Tree(tmp_path)
    tree.attack(model, [read_only], seed)
    after = tree.files()
    assert after.keys() == tree.before.keys()
    for number, (path, found) in after.items():
        assert (path, found.st_ctime_ns) == (tree.before[number][0], tree.before[number][1].st_ctime_ns)


@pytest.mark.parametrize("policy", OWNERS)
def test_what_is_made_belongs_to_whom_the_policy_says(tmp_path: Path, policy: str) -> None:
    layer, permitted = OWNERS[policy]
    owners: list[int] = []
    for seed in range(5):
        (tmp_path / str(seed)).mkdir()
        tree = Tree(tmp_path / str(seed))
        tree.attack("passthrough", [layer], seed)
        owners += [found.st_uid for found in tree.made()]
    assert len(owners) >= 5 * 3 * 4  # where root may not make devices, the rest
    assert all(map(permitted, owners)), owners


def test_no_devices_are_made(tmp_path: Path) -> None:
    for seed in range(5):
        (tmp_path / str(seed)).mkdir()
        tree = Tree(tmp_path / str(seed))
        tree.attack("passthrough", [no_devices], seed)
        assert not [found for found in tree.made() if found.st_rdev]
