"""The scripts of shells, and what they are answered."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest
from tests.support.client import TIMEOUT

from ninep.cli.completion import SHELLS, VARIABLE
from ninep.cli.main import COMMANDS

NINEP = f'#!/bin/sh\nexec {sys.executable} -m ninep.cli.main "$@"\n'
PRESS_TAB = """
source <(ninep completion bash)
COMP_WORDS=({words}) COMP_CWORD={index}
_ninep_completion ninep
printf "%s\\n" "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize("shell", SHELLS)
def test_the_scripts(ninep, shell):
    done = ninep("completion", shell)
    assert (done.status, done.err) == (0, "")
    assert f"{VARIABLE}={shell}_complete" in done.out.decode()


def test_an_unknown_shell(ninep):
    assert ninep("completion", "rc").status == 2


@pytest.fixture
def tab(tmp_path):
    """`tab("ninep", "se")`: what bash offers for the last of the words."""
    if shutil.which("bash") is None:
        pytest.skip("needs bash")
    (tmp_path / "ninep").write_text(NINEP)
    (tmp_path / "ninep").chmod(0o755)

    def press(*words):
        script = PRESS_TAB.format(words=" ".join(f"'{word}'" for word in words), index=len(words) - 1)
        done = subprocess.run(
            ["bash", "--norc", "-c", script],
            env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=True,
        )
        assert done.stderr == ""
        return done.stdout.split()

    return press


def test_commands_in_bash(tab):
    assert tab("ninep", "") == list(COMMANDS)
    assert tab("ninep", "ch") == ["chmod", "chown"]
    assert tab("ninep", "config", "s") == ["schema", "show"]


def test_options_and_their_words_in_bash(tab):
    assert tab("ninep", "ls", "--dia") == ["--dialect"]
    assert tab("ninep", "ls", "--dialect", "9P2000") == ["9P2000.L", "9P2000.u", "9P2000"]
    assert tab("ninep", "serve", "--squash", "") == ["none", "root", "all", "peer"]
    assert "--map-uids" in tab("ninep", "serve", "--")
