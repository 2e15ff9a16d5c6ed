"""``ninep serve`` as a service, by the service control manager of Wine."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.wine.lab import REPOSITORY, VERSION, Ended, Lab, windows_path

import ninep

pytestmark = [pytest.mark.wine, pytest.mark.slow, pytest.mark.timeout(500)]

LIMIT = 150.0
NAME = "ninep-test"


class Windows:
    """A Python that finds the package whatever the environment: services have that of the system."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self._lab = lab
        self.home = folder / "python"
        self.home.mkdir()
        for path in lab.home.glob("*.dll"):
            (self.home / path.name).symlink_to(path)
        (self.home / "python.exe").write_bytes((lab.home / "python.exe").read_bytes())
        places = [lab.home / "Lib", lab.home, lab.home / "Lib" / "site-packages", REPOSITORY / "src"]
        # https://docs.python.org/3/using/windows.html#finding-modules
        text = "".join(f"{windows_path(place)}\n" for place in places)
        (self.home / f"python{VERSION.replace('.', '')}._pth").write_text(text)

    def service(self, *words: str, **environment: str) -> Ended:
        """``ninep service ...``."""
        return self._lab.python(
            ["-m", "ninep", "service", *words], LIMIT, program=self.home / "python.exe", **environment
        )


@pytest.fixture
def windows(lab: Lab, tmp_path: Path) -> Iterator[Windows]:
    made = Windows(lab, tmp_path)
    yield made
    made.service("remove", "--name", NAME)  # of a test that failed


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def config_of(folder: Path, port: int, *exports: str) -> Path:
    path = folder / "ninep.toml"
    lines = [f"listen = ['127.0.0.1:{port}', '0.0.0.0:{port + 1}']", "allow = ['192.168.7.0/24', 'loopback']"]
    for name in exports:
        (folder / name).mkdir(exist_ok=True)
        lines += [f"[exports.{name}]", f"target = {json.dumps(windows_path(folder / name))}", "security-model = 'none'"]
    path.write_text("\n".join([*lines, ""]))
    return path


def test_from_install_to_remove(windows: Windows, tmp_path: Path, port: int) -> None:
    config, log = config_of(tmp_path, port, "a"), tmp_path / "log"
    words = ["--config", windows_path(config), "--log", windows_path(log), "--name", NAME]
    said = windows.service("install", *words).check().output
    assert f"-Protocol TCP -LocalPort {port + 1} -Action Allow -RemoteAddress 192.168.7.0/24" in said
    assert f'/grant "NT SERVICE\\{NAME}:(OI)(CI)M"' in said

    windows.service("start", "--name", NAME).check()  # waits until it serves
    with ninep.connect(f"127.0.0.1:{port}", aname="a") as files:
        files.write_bytes("/f", b"by a service")
        assert (tmp_path / "a" / "f").read_bytes() == b"by a service"
        told = windows.service("status", "--name", NAME).check().output
        assert re.search(r"running, process \d+", told), told

        config_of(tmp_path, port, "a", "b")
        windows.service("reload", "--name", NAME).check()
        line = wait_for_line(log, "reloaded: 2 exports")
        assert "1 opened" in line
        with ninep.connect(f"127.0.0.1:{port}", aname="b") as more:
            assert more.listdir("/") == []
        assert files.listdir("/") == ["f"]  # others' sessions go on
    windows.service("stop", "--name", NAME).check()
    windows.service("remove", "--name", NAME).check()
    gone = windows.service("status", "--name", NAME)
    assert (gone.status, "there is no service" in gone.output) == (1, True)
    assert "Traceback" not in log.read_text()


def test_a_file_with_mistakes(windows: Windows, tmp_path: Path, port: int) -> None:
    """It is not installed; one that gets mistakes later does not start, and the log says why."""
    config, log = tmp_path / "ninep.toml", tmp_path / "log"
    config.write_text("workers = 'many'\n")
    words = ["--config", windows_path(config), "--log", windows_path(log), "--name", NAME]
    refused = windows.service("install", *words)
    assert (refused.status, "workers" in refused.output) == (1, True)
    config_of(tmp_path, port, "a")
    windows.service("install", *words).check()
    config.write_text("workers = 'many'\n")
    failed = windows.service("start", "--name", NAME)
    assert (failed.status, "failed with 1" in failed.output) == (1, True)
    assert "workers" in log.read_text()


def test_run_is_for_the_system(windows: Windows) -> None:
    started = windows.service("run", "--name", NAME, "--config", "x", "--log", "y")
    assert (started.status, "ninep service start" in started.output) == (1, True)


def test_the_event_log(lab: Lab) -> None:
    """Wine writes events to its own trace. A record is one line whatever a client says."""
    said = lab.python(["-m", "tests.wine.events"], LIMIT, WINEDEBUG="-all,+eventlog").check().output
    events = re.findall(r"(warn|err|trace):eventlog:ReportEventW L\"(.*)\"", said)
    assert events == [("warn", r"refused x\\ny"), ("err", "it failed"), ("trace", "reloaded")]


def wait_for_line(path: Path, text: str) -> str:
    """The line of a log, which another process writes."""
    with subprocess.Popen(["tail", "-n", "+1", "-F", path], stdout=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        try:
            return next(line for line in tail.stdout if text in line)
        finally:
            tail.kill()
