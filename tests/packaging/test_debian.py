"""The Debian packages: built and installed in a clean tree, and the services run by systemd there,
under all that the units forbid them.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.packaging import tree
from tests.packaging.tree import Tree

pytestmark = [
    pytest.mark.debian,
    pytest.mark.slow,
    pytest.mark.skipif(tree.why_not() is not None, reason=str(tree.why_not())),
]
PROBE = Path(__file__).with_name("probe.sh")
PROBE_SERVICE = """
[Unit]
Wants=multi-user.target
After=multi-user.target

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'exec /probe.sh > /probe.out'
ExecStopPost=/usr/bin/systemctl exit 0
TimeoutStartSec=600
"""
# `--ignore-builtin-builddeps`: build-essential has compilers, and there is nothing to compile.
BUILD = "cd /build/ninep && dpkg-buildpackage --ignore-builtin-builddeps -us -uc -b"
EXPOSURE = 2.0  # of `systemd-analyze security`; 1.8 with systemd 257


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """A tree with the packages built, in /build."""
    try:
        tar = tree.cached()
    except AssertionError as error:
        pytest.skip(f"no tree of Debian: {error}")
    root = tmp_path_factory.mktemp("debian") / "tree"
    made = Tree(root, tar)
    made.copy_sources()
    made.inside(BUILD)
    yield made
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def installed(debian: Tree) -> Tree:
    debian.inside("dpkg -i /build/*.deb")
    return debian


@pytest.fixture(scope="module")
def seen(installed: Tree) -> dict[str, str]:
    """What probe.sh saw, run by systemd."""
    root = installed.root
    (root / "usr/sbin/policy-rc.d").unlink()
    shutil.copy(PROBE, root / "probe.sh")
    (root / "etc/systemd/system/probe.service").write_text(PROBE_SERVICE)
    assert installed.boot("probe.service") == 0
    text = (root / "probe.out").read_text()
    return dict(re.findall(r"^(\w+): ?(.*)$", text, re.MULTILINE))


def test_lintian_finds_nothing(debian: Tree) -> None:
    said = debian.inside("lintian --allow-root --fail-on error,warning,info /build/*.changes")
    assert said == ""


def test_what_is_installed(installed: Tree) -> None:
    assert re.fullmatch(r"ninep \d+\.\d+\.\d+\n", installed.inside("ninep --version"))
    files = installed.inside("dpkg -L ninep").splitlines()
    assert {
        "/etc/ninep/ninep.toml",
        "/usr/lib/systemd/system/ninep.service",
        "/usr/lib/systemd/system/ninep.socket",
        "/usr/lib/systemd/system/ninep@.service",
        "/usr/lib/sysusers.d/ninep.conf",
        "/usr/lib/tmpfiles.d/ninep.conf",
        "/usr/share/bash-completion/completions/ninep",
        "/usr/share/fish/vendor_completions.d/ninep.fish",
        "/usr/share/man/man1/ninep-serve.1.gz",
        "/usr/share/zsh/vendor-completions/_ninep",
    } <= set(files)
    assert "/usr/sbin/nologin" in installed.inside("getent passwd ninep")


def test_completion(installed: Tree) -> None:
    """As bash calls it: the completion of `ninep serve --read-`."""
    script = (
        ". /usr/share/bash-completion/completions/ninep && COMP_WORDS=(ninep serve --read-) COMP_CWORD=2 && "
        '_ninep_completion ninep && echo "${COMPREPLY[@]}"'
    )
    assert installed.inside(f"bash -c '{script}'") == "--read-only\n"


def test_a_pre_shared_key(installed: Tree) -> None:
    """Python's ssl has them since 3.13, which Debian has."""
    shutil.copy(PROBE.with_name("psk.sh"), installed.root / "psk.sh")
    said = installed.inside("bash /psk.sh")
    assert "1234" in said
    assert said.endswith("refused: 1\n")


def test_the_service_runs_under_its_sandbox(seen: dict[str, str]) -> None:
    """Seccomp's filter mode, no capabilities, NoNewPrivileges."""
    assert (seen["enabled"], seen["idle"], seen["active"]) == ("disabled", "inactive", "active")
    assert (seen["seccomp"], seen["privileges"]) == ("2", "0000000000000000 1")
    assert float(seen["exposure"]) <= EXPOSURE
    assert seen["verify"] == "0"
    assert seen["log"] == "0"  # no tracebacks, nothing was refused that the server needs


@pytest.mark.parametrize("verb", ["put", "chmod", "chown", "xattr", "ln", "mv", "space", "control"])
def test_what_clients_do_there(seen: dict[str, str], verb: str) -> None:
    assert seen[verb] == "0"


def test_files(seen: dict[str, str]) -> None:
    assert (seen["content"], seen["owner"], seen["host"]) == ("hello", "-rwsr-xr-x", "ninep 600")
    assert seen["user"] == "ninep 660"  # the socket


def test_reload(seen: dict[str, str]) -> None:
    assert (seen["broken"], seen["still"]) == ("1", "hello")
    assert (seen["reload"], seen["exports"], seen["same"]) == ("0", "files more", "0")


def test_upgrade(seen: dict[str, str]) -> None:
    assert seen["upgrade"] == "0"
    assert seen["follows"] == "0", "systemd has the new process as the main one"
    assert (seen["upgraded"], seen["serves"], seen["restarts"]) == ("active", "hello", "0")


def test_the_template_writes_in_its_directories_alone(seen: dict[str, str]) -> None:
    assert seen["template"] == "active"
    assert (seen["denied"], seen["granted"]) == ("1", "0")
    assert "Read-only file system" in seen["reason"]
    assert seen["shared"] == "hello"  # its end has not taken the directory of the sockets away


def test_a_front_end_is_stored_over_a_restart(seen: dict[str, str]) -> None:
    assert (seen["stored"], seen["front_end"]) == ("2", "connected kept")


def test_real_owners(seen: dict[str, str]) -> None:
    """With the drop-in of docs/service.md."""
    assert (seen["run_as"], seen["real"]) == ("1", "33 34")
    assert seen["beside"] == "hello", "the other service has its directories still"


def test_ends(seen: dict[str, str]) -> None:
    assert (seen["restarted"], seen["stop"], seen["result"]) == ("hello", "0", "success")


def test_socket_activation(seen: dict[str, str]) -> None:
    assert (seen["waiting"], seen["activated"]) == ("inactive", "hello")
