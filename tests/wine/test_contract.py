"""The contract of the Windows host and the drivers' acceptance suite in a genuine Windows Python:
on Wine's own folders, and on NTFS.
"""

from __future__ import annotations

import pytest
from tests.guest.debs import Unavailable
from tests.wine.lab import Lab, windows_path
from tests.wine.volume import ntfs_volume

LIMIT = 600.0
CONTRACT = ["-m", "pytest", "-c", "tests/wine/pytest.ini", "-q", "tests/host/windows"]
# The drivers' acceptance suite runs on the system here: over the fakes it is no other than on
# Linux, and takes minutes.
CONTRACT += ["--ignore=tests/host/windows/test_driver.py"]

pytestmark = [pytest.mark.wine, pytest.mark.slow, pytest.mark.timeout(LIMIT + 400)]


def test_on_a_folder_of_linux(lab: Lab) -> None:
    """Also the fakes and the names, by the Windows build of Python."""
    lab.python(CONTRACT, LIMIT).check()


def test_on_an_ntfs_volume(lab: Lab) -> None:
    try:
        with ntfs_volume() as volume:
            lab.python([*CONTRACT, "-k", "system"], LIMIT, NINEP_WINDOWS_DIR=windows_path(volume.folder)).check()
    except Unavailable as missing:
        pytest.skip(f"no NTFS volume: {missing}")
