"""A server on Windows, asked and told what to do by its named pipe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.wine.lab import Ended, Lab, windows_path
from tests.wine.served import MAIN, WindowsServer

import ninep

pytestmark = [pytest.mark.wine, pytest.mark.slow, pytest.mark.timeout(400)]

LIMIT = 120.0


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A file with one export."""
    for name in "ab":
        (tmp_path / name).mkdir()
    path = tmp_path / "ninep.toml"
    path.write_text(text_of(tmp_path, "a"))
    return path


def text_of(folder: Path, *exports: str) -> str:
    return "".join(
        f"[exports.{name}]\ntarget = {json.dumps(windows_path(folder / name))}\nsecurity-model = 'passthrough'\n"
        for name in exports
    )


@pytest.fixture
def served(lab: Lab, config: Path) -> Iterator[WindowsServer]:
    with WindowsServer(lab, None, "--config", windows_path(config)) as server:
        yield server


def ask(lab: Lab, *words: str) -> Ended:
    return lab.python(["-c", MAIN, *words], LIMIT)


def test_status_reload_kick_and_drain(lab: Lab, served: WindowsServer, config: Path) -> None:
    """``ninep status`` finds the server by itself."""
    with ninep.connect(served.address, aname="a") as files:
        assert files.listdir("/") == []
        told = json.loads(ask(lab, "status", "--json").check().output)
        (client,) = told["processes"][0]["clients"]
        assert [one["name"] for one in told["processes"][0]["exports"]] == ["a"]
        pid = str(told["server"]["pid"])
        assert client["id"] in ask(lab, "top", "--pid", pid, "--count", "1").check().output

        config.write_text(text_of(config.parent, "a", "b"))
        ask(lab, "ctl", "reload").check()
        with ninep.connect(served.address, aname="b") as more:
            assert more.listdir("/") == []
        config.write_text("workers = 'many'\n")
        broken = ask(lab, "ctl", "reload")
        assert broken.status == 1
        assert "workers" in broken.output
        assert files.listdir("/") == []  # nothing has changed

        upgraded = ask(lab, "ctl", "upgrade")
        assert (upgraded.status, "no sockets that a process can hand on" in upgraded.output) == (1, True)

        ask(lab, "ctl", "kick", client["id"]).check()
        with pytest.raises(ConnectionError):
            files.listdir("/")
    ask(lab, "ctl", "drain", "--pid", pid).check()
    assert served.wait() == 0, served.said()
    gone = ask(lab, "status")
    assert gone.status == 1
    assert "no server of yours" in gone.output


def test_requests_that_cannot_be_meant(lab: Lab, served: WindowsServer) -> None:
    """Each is one sentence, as over a unix socket; and there are so many connections at a time."""
    lab.python(["-m", "tests.wine.odd_requests"], LIMIT).check()
