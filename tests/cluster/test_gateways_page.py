"""The commands and the configuration of docs/gateways.md are what the programs take."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from tests.cluster.gateway import NINEP
from tests.cluster.juicefs import JuiceFS, Redis
from tests.cluster.mounts import needs_fuse
from tests.cluster.service import program

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

PAGE = (Path(__file__).parents[2] / "docs/gateways.md").read_text("utf-8")


def test_the_configuration_of_haproxy(tmp_path: Path) -> None:
    (block,) = re.findall(r"```\n(frontend .*?)```", PAGE, re.DOTALL)
    (tmp_path / "haproxy.cfg").write_text(block)
    done = subprocess.run(
        [program("haproxy"), "-c", "-f", str(tmp_path / "haproxy.cfg")], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "[ALERT]" not in done.stderr


def test_two_mounts_of_juicefs_have_the_same_inode_numbers_and_locks(tmp_path: Path) -> None:
    needs_fuse()
    with Redis(tmp_path / "redis") as redis:
        engine = JuiceFS(tmp_path / "juicefs", redis.url)
        with engine.mounted(tmp_path / "one"), engine.mounted(tmp_path / "two"):
            argv = [*NINEP, "probe", str(tmp_path / "one"), str(tmp_path / "two")]
            said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    answers = dict(re.split(r"  +", line, maxsplit=1) for line in said.splitlines() if "  " in line)
    assert (answers["same inodes"], answers["shared locks"]) == ("yes", "yes")
