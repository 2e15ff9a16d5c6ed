"""The units of systemd: as systemd-analyze(1) reads them, and what they promise to be."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ninep.cli.main import main

PACKAGING = Path(__file__).parents[2] / "packaging"
UNITS = PACKAGING / "systemd"
SERVICES = ("ninep.service", "ninep@.service")
EXPOSURE = 20  # tenths: the highest score of `systemd-analyze security` that is let through

no_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze: not installed (package systemd)"
)


def needs_systemd(test: Any) -> Any:
    """A test that must run where everything is installed."""
    return pytest.mark.debian(no_systemd(test))


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *words], check=False, capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units in a folder, with a program that exists here."""
    for source in UNITS.glob("ninep*.s*"):
        text = source.read_text().replace("/usr/bin/ninep", "/bin/true")
        (tmp_path / source.name.replace("@.", "@x.")).write_text(text)
    return tmp_path


@needs_systemd
@pytest.mark.parametrize("unit", ["ninep.service", "ninep@x.service", "ninep.socket"])
def test_systemd_finds_no_fault(units: Path, unit: str) -> None:
    done = analyze("verify", "--man=no", str(units / unit))
    assert str(units) not in done.stderr
    assert done.returncode == 0, done.stderr


@needs_systemd
def test_a_fault_would_be_found(units: Path) -> None:
    path = units / "ninep.service"
    path.write_text(path.read_text().replace("PrivateTmp=yes", "PrivateTemp=yes"))
    found = analyze("verify", "--man=no", str(path)).stderr
    assert "Unknown key" in found
    assert "'PrivateTemp'" in found


@needs_systemd
@pytest.mark.parametrize("unit", ["ninep.service", "ninep@x.service"])
def test_exposure(units: Path, unit: str) -> None:
    limit = ("security", "--offline=true", f"--threshold={EXPOSURE}")
    done = analyze(*limit, str(units / unit))
    assert done.returncode == 0, done.stdout
    path = units / unit
    path.write_text(path.read_text().replace("SystemCallFilter=~@privileged", "SystemCallFilter=@privileged"))
    assert analyze(*limit, str(path)).returncode != 0  # the limit is a limit


def test_the_template_is_the_service() -> None:
    """But for the names: what is put right in one is put right in the other."""
    one, template = ((UNITS / name).read_text() for name in SERVICES)
    template = template.partition("[Unit]")[1] + template.partition("[Unit]")[2]
    template = template.replace(" (%I)", "").replace("%i.toml", "ninep.toml").replace("ninep ninep/%i", "ninep")
    assert template == one


def test_the_configuration_has_no_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check", str(PACKAGING / "ninep.toml")]) == 0, capsys.readouterr()


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers: not installed")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give the folder to the user")
def test_user_and_folder(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for program in ("sysusers", "tmpfiles"):
        create = ["--create"] if program == "tmpfiles" else []
        subprocess.run(
            [f"systemd-{program}", *create, f"--root={tmp_path}", str(UNITS / f"ninep.{program}")], check=True
        )
    users = dict(line.split(":", 1) for line in (tmp_path / "etc/passwd").read_text().splitlines())
    uid = int(users["ninep"].split(":")[1])
    assert users["ninep"].endswith(":/var/lib/ninep:/usr/sbin/nologin")
    found = (tmp_path / "run/ninep").stat()
    assert (found.st_uid, found.st_mode & 0o7777) == (uid, 0o755)
