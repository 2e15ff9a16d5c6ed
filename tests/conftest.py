"""What tests of every room share: nothing is skipped in silence, and a served folder is one fixture
away.

$NINEP_REQUIRE names markers (`guest,peer,wine`) whose tests this run must be able to do: a skip of
such a test fails
then, and so does a run that ran no such test.  The test command of the README sets it.
"""

from __future__ import annotations

import gc
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from tests.serving import Server, keeps_user_attributes
from tests.support import worker_threads
from tests.support.leftovers import leftovers

settings.register_profile("untimed", deadline=None)  # a machine may be busy: no test asserts how long an example takes
settings.load_profile("untimed")
REQUIRED = frozenset(filter(None, os.environ.get("NINEP_REQUIRE", "").split(",")))
RAN: set[str] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    required = REQUIRED.intersection(mark.name for mark in item.iter_markers())
    if report.skipped and required and not hasattr(report, "wasxfail") and not declared(report):
        report.outcome = "failed"
        report.longrepr = f"NINEP_REQUIRE wants {', '.join(sorted(required))}, but: {report.longrepr}"
    return report


def declared(report: pytest.TestReport) -> bool:
    """Whether the acceptance suite skipped it for what the driver says that it cannot do: no machine
    can run that test.
    """
    return isinstance(report.longrepr, tuple) and Path(report.longrepr[0]).parts[-4:-1] == ("ninep", "testing", "suite")


def pytest_collection_finish() -> None:
    """What was collected stays, and is looked through no more: a full collection takes a fifth of a
    second with it, and thousands of tests ask for one.
    """
    gc.collect()
    gc.freeze()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call":
        RAN.update(REQUIRED.intersection(report.keywords))


def pytest_sessionfinish(session: pytest.Session) -> None:
    missing = REQUIRED - RAN
    if missing and not hasattr(session.config, "workerinput"):  # a worker of xdist runs a part; its controller sees all
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print(f"\nNINEP_REQUIRE: no test ran that is marked {', '.join(sorted(missing))}")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """What a test that calls ``ninep serve`` in this process sets up is gone with it."""
    loggers = [logging.getLogger(name) for name in ("ninep", "ninep.audit")]
    before = [(log.handlers[:], log.level, log.propagate) for log in loggers]
    yield
    for log, (handlers, level, propagate) in zip(loggers, before, strict=True):
        if log.handlers != handlers:
            log.handlers[:] = handlers
        if log.level != level:
            log.setLevel(level)
        log.propagate = propagate


class LongFixtures:
    """What a fixture of a package or a session starts may stay. A plugin of its own: the hooks of this
    file are not called for fixtures of a session, which belong to the folder above.
    """

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
        if fixturedef.scope not in {"package", "session"}:
            return (yield)
        with leftovers.permitted():
            return (yield)


@pytest.fixture(autouse=True, scope="module")
def nothing_left_behind() -> Iterator[None]:
    """No thread and no process outlives the tests of a module."""
    leftovers.begin()
    yield
    left = leftovers.found()
    assert not left, f"left behind by the tests of this module: {', '.join(left)}"


@pytest.fixture(autouse=True)
def worker_threads_end() -> Iterator[None]:
    yield
    worker_threads.end()


@pytest.fixture
def export() -> Iterator[Path]:
    """An empty folder that any user can reach, on a filesystem with `user.` attributes."""
    folder = Path(tempfile.mkdtemp(prefix="ninep-export."))
    folder.chmod(0o755)
    try:
        if not keeps_user_attributes(folder):
            pytest.skip(f"the filesystem of {folder.parent} keeps no user attributes (set TMPDIR to one that does)")
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """`serve(folder, *options, user=UID)`: our program, serving until the test ends."""
    with ExitStack() as servers:
        yield lambda folder, *options, **named: servers.enter_context(Server(folder, *options, **named))


def pytest_configure(config: pytest.Config) -> None:
    """Programs that the tests start hear SIGHUP, also where the tests themselves run under nohup(1):
    an ignored signal stays ignored through execve(2), a handler does not.
    """
    hang_up = getattr(signal, "SIGHUP", None)
    if hang_up is not None and signal.getsignal(hang_up) is signal.SIG_IGN:
        signal.signal(hang_up, lambda *_: None)
    config.pluginmanager.register(LongFixtures())
