"""``ninep tls``: a CA of one's own, used by the server, our client and openssl."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from tests.cli.conftest import Done
from tests.serving import Server

Ninep = Callable[..., Done]


@pytest.fixture
def folder(ninep: Ninep, tmp_path: Path) -> Path:
    """A CA, a server and alice."""
    folder = tmp_path / "tls"
    assert ninep("tls", "init", folder, "--host", "127.0.0.1", "--host", "files.example").status == 0
    assert ninep("tls", "client", folder, "alice").status == 0
    return folder


def test_who_has_a_certificate_gets_in_until_it_is_revoked(
    ninep: Ninep, folder: Path, tmp_path: Path, export: Path
) -> None:
    said = ninep("tls", "server", folder, "--host", "127.0.0.1").out.decode()
    listen = said.split("--listen ")[1].strip().replace("::5640", ":127.0.0.1:0")
    file = tmp_path / "ninep.toml"
    file.write_text(f"listen = ['{listen}']\ncontrol = '{tmp_path}/control'\n[exports.'']\ntarget = '{export}'\n")
    ninep("tls", "client", folder, "bob")
    with Server(f"--config={file}", listen=(), addresses=1) as server:
        place = f"tls://127.0.0.1:{re.findall(r'listening on tls:[^ ]*?:([0-9]+),', server.said())[0]}/"

        def ls(name: str) -> Done:
            return ninep("ls", place, "--tls-ca", folder / "ca.pem", "--tls-cert", folder / f"{name}.pem")

        assert [ls("alice").status, ls("bob").status] == [0, 0]
        assert ninep("tls", "revoke", folder, "alice").status == 0
        assert ninep("ctl", "reload", "--control", tmp_path / "control").status == 0
        assert [ls("alice").status, ls("bob").status] == [1, 0]
        server.wait_for("certificate revoked")
        ninep("tls", "revoke", folder, "bob")
        ninep("tls", "client", folder, "alice")  # another, under the same name
        assert ninep("ctl", "reload", "--control", tmp_path / "control").status == 0
        assert [ls("alice").status, ls("bob").status] == [0, 1]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the program openssl")
@pytest.mark.parametrize(("file", "purpose"), [("server", "sslserver"), ("alice", "sslclient")])
def test_openssl_finds_them_good(folder: Path, file: str, purpose: str) -> None:
    """By the strict rules of RFC 5280, and for nothing else."""
    verify = ["openssl", "verify", "-x509_strict", "-CAfile", str(folder / "ca.pem"), "-crl_check"]
    verify += ["-CRLfile", str(folder / "crl.pem"), "-purpose"]
    for asked in ("sslserver", "sslclient"):
        done = subprocess.run([*verify, asked, str(folder / f"{file}.pem")], capture_output=True, check=False)
        assert (done.returncode == 0) == (asked == purpose), done.stderr


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_keys_are_for_their_user_alone(folder: Path) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in (*folder.iterdir(), folder)}
    assert modes == {
        "tls": 0o700, "ca.pem": 0o644, "crl.pem": 0o644, "ca-key.pem": 0o600, "server.pem": 0o600, "alice.pem": 0o600,
        "issued.txt": 0o600,
    }  # fmt: skip


def test_a_ca_is_never_replaced(ninep: Ninep, folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = ninep("tls", "init", folder)
    assert (done.status, done.err) == (
        1, f"ninep tls init: {folder} has a CA: 'ninep tls server {folder}' renews what it signs\n",
    )  # fmt: skip
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("name", ["", "../x", "ca", "server", "crl", "a/b", "-x", "ü", "x" * 65, "CA", "Ca-Key"])
def test_names_that_no_client_can_have(ninep: Ninep, folder: Path, name: str) -> None:
    done = ninep("tls", "client", folder, "--", name)
    assert done.status == 2
    assert "cannot be the name of a client" in done.err


def test_those_that_were_renewed_are_revoked_too(ninep: Ninep, folder: Path) -> None:
    """Otherwise nobody could revoke a key that was stolen, once there is another of its name."""
    crl, numbers = folder / "crl.pem", set()
    for _ in range(2):
        numbers.add(x509.load_pem_x509_certificate((folder / "alice.pem").read_bytes()).serial_number)
        ninep("tls", "client", folder, "alice")
    (folder / "alice.pem").unlink()
    ninep("tls", "client", folder, "alice.b")
    assert ninep("tls", "revoke", folder, "alice").status == 0
    revoked = {one.serial_number for one in x509.load_pem_x509_crl(crl.read_bytes())}
    assert revoked > numbers
    assert x509.load_pem_x509_certificate((folder / "alice.b.pem").read_bytes()).serial_number not in revoked


@pytest.mark.parametrize("name", ["ca", "server", "../tls/alice"])
def test_names_that_are_no_clients_are_not_revoked(ninep: Ninep, folder: Path, name: str) -> None:
    before = (folder / "crl.pem").read_bytes()
    assert ninep("tls", "revoke", folder, name).status == 2
    assert (folder / "crl.pem").read_bytes() == before


def test_what_is_not_there(ninep: Ninep, folder: Path, tmp_path: Path) -> None:
    done = ninep("tls", "client", tmp_path / "none", "bob")
    assert (done.status, done.err) == (1, f"ninep tls client: {tmp_path}/none/ca.pem: No such file or directory\n")
    done = ninep("tls", "revoke", folder, "bob")
    assert (done.status, done.err) == (1, f"ninep tls revoke: {folder}/bob.pem: No such file or directory\n")
    (folder / "ca-key.pem").write_text("")
    assert ninep("tls", "client", folder, "bob").err.startswith(
        f"ninep tls client: {folder}: the files of the CA are damaged: "
    )


def test_without_the_library_there_is_a_sentence(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['cryptography'] = None\nfrom ninep.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "tls", "init", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (
        1, "ninep tls init: this needs the library cryptography: pip install 'ninep[tls]'\n",
    )  # fmt: skip
