"""Every Python example of the documentation passes ``mypy --strict``, as a reader's editor would
have it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parent.parent
PAGES = [TOP / "README.md", TOP / "CONTRIBUTING.md", TOP / "SECURITY.md", *sorted((TOP / "docs").glob("*.md"))]
ONE_MODULE = {"drivers.md"}
"""Pages whose blocks go on where the one before them ended."""


def examples(page: Path) -> list[str]:
    """Its programs; each stands at the line that it has on the page."""
    text = page.read_text("utf-8")
    found = [
        (text[: block.start(1)].count("\n"), block[1])
        for block in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]
    if page.name in ONE_MODULE and found:
        lines: list[str] = []
        for line, code in found:
            lines += [""] * (line - len(lines)) + code.splitlines()
        return ["\n".join(lines) + "\n"]
    return ["\n" * line + code for line, code in found]


def test_strictly(tmp_path: Path) -> None:
    count = 0
    for page in PAGES:
        for number, code in enumerate(examples(page)):
            (tmp_path / f"{page.stem.lower()}_{number}.py").write_text(code, "utf-8")
            count += 1
    assert count >= 6
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir", str(tmp_path / "cache"), "."],
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(TOP / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_mistake_is_told_at_its_line(tmp_path: Path) -> None:
    page = tmp_path / "drivers.md"
    page.write_text("a page\n\n```python\nx = 1\n```\n\n```python\ny: str = x\n```\n", "utf-8")
    (code,) = examples(page)
    assert code.splitlines().index("y: str = x") == 7
