"""A storage that hangs is found out without hanging, and takes one thread."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest
from tests.support.client import TIMEOUT

from ninep.drivers.memory import MemoryDriver
from ninep.node import Source
from ninep.server import storage_probe
from ninep.server.exports import Export
from ninep.server.storage_probe import StorageProbe


class Stored(MemoryDriver):
    """Its folder is at `path`, or the question for it hangs until `answers`."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self.asked = 0
        self.answers = threading.Event()
        self.answers.set()

    def source(self) -> Source:
        self.asked += 1
        self.answers.wait(TIMEOUT)
        return Source(str(self._path), "none", (), ())


def test_folders_that_answer(tmp_path: Path) -> None:
    exports = [Export("", MemoryDriver()), Export("b", Stored(tmp_path))]
    assert StorageProbe().trouble(exports) == ""


def test_a_folder_with_an_error(tmp_path: Path) -> None:
    exports = [Export("", Stored(tmp_path)), Export("b", Stored(tmp_path / "none"))]
    assert StorageProbe().trouble(exports) == "export 'b': No such file or directory"


def test_a_root_that_answers_by_itself_is_not_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system may know its root although what it has all else from does not answer."""

    def fails(path: str) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    monkeypatch.setattr(os, "lstat", fails)
    assert StorageProbe().trouble([Export("a", Stored(tmp_path))]) == "export 'a': Input/output error"


def test_one_that_hangs_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_probe, "PROBE_TIMEOUT", 0.05)
    driver = Stored(tmp_path)
    driver.answers.clear()
    probe = StorageProbe()
    for _ in range(3):
        assert probe.trouble([Export("a", driver)]) == "export 'a': its storage does not answer"
    assert driver.asked == 1
    hanging = probe._round
    assert hanging is not None
    driver.answers.set()
    assert hanging.done.wait(TIMEOUT)
    monkeypatch.setattr(storage_probe, "PROBE_TIMEOUT", TIMEOUT)
    assert probe.trouble([Export("a", driver)]) == ""
    assert probe.trouble([Export("a", driver)]) == ""
    assert driver.asked == 2
