"""Signals at any moment of the start: what was asked for happens when the server stands, and nothing is
left behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.serving import Server, patched
from tests.support.client import TIMEOUT

from ninep.app import starting

HANG_UP = getattr(signal, "SIGHUP", None)
pytestmark = pytest.mark.skipif(HANG_UP is None, reason="this system has no such signals")
ENDING = [signal.SIGTERM, signal.SIGINT, *([HANG_UP] if HANG_UP is not None else [])]
SEND = """
import os, sys
from importlib import import_module
def at(module, name, act):
    module = import_module(module)
    whole = getattr(module, name)
    def acting(*given, **named):
        act()
        return whole(*given, **named)
    setattr(module, name, acting)
"""
MOMENTS = {
    "before the command is imported": ("ninep.cli.main", "import_module"),
    "before the options are read": ("ninep.app.settings", "merged"),
    "before the log": ("ninep.app.logging", "set_up"),
    "before the exports": ("ninep.app.run", "exports_of"),
    "before the control socket": ("ninep.app.run", "_control"),
    "before the event loop": ("ninep.app.process", "tune_garbage_collector"),
    "before signals are heard": ("ninep.app.run", "EndSignals"),
    "before it listens": ("ninep.transport.listeners", "bind"),
    "before it says so": ("ninep.app.run", "announce"),
}
OF_WORKERS = {
    "before the exports": ("ninep.app.run", "exports_of"),
    "before it listens": ("ninep.transport.listeners", "bind"),
    "before there are workers": ("ninep.app.run_workers", "Pool"),
}


def sending(moment: tuple[str, str], number: int) -> str:
    """What is run before the program."""
    unhurried = "from ninep.app import starting; starting.START_TIMEOUT = 1000\n"  # a machine may be busy
    return f"{SEND}{unhurried}at({moment[0]!r}, {moment[1]!r}, lambda: os.kill(os.getpid(), {int(number)}))"


def run(patch: str, tmp_path: Path, *options: str) -> subprocess.Popen[str]:
    (tmp_path / "export").mkdir(exist_ok=True)
    sockets = f"--listen=unix:{tmp_path}/socket", f"--control={tmp_path}/control"
    return subprocess.Popen(
        [*patched(patch), "serve", str(tmp_path / "export"), *sockets, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def clean_end(process: subprocess.Popen[str], tmp_path: Path) -> None:
    _, said = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert os.listdir(tmp_path) == ["export"]


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_the_end(tmp_path: Path, moment: tuple[str, str]) -> None:
    clean_end(run(sending(moment, signal.SIGTERM), tmp_path), tmp_path)


@pytest.mark.parametrize("moment", OF_WORKERS.values(), ids=OF_WORKERS)
def test_the_end_with_workers(tmp_path: Path, moment: tuple[str, str]) -> None:
    clean_end(run(sending(moment, signal.SIGTERM), tmp_path, "--workers=2"), tmp_path)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("number", ENDING[1:], ids=lambda number: number.name)
def test_the_end_by_another_signal(tmp_path: Path, number: int, workers: str) -> None:
    clean_end(run(sending(OF_WORKERS["before the exports"], number), tmp_path, f"--workers={workers}"), tmp_path)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("moment", OF_WORKERS.values(), ids=OF_WORKERS)
def test_a_change_of_the_configuration(
    serve: Callable[..., Server], tmp_path: Path, moment: tuple[str, str], workers: str
) -> None:
    """SIGHUP: the file is read again as soon as the server stands."""
    if moment[1] == "Pool" and workers == "1":
        moment = ("ninep.app.run", "EndSignals")
    before = f"listen = 'unix:{tmp_path}/socket'\n[exports.a]\ntarget = 'mem:'\n"
    (tmp_path / "ninep.toml").write_text(before)
    (tmp_path / "after").write_text(before + "[exports.b]\ntarget = 'mem:'\n")
    change = f"(os.rename({str(tmp_path / 'after')!r}, {str(tmp_path / 'ninep.toml')!r}), os.kill(os.getpid(), {int(ENDING[2])}))"
    once = f"lambda: os.path.exists({str(tmp_path / 'after')!r}) and {change}"
    patch = f"{SEND}at({moment[0]!r}, {moment[1]!r}, {once})"
    server = serve(f"--config={tmp_path}/ninep.toml", f"--workers={workers}", listen=(), addresses=1, patch=patch)
    server.wait_for("ninep: reloaded: 2 exports, 1 opened")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_one_that_hangs_is_cut_short(tmp_path: Path, workers: str) -> None:
    """An export on a device that does not answer: the first signal waits for a bounded time."""
    patch = f"""{SEND}
from ninep.app import starting
starting.START_TIMEOUT = 0.1
at('ninep.app.run', 'exports_of', lambda: (os.write(2, b'hangs\\n'), os.read(os.pipe()[0], 1)))"""
    process = run(patch, tmp_path, f"--workers={workers}")
    assert process.stderr
    assert process.stderr.readline() == "hangs\n"
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, "something waits" in said) == (1, True)


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    patch = f"{SEND}at('ninep.app.run', 'exports_of', lambda: (os.write(2, b'hangs\\n'), os.read(os.pipe()[0], 1)))"
    process = run(patch, tmp_path)
    assert process.stderr
    assert process.stderr.readline() == "hangs\n"
    process.send_signal(signal.SIGTERM)
    while process.poll() is None:  # two that wait are one (signal(7))
        process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, "something waits" in said) == (1, True)


def test_a_start_that_fails_says_why(tmp_path: Path) -> None:
    patch = sending(MOMENTS["before the exports"], signal.SIGTERM)
    process = run(patch, tmp_path, "--export=b=/nowhere/at/all")
    _, said = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, "/nowhere/at/all" in said) == (1, True)


class TestMasks:
    @pytest.fixture(autouse=True)
    def mask(self) -> Iterator[None]:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        yield
        while pending := signal.sigpending() & set(ENDING):
            signal.sigwait(pending)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def test_are_as_before_after_a_failure(self) -> None:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        starting.begin()
        starting.begin()
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) >= set(ENDING)
        starting.end()
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
        starting.end()
        starting.hand_over()

    def test_what_came_waits_for_who_hears_next(self) -> None:
        starting.begin()
        signal.raise_signal(signal.SIGTERM)  # to this thread: others of a test run do not block it
        starting.hand_over()
        assert signal.sigwait(ENDING) == signal.SIGTERM
        assert signal.SIGUSR1 not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
