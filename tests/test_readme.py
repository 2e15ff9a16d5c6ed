"""The README: its programs run, its links exist, its names can be imported."""

from __future__ import annotations

import asyncio
import pydoc
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.client import TIMEOUT, RawClient

import ninep
from ninep.wire import messages as m

TOP = Path(__file__).parent.parent
README = (TOP / "README.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_there_are_a_server_and_a_client() -> None:
    assert ["Server" in program for program in PROGRAMS] == [True, False]


def test_the_server_serves_and_the_client_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The README's two programs, with a port of their own, talk to each other."""
    (tmp_path / "a file").touch()
    server, client = PROGRAMS
    listening = threading.Event()
    places: list[str] = []
    stop: list[Callable[[], None]] = []

    def announced(*words: object) -> None:
        places.append(str(words[-1]))
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        stop.append(lambda: loop.call_soon_threadsafe(task.cancel))
        listening.set()

    def serve() -> None:
        program = server.replace("/srv/files", str(tmp_path)).replace("127.0.0.1:5640", "127.0.0.1:0")
        with pytest.raises(asyncio.CancelledError):
            exec(program, {"print": announced})

    thread = threading.Thread(target=serve)
    thread.start()
    assert listening.wait(TIMEOUT)
    try:
        exec(client.replace("127.0.0.1:5640", places[0]), {})
    finally:
        stop[0]()
        thread.join(TIMEOUT)
    assert "a file" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_the_server_ends_at_a_signal_without_a_word(tmp_path: Path, number: signal.Signals) -> None:
    """As a program of its own: what was printed, exit status 0, and no traceback."""
    program = PROGRAMS[0].replace("/srv/files", str(tmp_path)).replace("127.0.0.1:5640", "127.0.0.1:0")
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout
        assert process.stderr
        place = re.fullmatch(r"listening on (127\.0\.0\.1:\d+)\n", process.stdout.readline())
        assert place
        with ninep.connect(place[1]) as client:  # it ends although a client is connected
            assert client.listdir("/") == []
            process.send_signal(number)
            assert process.wait(TIMEOUT) == 0
        assert (process.stdout.read(), process.stderr.read()) == ("", "")


def test_the_server_ends_at_a_second_signal_although_a_request_waits(tmp_path: Path) -> None:
    hangs = "import threading; from ninep.drivers.local.file import LocalFile; LocalFile.fsync = lambda *_: threading.Event().wait()\n"
    program = PROGRAMS[0].replace("/srv/files", str(tmp_path)).replace("127.0.0.1:5640", "127.0.0.1:0")
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", hangs + program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout
        assert process.stderr
        host, _, port = process.stdout.readline().split()[-1].rpartition(":")
        with RawClient(socket.create_connection((host, int(port)), 30)) as client:
            client.version()
            client.attach()
            client.create(0, 1, b"f")
            client.send(m.Tfsync(1))
            client.walk(0, 2)
            process.send_signal(signal.SIGINT)
            while True:
                try:
                    socket.create_connection((host, int(port)), 30).close()
                except ConnectionError:
                    break
            process.send_signal(signal.SIGINT)
            assert client.ended()
        said = process.stderr.read()
        assert process.wait(TIMEOUT) == 0
        assert "Traceback" not in said
        assert "after 10 s" not in said


@pytest.mark.parametrize("module", ["ninep", "ninep.cli.main"])
def test_it_can_be_run_as_a_module(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=False, timeout=TIMEOUT
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"ninep {ninep.__version__}\n", "")


def test_what_there_is_can_be_found() -> None:
    assert {name for name in dir(ninep) if not name.startswith("__")} == set(ninep.__all__)


def test_the_import_loads_nothing_that_an_interpreter_does_without() -> None:
    """Neither modules of the package nor typing, which costs more than all else of it."""
    program = "import sys; before = {*sys.modules}; import ninep; print(*sorted({*sys.modules} - before))"
    source = str(Path(ninep.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {source!r}); {program}"],
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout.split() == ["__future__", "ninep"]
    text = pydoc.plaintext.document(ninep)
    assert "class Server" in text
    assert "connect(" in text


def test_every_link_to_a_file_leads_to_one() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert len(links) > 5
    assert [link for link in links if not (TOP / link).exists()] == []


@pytest.mark.parametrize("name", ninep.__all__)
def test_every_name_of_the_package_is_there(name: str) -> None:
    assert getattr(ninep, name).__name__
