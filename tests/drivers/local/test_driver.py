"""Opening an export: what fits, and what is said when it does not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.drivers.local.conftest import refusal
from tests.support.descriptors import open_descriptors

from ninep import host
from ninep.drivers.local import ExportError, LocalDriver, new_handle_cache
from ninep.errors import Refused
from ninep.linux import GETATTR_BASIC, LOCK_WRLCK, O_CREAT, O_RDWR, Errno
from ninep.node import User
from ninep.security import MODELS, Unsuitable


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"^cannot export .*/nothing: there is no such folder$"):
        LocalDriver(str(tmp_path / "nothing"))


def test_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ExportError, match=r"^cannot export .*/file: it is not a folder$"):
        LocalDriver(str(tmp_path / "file"))


def test_a_filesystem_without_attributes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = host.volume
    monkeypatch.setattr(host, "volume", lambda handle: real(handle)._replace(xattrs=False, kind="vfat"))
    with pytest.raises(ExportError, match=r"its filesystem \(vfat\) does not have; mapped-file works anywhere"):
        LocalDriver(str(tmp_path), "mapped-xattr")
    LocalDriver(str(tmp_path), "mapped-file").close()


@pytest.mark.parametrize("options", [{"security_model": "magic"}, {"multidevs": "perhaps"}])
def test_unknown_words(tmp_path: Path, options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="is not"):
        LocalDriver(str(tmp_path), **options)


def test_the_folder_may_be_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    driver = LocalDriver(str(tmp_path / "link"), handles=new_handle_cache(10))
    root = driver.attach(User())
    root.mkdir(b"inside", 0o755, os.geteuid(), os.getegid())
    assert (tmp_path / "folder" / "inside").is_dir()
    root.release()
    driver.close()


def test_a_slow_filesystem_is_not_inline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert LocalDriver(str(tmp_path)).attach(User()).inline
    real = host.volume
    monkeypatch.setattr(host, "volume", lambda handle: real(handle)._replace(slow=True))
    root = LocalDriver(str(tmp_path)).attach(User())
    root.mkdir(b"d", 0o755, os.geteuid(), os.getegid())
    assert not root.inline
    assert not root.walk(b"d").inline


@pytest.mark.parametrize("model", MODELS)
def test_every_model_attaches_and_leaves_nothing(tmp_path: Path, model: str) -> None:
    before = open_descriptors()
    # A cache of its own: that of the process keeps its reserve.
    driver = LocalDriver(str(tmp_path), model, handles=new_handle_cache(100))
    root = driver.attach(User(b"glenda", 1000, "peer"))
    assert root.getattr(GETATTR_BASIC).mode & 0o170000 == 0o040000
    assert os.listdir(tmp_path) == []
    root.release()
    driver.close()
    del root, driver
    assert not open_descriptors() - before


class TestMadeAgain:
    """The folder is removed, and a folder of the same name made: who attaches from then on is
    served that.
    """

    @pytest.fixture(params=sorted(set(MODELS) - {"mapped"}))
    def driver(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalDriver]:
        (tmp_path / "above" / "folder").mkdir(parents=True)
        (tmp_path / "link").symlink_to("above/folder")
        driver = LocalDriver(str(tmp_path / "link"), request.param, handles=new_handle_cache(30))
        yield driver
        driver.close()
        assert driver._table.handles.path_handles == 0

    def test_new_attaches_see_the_new_one(self, driver: LocalDriver, tmp_path: Path) -> None:
        folder = tmp_path / "above" / "folder"
        old = driver.attach(User())
        (folder / "file").write_bytes(b"old")
        held = old.walk(b"file")
        (folder / "file").unlink()
        folder.rmdir()
        assert refusal(driver.attach, User()) is Errno.ENOENT
        folder.mkdir()
        (folder / "file").write_bytes(b"renewed")
        new = driver.attach(User())
        again = driver.attach(User())
        assert again is new is not old
        below = new.walk(b"file")
        assert below.getattr(GETATTR_BASIC).size == 7
        new.mkdir(b"d", 0o755, os.geteuid(), os.getegid())
        assert (folder / "d").is_dir()
        for verb, *arguments in ((old.getattr, GETATTR_BASIC), (old.walk, b"file"), (old.mkdir, b"e", 0o755, 0, 0)):
            assert refusal(verb, *arguments) is Errno.ENOENT
        assert held.getattr(GETATTR_BASIC).nlink == 0
        assert old.parent() is old
        for node in (held, old, old, below, new, again):
            node.release()

    @pytest.mark.parametrize("place", ["folder", "above"])
    def test_no_link_is_followed_to_it(self, driver: LocalDriver, tmp_path: Path, place: str) -> None:
        (tmp_path / "elsewhere" / "folder").mkdir(parents=True)
        (tmp_path / "above" / "folder").rmdir()
        if place == "above":
            (tmp_path / "above").rmdir()
            (tmp_path / "above").symlink_to("elsewhere")
        else:
            (tmp_path / "above" / "folder").symlink_to("../elsewhere")
        assert refusal(driver.attach, User()) is Errno.ENOENT

    def test_a_file_is_none(self, driver: LocalDriver, tmp_path: Path) -> None:
        (tmp_path / "above" / "folder").rmdir()
        (tmp_path / "above" / "folder").touch()
        assert refusal(driver.attach, User()) is Errno.ENOENT

    def test_a_file_system_that_does_not_fit_is_none(
        self, driver: LocalDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "above" / "folder").rmdir()
        (tmp_path / "above" / "folder").mkdir()

        def choose(_: object) -> object:
            raise Unsuitable("no attributes")

        monkeypatch.setattr(driver, "_choose", choose)
        assert refusal(driver.attach, User()) is Errno.ENOENT


def test_a_cluster_without_attributes_keeps_owners_in_hidden_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = host.volume
    monkeypatch.setattr(host, "volume", lambda *a, **b: real(*a, **b)._replace(xattrs=False, slow=True))
    assert LocalDriver(str(tmp_path)).security_model == "mapped-file"


class TestPrepare:
    """What the file system can do is tried once before it is served."""

    @pytest.fixture
    def slow(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalDriver:
        real = host.volume
        monkeypatch.setattr(host, "volume", lambda *a, **b: real(*a, **b)._replace(slow=True))
        return LocalDriver(str(tmp_path), "none")

    def test_a_slow_one_is_tried(self, tmp_path: Path, slow: LocalDriver) -> None:
        assert list(slow.storage()) == ["file system"]
        slow.prepare(writable=True)
        assert slow.storage()["locks"] == "yes"
        assert not list(tmp_path.iterdir())

    def test_a_read_only_one_is_left_alone(self, tmp_path: Path, slow: LocalDriver) -> None:
        before = tmp_path.stat().st_mtime_ns
        slow.prepare(writable=False)
        assert tmp_path.stat().st_mtime_ns == before
        assert list(slow.storage()) == ["file system"]

    def test_a_disk_is_known_by_its_kind(self, tmp_path: Path) -> None:
        before = tmp_path.stat().st_mtime_ns
        LocalDriver(str(tmp_path), "none").prepare(writable=True)
        assert tmp_path.stat().st_mtime_ns == before

    def test_one_that_lets_nothing_be_made_is_served_all_the_same(
        self, slow: LocalDriver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise Refused(Errno.EDQUOT)

        monkeypatch.setattr(host, "make_dir", refuse)
        slow.prepare(writable=True)
        assert list(slow.storage()) == ["file system"]

    def test_one_without_locks_is_not_asked_for_any(
        self, tmp_path: Path, slow: LocalDriver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = []

        def lock(*arguments: object) -> None:
            asked.append(arguments)
            raise Refused(Errno.EOPNOTSUPP)

        monkeypatch.setattr(host, "lock", lock)
        slow.prepare(writable=True)
        root = slow.attach(User())
        _, file = root.create(b"file", O_CREAT | O_RDWR, 0o644, os.geteuid(), os.getegid())
        asked.clear()
        file.lock(LOCK_WRLCK, 0, 8)
        assert not asked
