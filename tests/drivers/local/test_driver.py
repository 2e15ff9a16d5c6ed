"""Opening an export: what fits, and what is said when it does not."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from ninep import host
from ninep.drivers.local import ExportError, LocalDriver, pins_for
from ninep.linux import GETATTR_BASIC
from ninep.node import User
from ninep.security import MODELS


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
    driver = LocalDriver(str(tmp_path / "link"), pins=pins_for(10))
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
    gc.collect()  # handles that other tests left in cycles
    before = len(os.listdir("/proc/self/fd"))
    driver = LocalDriver(str(tmp_path), model)
    root = driver.attach(User(b"glenda", 1000, "peer"))
    assert root.getattr(GETATTR_BASIC).mode & 0o170000 == 0o040000
    assert os.listdir(tmp_path) == []
    root.release()
    driver.close()
    del root, driver
    assert len(os.listdir("/proc/self/fd")) == before
