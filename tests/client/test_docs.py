"""The examples of docs/client.md have the expected results."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.client import TIMEOUT

PAGE = Path(__file__).parents[2] / "docs" / "client.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example(number, memory, tmp_path):
    (tmp_path / "served").touch()
    code = EXAMPLES[number].replace("127.0.0.1:5640", f"127.0.0.1:{memory.port()}")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )
    assert (done.returncode, done.stderr) == (0, "")
    shown = ["b'first line\\nsecond line\\n'", "/ 0 100", "['served']"][number]
    assert shown in done.stdout
