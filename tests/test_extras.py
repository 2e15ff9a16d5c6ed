"""Extras that are not installed: what needs one says so in one line, with exit status 1."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from tests.support.client import TIMEOUT

TOP = Path(__file__).parent.parent
OF_DEVELOPERS = {"dev", "docs", "engines", "fuzz"}
NEEDED = {
    "metrics": ("prometheus_client", ["serve", "{folder}", "--metrics", "9564"], "ninep serve: --metrics"),
    "s3": ("botocore", ["serve", "s3://bucket"], "ninep serve: s3:"),
    "tls": ("cryptography", ["tls", "init", "{folder}"], "ninep tls init: this"),
}
"""Of each extra: the library, what needs it, and how the sentence begins."""
WITHOUT = (
    "import sys; sys.modules[sys.argv.pop(1)] = None\nfrom ninep.cli.main import main\nsys.exit(main(sys.argv[1:]))"
)


def test_each_extra_is_here() -> None:
    with (TOP / "pyproject.toml").open("rb") as file:
        assert set(tomllib.load(file)["project"]["optional-dependencies"]) - OF_DEVELOPERS == set(NEEDED)


@pytest.mark.parametrize("extra", NEEDED)
def test_one_that_is_not_installed_is_a_sentence(extra: str, tmp_path: Path) -> None:
    library, words, begins = NEEDED[extra]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, library, *(word.format(folder=tmp_path) for word in words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )
    said = f"{begins} needs the library {library}: pip install 'ninep[{extra}]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)
