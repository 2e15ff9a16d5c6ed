"""A package that is installed beside ninep adds a driver, a security model, a layer and a transport
to ``ninep serve``, without a change in the project.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.serving import Server, program

import ninep

HERE = Path(__file__).parent / "plugin"
ENTRY_POINTS = """\
[ninep.drivers]
hello = ninep_example:DRIVER
[ninep.security]
one-owner = ninep_example:MODEL
[ninep.layers]
hide = ninep_example:LAYER
[ninep.transports]
abstract = ninep_example:TRANSPORT
"""


@pytest.fixture
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``pip install`` leaves a package: its module, and what its metadata say
    (packaging.python.org, entry points).
    """
    site = tmp_path / "site"
    site.mkdir()
    shutil.copy(HERE / "ninep_example.py", site)
    info = site / "ninep_example-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ninep-example\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])]))


@pytest.mark.usefixtures("_installed")
def test_help_shows_what_was_added() -> None:
    said = subprocess.run([*program(), "serve", "--help"], capture_output=True, text=True, check=True).stdout
    for words in (
        "--greeting TEXT",
        "--one-uid N",
        "--hide TEXT",
        "one-owner",
        "hello:",
        "one file with a greeting",
        "abstract:NAME",
    ):
        assert words in said, words


@pytest.mark.usefixtures("_installed")
def test_a_driver_by_its_scheme() -> None:
    with (
        Server("hello:note", "--greeting", "good morning") as server,
        ninep.connect(f"127.0.0.1:{server.port}") as client,
    ):
        assert client.read_bytes("/note") == b"good morning"
        assert "serving hello:note" in server.said()


@pytest.mark.usefixtures("_installed")
def test_a_model_and_a_layer_of_one_export(export: Path) -> None:
    for name in ("seen", "unseen"):
        (export / name).touch()
    option = f"--export=x={export},model=one-owner,one-uid=4711,hide=unseen"
    with Server(option) as server, ninep.connect(f"127.0.0.1:{server.port}", aname="x") as client:
        assert client.stat("/seen").st_uid == 4711
        with pytest.raises(FileNotFoundError):
            client.stat("/unseen")


@pytest.mark.usefixtures("_installed")
def test_an_option_of_another_model_is_refused(export: Path) -> None:
    said = subprocess.run(
        [*program(), "serve", str(export), "-s", "one-owner", "--fmode", "640"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 2
    assert "fmode does not apply to the security model one-owner" in said.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has an abstract namespace of unix sockets")
@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_transport_by_its_prefix(workers: int) -> None:
    """Listened at, connected to from both clients, announced with what to type."""
    address = f"abstract:ninep-test-{os.getpid()}-{workers}"
    asynchronous = f"""
import asyncio, ninep
async def main():
    async with ninep.aconnect("{address}") as files:
        print(files.connection.peer, await files.listdir("/"))
asyncio.run(main())
"""
    with Server("hello:note", "--listen", address, "--workers", str(workers)) as server:
        listed = subprocess.run([*program(), "ls", f"{address}/"], capture_output=True, text=True, check=False)
        assert (listed.stdout, listed.stderr) == ("note\n", "")
        listed = subprocess.run(
            [*program(), "cat", f"abstract://{address[9:]}/note"], capture_output=True, text=True, check=False
        )
        assert (listed.stdout, listed.stderr) == ("hello", "")
        run = subprocess.run([sys.executable, "-c", asynchronous], capture_output=True, text=True, check=False)
        assert run.stdout.startswith(f"{address} ['note'"), run
    assert f"listening on {address}" in server.said()
    assert f"on this computer: ninep ls {address}/" in server.said()


def test_a_plugin_that_is_not_there_is_an_unknown_name(export: Path) -> None:
    said = subprocess.run(
        [*program(), "serve", str(export), "-s", "one-owner"], capture_output=True, text=True, check=False
    )
    assert said.returncode == 2
    assert "'one-owner' is not one of mapped-owner" in said.stderr
