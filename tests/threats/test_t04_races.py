"""T04: names that change between look and use.

Two processes of the host exchange a folder, a folder in it, or the file in that, with links that
lead outside, as fast as they can, while every verb is run below. What comes of a verb is chance;
that nothing outside is read or changed must not be. ``NINEP_LONG=1`` gives every verb 30 seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.support.client import TIMEOUT, Failed
from tests.threats.lab import Attacker, Lab, codes
from tests.threats.test_t03_links import forget_handles
from tests.threats.verbs import FILE, FOLDER, ROOT, VERBS

from ninep.linux import Errno
from ninep.wire import messages as m

FLIPPER = Path(__file__).with_name("flipper.py")
LONG = bool(os.environ.get("NINEP_LONG"))
SECONDS_A_VERB = 30.0 if LONG else 0.05
EXPECTED = {
    Errno.ELOOP, Errno.ENOTDIR, Errno.ENOENT, Errno.ESTALE, Errno.EEXIST, Errno.EISDIR, Errno.ENOTEMPTY, Errno.EBUSY, Errno.ENODATA,
    Errno.EINVAL, Errno.EPERM, Errno.EACCES, Errno.EOPNOTSUPP, Errno.EAGAIN, Errno.ENXIO,
}  # fmt: skip
"""What a verb may come to when what it was meant for is something else by now."""


@contextmanager
def flipping(*pairs: tuple[Path, str, str]) -> Iterator[Counter[str]]:
    """Processes that exchange names; the counter knows at the end how often."""
    processes = [
        subprocess.Popen([sys.executable, FLIPPER, *pair], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for pair in pairs
    ]
    flips: Counter[str] = Counter()
    try:
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        yield flips
    finally:
        for process, pair in zip(processes, pairs, strict=True):
            said, _ = process.communicate(timeout=TIMEOUT)
            flips[pair[1]] += int(said)


class RaceTree:
    """``race/one/two/leaf``, held by handles, so that it can be put in order again whatever its
    names are now.
    """

    def __init__(self, lab: Lab) -> None:
        self.canary = lab.canary.top
        self.top = lab.top / "race"
        (self.top / "one" / "two").mkdir(parents=True)
        self.one = os.open(self.top / "one", os.O_RDONLY)
        self.mend()
        self._link("one.link", self.canary, self.top)

    @staticmethod
    def _link(name: str, target: Path, folder: Path | int) -> None:
        with suppress(FileExistsError):
            if isinstance(folder, int):
                os.symlink(target, name, dir_fd=folder)
            else:
                os.symlink(target, folder / name)

    def mend(self) -> None:
        """Make again what a verb moved away or removed."""
        with suppress(FileExistsError):
            os.mkdir("two", dir_fd=self.one)
        self._link("two.link", self.canary / "two", self.one)
        for name in ("two", "two.link"):
            try:
                two = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY, dir_fd=self.one)
            except OSError:
                continue
            with suppress(FileExistsError):
                leaf = os.open("leaf", os.O_WRONLY | os.O_CREAT | os.O_EXCL, dir_fd=two)
                os.write(leaf, b"our own")
                os.setxattr(leaf, "user.own", b"ours")
                os.close(leaf)
            self._link("leaf.link", self.canary / "two" / "leaf", two)
            for taken in ("taken", "linked"):
                with suppress(OSError):
                    os.unlink(taken, dir_fd=two)
                with suppress(OSError):
                    os.rmdir(taken, dir_fd=two)
            os.close(two)
        (self.top / "other").write_bytes(b"")
        for name in ("renamed", "linked"):
            with suppress(OSError):
                os.unlink(self.top / name)
            with suppress(OSError):
                os.rename(self.top / name, self.top / f"{name}.{time.monotonic_ns()}")

    def close(self) -> None:
        os.close(self.one)


def once(client: Attacker, verb: str) -> set[Errno]:
    """Walk down and do it; what the server says."""
    try:
        client.rpc(m.Twalk(ROOT, 3, [b"race"]))
        client.rpc(m.Twalk(3, 3, [b"one"]))
        client.rpc(m.Twalk(3, FOLDER, [b"two"]))
        client.rpc(m.Twalk(FOLDER, FILE, [b"leaf"]))
        VERBS[client.dialect][verb](client)
    except Failed as failure:
        return codes(failure)
    return set()


@pytest.mark.timeout(30 * 60 * 60 if LONG else 900)
@pytest.mark.parametrize("level", ["one", "two", "leaf"])
def test_no_moment_between_look_and_use(lab: Lab, dialect: bytes, level: str) -> None:
    tree = RaceTree(lab)
    folder = {"one": tree.top, "two": tree.top / "one", "leaf": tree.top / "one" / "two"}[level]
    second = {
        "one": (tree.top / "one", "two", "two.link"),
        "two": (tree.top, "one", "one.link"),
        "leaf": (tree.top, "one", "one.link"),
    }
    done: Counter[str] = Counter()
    refused: Counter[Errno] = Counter()
    with flipping((folder, level, f"{level}.link"), second[level]) as flips:
        for verb in until_both(VERBS[dialect], done, refused):
            until = time.monotonic() + SECONDS_A_VERB
            number = 0
            while number < 4 or time.monotonic() < until:
                number += 1
                if number % 3 == 0:
                    forget_handles(lab)
                with lab.client(dialect) as client:
                    said = once(client, verb)
                done[verb] += not said
                assert not said or said & EXPECTED, (verb, said)
                refused.update(said)
                tree.mend()
    tree.close()
    assert done.total() > 5, "no verb ever succeeded: nothing was tried"
    assert refused.total() > 5, f"no verb ever failed: the names stood still ({flips})"


def until_both(verbs: Iterable[str], done: Counter[str], refused: Counter[Errno]) -> Iterator[str]:
    """All verbs, and again where the process that flips the names had no time on a busy machine."""
    for _ in range(1000):
        yield from verbs
        if done.total() > 5 < refused.total():
            return
