"""The programs of diod's package with our server: they ask for authentication first and continue
only after the error that says none is needed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.serving import Server
from tests.support.client import TIMEOUT

pytestmark = pytest.mark.peer

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Server]:
    if shutil.which("diodls", path=PATH) is None:
        pytest.skip("diod is not installed")
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "sub").mkdir()
    (folder / "file").write_bytes(b"content\n")
    with Server(folder) as server:
        yield server


def run(program: Server, command: str, *arguments: str) -> str:
    found = shutil.which(command, path=PATH)
    assert found
    port = program.port
    line = [found, "-s", f"127.0.0.1:{port}", "-a", "", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=TIMEOUT, check=True).stdout


def test_diodls(program: Server) -> None:
    assert sorted(run(program, "diodls").split()) == ["file", "sub"]


def test_diodcat(program: Server) -> None:
    assert run(program, "diodcat", "file") == "content\n"
