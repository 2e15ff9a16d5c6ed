"""The promise of NINEP_REQUIRE: a required test that cannot run fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parent.parent
TEST = """
import pytest

@pytest.mark.guest
def test_one():
    pytest.skip("no virtual machine here")

@pytest.mark.guest
@pytest.mark.skipif(True, reason="no virtual machine here either")
def test_two():
    pass

def test_three():
    pytest.skip("not required")
"""
OF_A_DRIVER = """
import pytest
from ninep.drivers.memory import MemoryDriver
from ninep.node import User
from ninep.testing.suite import Capabilities
from ninep.testing.suite.case import Suite

pytestmark = pytest.mark.guest

class TestAll(Suite):
    capabilities = Capabilities(hard_links=False)
    from ninep.testing.suite.moves import RenameTests as TestRename

    @pytest.fixture
    def root(self):
        return MemoryDriver().attach(User())
"""


def outcome(folder: Path, require: str, test: str = TEST) -> str:
    (folder / "test_it.py").write_text(test)
    argv = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-c", "pyproject.toml"]
    environment = os.environ | {"NINEP_REQUIRE": require}
    done = subprocess.run([*argv, folder], cwd=TOP, env=environment, capture_output=True, text=True, check=False)
    return f"{done.returncode} {done.stdout}"


def test_a_skip_is_a_skip_when_nothing_is_required(tmp_path: Path) -> None:
    told = outcome(tmp_path, "")
    assert told.startswith("0")
    assert "3 skipped" in told


@pytest.mark.parametrize("require", ["guest", "peer,guest"])
def test_a_required_skip_fails_and_tells_the_reason(tmp_path: Path, require: str) -> None:
    told = outcome(tmp_path, require)
    assert told.startswith("1")
    assert "1 failed, 1 skipped, 1 error" in told
    assert "no virtual machine here either" in told


def test_a_required_marker_that_no_test_ran_with_fails(tmp_path: Path) -> None:
    told = outcome(tmp_path, "wine")
    assert told.startswith("1")
    assert "no test ran that is marked wine" in told


def test_what_a_driver_says_that_it_cannot_do_is_not_required(tmp_path: Path) -> None:
    told = outcome(tmp_path, "guest", OF_A_DRIVER)
    assert told.startswith("0")
    assert "the driver has no hard links" in told


LEAVES = """
import subprocess, threading
from tests.support import leftovers

leftovers.LIMIT = 0.0

def test_one():
    threading.Thread(target=threading.Event().wait, name="forgotten", daemon=True).start()
    global process
    process = subprocess.Popen(["sleep", "1000"])

def test_two():
    pass
"""


ENDS = """
import os, signal
from tests.support.leftovers import children

def test_three():
    for one in children():
        os.kill(one, signal.SIGKILL)
        os.waitpid(one, 0)
"""


def test_what_a_module_leaves_behind_is_its_failure(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(LEAVES)
    (tmp_path / "test_other.py").write_text(ENDS)
    argv = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-p", "no:randomly"]
    argv += ["-c", "pyproject.toml", str(tmp_path)]
    done = subprocess.run(argv, cwd=TOP, capture_output=True, text=True, check=False)
    assert "3 passed, 1 error" in done.stdout
    assert "left behind by the tests of this module: process " in done.stdout
    assert "sleep 1000" in done.stdout
    assert "thread forgotten" in done.stdout
    assert "ERROR at teardown of test_two" in done.stdout


OF_A_SESSION = """
import subprocess
import pytest
from tests.support import leftovers

leftovers.LIMIT = 0.0

@pytest.fixture(scope="session")
def sleeping():
    process = subprocess.Popen(["sleep", "1000"])
    yield process
    process.kill()
    process.wait()

def test_one():
    pass

def test_two(sleeping):
    assert sleeping.poll() is None
"""


def test_what_a_session_starts_stays_as_long(tmp_path: Path) -> None:
    """With the conftest in a folder below, as here: a fixture of a session belongs to the folder above."""
    below = tmp_path / "below"
    below.mkdir()
    (below / "conftest.py").write_text("from tests.conftest import nothing_left_behind, pytest_configure\n")
    (below / "test_it.py").write_text(OF_A_SESSION)
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", "-c", "pyproject.toml"]
    done = subprocess.run(
        [*argv, "--rootdir", str(tmp_path), str(below)], cwd=TOP, capture_output=True, text=True, check=False
    )
    assert "2 passed" in done.stdout
    assert "error" not in done.stdout
