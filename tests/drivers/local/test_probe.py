"""What a file system can do, found out by trying it."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.drivers.local.conftest import refusal

from ninep import host
from ninep.drivers.local.handle_cache import self_closing
from ninep.drivers.local.probe import (
    CAPABILITIES,
    NO,
    NO_ANSWER,
    NOT_ASKED,
    NOT_USED,
    OLD,
    PREFIX,
    THIS_HOST,
    YES,
    Found,
    lines,
    probe,
)
from ninep.errors import Refused
from ninep.host import iterate
from ninep.linux import Errno

pytestmark = pytest.mark.skipif(os.name == "nt", reason="asks for what Linux has")


def answers(folder: Path, **options: Any) -> dict[str, str]:
    return {one.name: one.answer for one in probe(self_closing(host.open_root(str(folder))), **options)}


def test_an_ordinary_file_system_can_do_nearly_all(tmp_path: Path) -> None:
    found = answers(tmp_path)
    assert list(found) == [one.name for one in CAPABILITIES]
    for name in ("xattrs", "rename over", "locks", "directory cookies", "hard links", "stable inodes"):
        assert found[name] == YES
    assert found["times"] in ("1 ns", "100 ns", "1 us")


def test_nothing_stays(tmp_path: Path) -> None:
    answers(tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_writes_the_folder_is_left_alone(tmp_path: Path) -> None:
    before = tmp_path.stat()
    assert set(answers(tmp_path, writes=False).values()) == {NOT_ASKED}
    assert tmp_path.stat().st_mtime_ns == before.st_mtime_ns


MISSING = {
    "set_xattr": ("xattrs", Errno.EOPNOTSUPP),
    "make_link": ("hard links", Errno.EPERM),
    "lock": ("locks", Errno.EOPNOTSUPP),
    "seek": ("sparse files", Errno.EINVAL),
    "copy_file_range": ("copy_file_range", Errno.ENOSYS),
    "rename": ("rename over", Errno.EBUSY),
    "open_unnamed": ("unnamed files", Errno.EOPNOTSUPP),
}


@pytest.mark.parametrize("verb", MISSING)
def test_what_is_missing_is_said_with_what_is_done_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    name, errno = MISSING[verb]

    def fail(*_: object, **__: object) -> None:
        raise Refused(errno)

    monkeypatch.setattr(host, verb, fail)
    rows = {one.name: one for one in probe(self_closing(host.open_root(str(tmp_path))))}
    assert rows[name].answer == NO
    assert rows[name].without
    assert not list(tmp_path.iterdir())


def test_locks_that_exclude_no_process_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "lock", lambda *_: None)
    assert answers(tmp_path)["locks"] == NO


def as_fuse(monkeypatch: pytest.MonkeyPatch) -> None:
    real = host.volume
    monkeypatch.setattr(host, "volume", lambda *a, **b: real(*a, **b)._replace(kind="fuse", slow=True))


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
def test_locks_that_the_kernel_keeps_for_fuse_hold_on_this_host_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_fuse(monkeypatch)
    found = answers(tmp_path)
    assert found["locks"] == THIS_HOST
    assert found["unnamed files"] == NOT_USED, "some programs lose them later than a look shows"


def test_a_listing_that_forgets_its_place_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = host.open_dir

    class Forgets:
        """Its cookies after the first batch lead to the start."""

        def __init__(self, listing: Any) -> None:
            self._listing = listing
            self.close = listing.close

        def read(self, cookie: int, size: int = 1 << 15) -> Any:
            return self._listing.read(0 if size < 1 << 10 else cookie, size)

    monkeypatch.setattr(host, "open_dir", lambda place: Forgets(real(place)))
    assert answers(tmp_path)["directory cookies"] == NO


def test_a_listing_that_counts_what_is_there_now_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One who removes what was read would miss the rest (SeaweedFS, after a jump back)."""
    real = host.open_dir

    class ByIndex:
        """A cookie is a place in what is there now."""

        def __init__(self, place: Any) -> None:
            self._place = place

        def read(self, cookie: int, size: int = 1 << 15) -> Any:
            listing = real(self._place)
            every = [(entry[0], number, *entry[2:]) for number, entry in enumerate(iterate(listing), 1)]
            listing.close()
            return every[cookie : cookie + size // 64]

        def close(self) -> None:
            """Nothing is open."""

    monkeypatch.setattr(host, "open_dir", ByIndex)
    assert answers(tmp_path)["directory cookies"] == NO


@pytest.mark.parametrize("step", [1, 1000, 10**9, 2 * 10**9])
def test_steps_of_times_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    real = host.utimes
    coarse: Callable[..., None] = lambda place, atime, mtime: real(place, atime // step * step, mtime // step * step)
    monkeypatch.setattr(host, "utimes", coarse)
    assert answers(tmp_path)["times"] == {1: "1 ns", 1000: "1 us", 10**9: "1 s", 2 * 10**9: "2 s or more"}[step]


def test_a_file_system_that_does_not_answer_is_left_after_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, real, at_end = threading.Event(), host.rename, threading.Event()

    def waits(*arguments: Any) -> None:
        answer.wait()
        real(*arguments)
        at_end.set()

    monkeypatch.setattr(host, "rename", waits)
    found = answers(tmp_path, limit=0.2)
    assert found["xattrs"] == YES
    assert found["rename over"] == found["locks"] == NO_ANSWER
    (thread,) = [one for one in threading.enumerate() if one.name == "ninep-probe"]
    answer.set()
    thread.join()
    assert at_end.is_set()
    assert not list(tmp_path.iterdir()), "what was left behind cleans up when it can"


def test_what_a_killed_process_left_goes_after_an_hour(tmp_path: Path) -> None:
    old, young = (tmp_path / (PREFIX.decode() + name) for name in ("0" * 16, "f" * 16))
    for one in (old, young):
        (one / "listing").mkdir(parents=True)
        (one / "listing/file").touch()
    before = old.stat().st_mtime_ns - 2 * OLD
    os.utime(old, ns=(before, before))
    answers(tmp_path)
    assert list(tmp_path.iterdir()) == [young]


def test_what_only_looks_like_a_probes_stays(tmp_path: Path) -> None:
    """A client makes it: its own names, and directories within each other."""
    other, deep = (tmp_path / (PREFIX.decode() + name) for name in ("results", "0" * 16))
    other.mkdir()
    (deep / "d/d/d").mkdir(parents=True)
    for one in (other, deep):
        os.utime(one, (1, 1))
    answers(tmp_path)
    assert set(tmp_path.iterdir()) == {other, deep}


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise Refused(Errno.EROFS)

    monkeypatch.setattr(host, "make_dir", refuse)
    assert refusal(answers, tmp_path) is Errno.EROFS


def test_lines_have_what_is_done_without() -> None:
    found = [Found("locks", NO, "no exclusion"), Found("times", "1 s", "")]
    assert lines(found) == ["locks  no: no exclusion", "times  1 s"]
