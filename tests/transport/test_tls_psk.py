"""Pre-shared keys: a server and a client of ours in Python 3.13 or newer, and openssl."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import ninep
from ninep.transport import BadAddress, tls, tls_psk

SOURCE = Path(ninep.__file__).parent.parent
LIMIT = 60.0
KEYS = {"alice": "a1" * 32, "bob": "b2" * 32}
TVERSION = bytes.fromhex("13000000 64 ffff 00100000 0600 39503230 3030".replace(" ", ""))
HERE = hasattr(ssl.SSLContext, "set_psk_server_callback")


def newer_python() -> str | None:
    """A Python that has pre-shared keys."""
    known = sorted(Path.home().glob(".pyenv/versions/3.1[3-9]*/bin/python"))
    places = [
        sys.executable if HERE else None,
        shutil.which("python3.14"),
        shutil.which("python3.13"),
        *map(str, known),
    ]
    code = "import ssl; raise SystemExit(not (hasattr(ssl.SSLContext, 'set_psk_server_callback') and ssl.HAS_PSK))"
    return next((one for one in places if one and not subprocess.run([one, "-c", code], check=False).returncode), None)


@pytest.fixture(scope="module")
def python() -> str:
    found = newer_python()
    if found is None:
        pytest.skip("no Python 3.13 or newer here, whose ssl has pre-shared keys")
    return found


def environment() -> dict[str, str]:
    """The package, and the pure Python libraries that it needs, for another Python."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(SOURCE), str(Path(click.__file__).parent.parent)])}


def keys_file(path: Path, keys: dict[str, str], mode: int = 0o600) -> str:
    path.write_text("# who may connect\n" + "".join(f"{who}:{key}\n" for who, key in keys.items()))
    path.chmod(mode)
    return str(path)


@pytest.fixture
def served(python: str, tmp_path: Path) -> Iterator[str]:
    """HOST:PORT of a server: all who have a key may attach, and bob may change nothing."""
    keys = keys_file(tmp_path / "keys", KEYS)
    words = ["--listen", f"tls:127.0.0.1:0,psk={keys}", "--export", "f=mem:,allow=psk:alice,allow=psk:bob=ro"]
    server = subprocess.Popen(
        [python, "-m", "ninep", "serve", *words, "--cert-user", "psk:alice=1234:77", "--cert-user", "psk:bob=1:1"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert server.stderr is not None
    said = []
    for line in server.stderr:
        said.append(line)
        if found := re.search(r"listening on tls:(127\.0\.0\.1:\d+)", line):
            yield found[1]
            break
    server.terminate()
    rest = server.communicate(timeout=LIMIT)[1]
    assert server.returncode == 0, "".join(said) + rest
    assert "Traceback" not in rest


def run(python: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-m", "ninep", *words],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=LIMIT,
        check=False,
    )


def test_who_has_a_key_is_its_user(python: str, served: str, tmp_path: Path) -> None:
    alice, bob = (keys_file(tmp_path / who, {who: KEYS[who]}) for who in KEYS)
    top = f"tls://{served}/"
    assert run(python, "mkdir", f"{top}made", "--aname", "f", "--tls-psk", alice).returncode == 0
    told = run(python, "stat", f"{top}made", "--aname", "f", "--tls-psk", alice)
    assert "1234" in told.stdout, told
    refused = run(python, "mkdir", f"{top}more", "--aname", "f", "--tls-psk", bob)
    assert (refused.returncode, "Read-only" in refused.stderr) == (1, True), refused


def test_without_the_right_key(python: str, served: str, tmp_path: Path) -> None:
    """A wrong key, an unknown identity, and no key at all: none gets further than the handshake."""
    wrong = keys_file(tmp_path / "wrong", {"alice": KEYS["bob"]})
    unknown = keys_file(tmp_path / "unknown", {"eve": KEYS["alice"]})
    for words in (["--tls-psk", wrong], ["--tls-psk", unknown], []):
        refused = run(python, "ls", f"tls://{served}/", "--aname", "f", *words)
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1), refused
        assert "TLS" in refused.stderr


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl")
@pytest.mark.parametrize(("identity", "key", "version", "good"), [
    ("alice", KEYS["alice"], "-tls1_3", True),
    ("alice", KEYS["bob"], "-tls1_3", False),
    ("eve", KEYS["alice"], "-tls1_3", False),
    ("alice", KEYS["alice"], "-tls1_2", False),
])  # fmt: skip
def test_openssl(served: str, identity: str, key: str, version: str, good: bool) -> None:
    """It says Tversion, and gets Rversion."""
    words = ["-quiet", version, "-connect", served, "-psk_identity", identity, "-psk", key]
    with subprocess.Popen(["openssl", "s_client", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as client:  # fmt: skip
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(TVERSION)
        client.stdin.flush()
        got = client.stdout.read(7)
        client.kill()
    assert (got[4:5] == b"\x65") is good


def test_an_older_python_says_what_it_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(ssl.SSLContext, "set_psk_server_callback", raising=False)
    with pytest.raises(OSError, match=r"Python 3\.13 or newer; certificates do not: ninep tls init"):
        tls_psk.read_keys(keys_file(tmp_path / "keys", KEYS))


class TestFiles:
    @pytest.fixture(autouse=True)
    def _newer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Files are read alike by all."""
        monkeypatch.setattr(ssl.SSLContext, "set_psk_server_callback", None, raising=False)
        monkeypatch.setattr(ssl, "HAS_PSK", True, raising=False)

    def test_a_good_one(self, tmp_path: Path) -> None:
        keys = tls_psk.read_keys(keys_file(tmp_path / "keys", KEYS | {"a:b": "00" * 16}))
        assert keys == {"alice": b"\xa1" * 32, "bob": b"\xb2" * 32, "a:b": bytes(16)}

    @pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has no such modes")
    def test_one_that_others_may_read(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match=r"others may read the keys \(mode 640\): chmod 600"):
            tls_psk.read_keys(keys_file(tmp_path / "keys", KEYS, 0o640))

    @pytest.mark.parametrize(("text", "words"), [
        ("", "there is no key"),
        ("alice", "IDENTITY:KEY"),
        (f":{'00' * 16}", "IDENTITY:KEY"),
        ("alice:secret", "hexadecimal"),
        ("alice:0011", "16 to 64 bytes, this one 2"),
        (f"alice:{'00' * 65}", "this one 65"),
        (f"alice:{'00' * 16}\nalice:{'01' * 16}", "keys:2: 'alice' has two keys"),
        (f"{'x' * 257}:{'00' * 16}", "IDENTITY:KEY"),
    ])  # fmt: skip
    def test_mistakes(self, tmp_path: Path, text: str, words: str) -> None:
        path = tmp_path / "keys"
        path.write_text(text)
        path.chmod(0o600)
        with pytest.raises(OSError, match=re.escape(words)):
            tls_psk.read_keys(str(path))


def test_it_excludes_certificates() -> None:
    with pytest.raises(BadAddress, match="in place of certificates"):
        tls.parse(":5640,psk=keys,cert=cert.pem")
    with pytest.raises(BadAddress, match="in place of certificates"):
        tls.with_files(tls.parse_remote("host:5640"), "ca.pem", "", "", "psk")
    assert tls.parse(":5640,psk=keys").certified


def test_a_certificate_cannot_have_the_name_of_a_key() -> None:
    """Else a CA could make users of keys."""
    from ninep.transport.tls_stream import names

    assert names({"subject": ((("commonName", "psk:alice"),),), "subjectAltName": (("URI", "psk:bob"),)}) == ()
