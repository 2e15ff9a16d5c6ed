"""``ninep service`` on a system that is not Windows. What it does there: ``tests/wine/test_service.py``."""

from __future__ import annotations

import sys

import pytest

from ninep.cli.main import main


@pytest.mark.skipif(sys.platform == "win32", reason="it is for Windows")
@pytest.mark.parametrize("command", ["install", "start", "stop", "reload", "status", "remove"])
def test_one_line_says_what_to_use_instead(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["service", command]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "systemd unit" in told.err
    assert told.err.count("\n") == 1
