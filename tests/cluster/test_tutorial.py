"""The commands of docs/tutorial-cluster.md, as they stand there, in one bash. Ports are others, since more
than one may run at a time.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from tests.cluster.mounts import is_mounted, needs_fuse, unmounted
from tests.cluster.service import LIMIT, free_ports, program, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

PAGE = (Path(__file__).parents[2] / "docs/tutorial-cluster.md").read_text("utf-8")
PORTS = ("5640", "5641", "6379")
PROGRAMS = ("redis-server", "redis-cli", "juicefs")


def commands() -> str:
    script = "\n".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL))
    for port, other in zip(PORTS, free_ports(len(PORTS)), strict=True):
        script = script.replace(port, str(other))
    return script


def test_every_command(tmp_path: Path) -> None:
    needs_fuse()
    folders = [str(Path(sys.executable).parent), *(str(Path(program(name)).parent) for name in PROGRAMS)]
    environment = {**os.environ, "PATH": os.pathsep.join([*folders, os.environ["PATH"]]), "HOME": str(tmp_path)}
    runtime = tmp_path / "run"
    runtime.mkdir(mode=0o700)
    here = tmp_path / "here"
    here.mkdir()
    with ExitStack() as stack, (tmp_path / "said").open("w+") as said:
        for name in ("one", "two"):
            stack.enter_context(unmounted(here / name))
        bash = subprocess.Popen(
            ["bash", "-e", "-c", commands()],
            cwd=here,
            env={**environment, "XDG_RUNTIME_DIR": str(runtime)},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = bash.wait(LIMIT)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(bash.pid, signal.SIGKILL)
        said.seek(0)
        text = said.read()
        assert status == 0, text
        for name in ("one", "two"):
            wait_until(lambda name=name: not is_mounted(here / name), lambda: text)  # type: ignore[misc]
    lines = text.splitlines()
    assert [line for line in lines if line in ("first", "second")] == ["first", "first", "second", "first"]
    answers = dict(re.split(r"  +", line, maxsplit=1) for line in lines if re.match(r"(same|shared) \w+  +", line))
    assert answers["shared locks"] == answers["same inodes"] == "yes"
