"""The public acceptance suite on the local driver over the system itself: on Windows, real or Wine.
Elsewhere there is nothing here.

What is different under Wine is listed in ``known_wine``, and must still be so.
"""

import gc
import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.host.windows.known_wine import wine_kind
from tests.host.windows.test_driver import MAPPED, NtfsRenames, NtfsXattrs
from tests.support.drivers import end

from ninep.drivers.local import LocalDriver
from ninep.node import Node, User
from ninep.testing.suite import DriverSuite


def attached(above: Path, model: str) -> Iterator[Node]:
    """A new folder of the system, by the program's own host module."""
    folder = Path(os.environ.get("NINEP_WINDOWS_DIR") or above) / f"suite-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    driver = LocalDriver(str(folder), model)
    root = driver.attach(User())
    yield root
    end(driver, root)
    del root, driver
    gc.collect()
    shutil.rmtree(folder, ignore_errors=True)  # what a test has left read-only stays


if sys.platform == "win32":

    class SystemSuite(DriverSuite):
        """The suite, with the two things that NTFS does otherwise."""

        TestRename = NtfsRenames
        TestXattr = NtfsXattrs

    # Without streams, on a filesystem of Linux, the server refuses mapped-xattr.
    if wine_kind() != "wine+ntfs":

        class TestSystemMappedFile(SystemSuite):
            capabilities = MAPPED

            @pytest.fixture
            def root(self, tmp_path: Path) -> Iterator[Node]:
                yield from attached(tmp_path, "mapped-file")

    if wine_kind() != "wine":

        class TestSystemMappedXattr(SystemSuite):
            capabilities = MAPPED

            @pytest.fixture
            def root(self, tmp_path: Path) -> Iterator[Node]:
                yield from attached(tmp_path, "mapped-xattr")
