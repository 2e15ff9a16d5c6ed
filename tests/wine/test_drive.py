"""The root of a volume, which Wine takes for a mount point: served as any folder, by the whole
server.
"""

from __future__ import annotations

import pytest
from tests.guest.debs import Unavailable
from tests.wine.lab import Lab, windows_path
from tests.wine.served import WindowsServer
from tests.wine.volume import ntfs_volume

import ninep

pytestmark = [pytest.mark.wine, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.mark.parametrize("model", ["mapped-xattr", "mapped-file"])
def test_the_root_of_a_volume(lab: Lab, model: str) -> None:
    try:
        with ntfs_volume() as volume:
            with (
                WindowsServer(lab, windows_path(volume.mounted), "--security-model", model) as server,
                ninep.connect(server.address, uname="root", n_uname=0, gid=0) as files,
            ):
                assert "folder" in files.listdir("/")
                files.mkdir("/folder/deep")
                files.write_bytes("/folder/deep/name", b"contents")
                files.rename("/folder/deep/name", "/folder/deep/Name")
                assert files.read_bytes("/folder/deep/Name") == b"contents"
                assert files.listdir("/folder/deep") == ["Name"]
            assert [path.name for path in (volume.folder / "deep").iterdir() if path.is_file()] == ["Name"]
    except Unavailable as missing:
        pytest.skip(f"no NTFS volume: {missing}")
