"""Manual pages: made of the commands' own help, without mistakes in their roff."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from ninep.cli.main import COMMANDS
from ninep.cli.manual import escaped, main, pages


@pytest.fixture(scope="module")
def made():
    return pages()


def shown(text: str) -> str:
    """A page as man(1) shows it, and no warnings."""
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-P-cbou", "-ww", "-k", "-rLL=300n"],
        input=text,
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    )
    assert done.stderr == ""
    return done.stdout


def test_one_for_each_command(made):
    assert {f"ninep-{name}.1" for name in COMMANDS} | {"ninep.1"} <= made.keys()
    assert {"ninep-config-check.1", "ninep-config-show.1"} <= made.keys()


@pytest.mark.parametrize("section", ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "SEE ALSO"])
def test_the_sections_of_man_pages(made, section):
    for name, text in made.items():
        if section != "OPTIONS" or name not in {"ninep-config-check.1", "ninep-config-schema.1"}:
            assert f".SH {section}\n" in text or (section == "OPTIONS" and "OPTIONS\n" in text), name


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
def test_what_is_shown(made):
    for text in made.values():
        shown(text)
    page = shown(made["ninep-serve.1"])
    assert "ninep-serve - Serve folders over 9P\n" in page
    assert "ninep serve ~/a --export b=/data/b,ro" in page
    assert "-l, --listen ADDRESS" in page
    assert "\nLIMITS\n" in page
    assert "ninep-get(1)," in shown(made["ninep.1"])


def test_what_groff_would_change():
    assert escaped("-r 'C:\\a' ~x") == r"\-r \(aqC:\ea\(aq \(tix"


def test_they_are_written(tmp_path, made):
    main(str(tmp_path / "man"))
    assert {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "man").iterdir()} == made
