"""Scripts of the documentation, run as they stand there, but for names and addresses of this machine: what
is replaced has to stand on the page.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.serving import Server, program
from tests.support.client import TIMEOUT, RawClient

from ninep.app.control_commands import COMMANDS, checked
from ninep.app.control_protocol import read_request
from ninep.app.settings import Sources
from ninep.linux import LOCK_WRLCK
from ninep.wire import messages as m

DOCS = Path(__file__).parent.parent / "docs"
pytestmark = pytest.mark.skipif(
    shutil.which("bash") is None or not hasattr(socket, "AF_UNIX"), reason="needs a shell and unix sockets"
)


def block(page: str, having: str, language: str = "sh") -> str:
    """The one block of a page that has some words."""
    text = (DOCS / page).read_text()
    found = [one for one in re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if having in one]
    assert len(found) == 1, (page, having)
    return str(found[0])


def replaced(script: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert old in script
        script = script.replace(old, new)
    return script


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a folder `src`."""
    (tmp_path / "src" / "a").mkdir(parents=True)
    (tmp_path / "src" / "name").write_text("content\n")
    return tmp_path


def bash(home: Path, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(program()[0]).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-eu", "-c", script],
        cwd=home,
        env=os.environ | {"HOME": str(home), "PATH": path} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=3 * TIMEOUT,
    )


def test_a_script_knows_when_it_can_connect(home: Path) -> None:
    done = bash(home, block("service.md", "--ready-fd") + 'wait "$server"\n')
    assert (done.returncode, done.stdout) == (0, "a\nname\n"), done.stderr


SERVE = "ninep serve DIR --listen tls::5640,"
BEGIN = "mkfifo ready; ninep serve ~/src --ready-fd 3 --listen tls:127.0.0.1:0,"
STARTED = " 3> ready & server=$!; read -r address < ready; port=${address#tls:*:}; port=${port%%,*}\n"


def test_a_ca_of_our_program(home: Path) -> None:
    pytest.importorskip("cryptography", reason="needs the extra tls")
    script = replaced(
        block("access.md", "ninep tls init"),
        {
            "--host 192.168.7.1": "--host 127.0.0.1",
            SERVE: BEGIN,
            "crl=$HOME/tls/crl.pem\n": f"crl=$HOME/tls/crl.pem {STARTED}",
            "tls://files.example/ --tls-ca ca.pem --tls-cert alice.pem": (
                'tls://127.0.0.1:"$port"/ --tls-ca tls/ca.pem --tls-cert tls/alice.pem'
            ),
        },
    )
    done = bash(home, script + "kill $server\nwait $server\n")
    assert done.returncode == 0, done.stderr
    assert "\na\nname\n" in done.stdout


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the program openssl")
def test_a_ca_of_openssl(home: Path) -> None:
    script = replaced(block("access.md", "openssl req -x509"), {"IP:192.168.7.1": "IP:127.0.0.1"})
    script += f"{BEGIN}cert=cert.pem,key=key.pem,client-ca=ca.pem {STARTED}"
    script += 'ninep ls tls://127.0.0.1:"$port"/ --tls-ca ca.pem --tls-cert alice.pem --tls-key alice-key.pem\n'
    done = bash(home, script + "kill $server\nwait $server\n")
    assert (done.returncode, done.stdout.split()) == (0, ["a", "name"]), done.stderr


@pytest.fixture
def running(home: Path) -> Iterator[tuple[Path, Server]]:
    """A server with a control socket at the usual place, which can be reloaded."""
    (home / "src" / "a" / "file").touch()
    (home / "ninep.toml").write_text('listen = "127.0.0.1:0"\n[exports.""]\ntarget = "src"\n')
    options = (f"--config={home}/ninep.toml",)
    with Server(*options, listen=(), addresses=1, environment={"XDG_RUNTIME_DIR": str(home)}) as server:
        yield home, server


def client(server: Server) -> RawClient:
    """Attached, with a lock on /a/file."""
    one = RawClient(socket.create_connection(("127.0.0.1", server.port), TIMEOUT))
    one.version()
    one.attach()
    one.walk(0, 1, b"a", b"file")
    one.open(1, os.O_RDWR)
    one.rpc(m.Tlock(1, LOCK_WRLCK, 0, 0, 1, 1, b"me"))
    return one


def test_commands_about_a_running_server(running: tuple[Path, Server]) -> None:
    home, server = running
    lines = block("operation.md", "ninep status").splitlines()
    assert len(lines) == 9
    lines.sort(key=lambda line: "kick" in line)  # the lock is broken while its client is there
    lines.sort(key=lambda line: "upgrade" in line)
    lines.sort(key=lambda line: "drain" in line)  # the end of the one that is there then
    clients = [RawClient(socket.create_connection(("127.0.0.1", server.port), TIMEOUT)) for _ in range(2)]
    clients.append(client(server))
    try:
        for line in lines:
            done = bash(home, line, XDG_RUNTIME_DIR=str(home))
            assert done.returncode == 0, (line, done.stderr)
        assert clients[2].ended()
    finally:
        for one in clients:
            one.close()


def test_requests_of_the_control_socket() -> None:
    requests = [line for line in block("operation.md", '"command"', "json").splitlines() if '"command"' in line]
    for line in requests:
        name, fields = read_request(line.encode() + b"\n")
        checked(COMMANDS[name], fields)
    replies = [json.loads(line) for line in block("operation.md", '"command"', "json").splitlines()]
    assert [reply["error"] for reply in replies if "error" in reply] == [
        f"there is no command 'stat': {', '.join(COMMANDS)}"
    ]


@pytest.mark.parametrize(("page", "having"), [("throttling.md", "throttle-connection")])
def test_a_configuration(page: str, having: str, tmp_path: Path) -> None:
    path = tmp_path / "ninep.toml"
    path.write_text(block(page, having, "toml"))
    assert Sources(file=str(path)).settings().exports


@pytest.mark.parametrize("page", ["howto-containers.md", "howto-lima.md"])
def test_yaml(page: str) -> None:
    yaml = pytest.importorskip("yaml", reason="needs the extra docs")
    blocks = re.findall(r"^```yaml\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    for one in blocks:
        assert isinstance(yaml.safe_load(one), dict)


def test_the_program_of_a_nixos_test() -> None:
    script = re.search(r"testScript = ''\n(.*?)''", block("howto-nixos-tests.md", "testScript", "nix"), re.DOTALL)
    assert script
    lines = script[1].splitlines()
    compile("\n".join(line.removeprefix("    ") for line in lines), "testScript", "exec")
