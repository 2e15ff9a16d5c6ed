"""TLS as a transport: addresses and their files, our clients in both event loops, openssl's client,
certificates of clients, renewal.
"""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop
from tests import serving
from tests.support.certificates import Authority
from tests.support.client import TIMEOUT

from ninep.client import aio
from ninep.client.blocking import connect
from ninep.drivers.memory import MemoryDriver
from ninep.linux import NO_ID, S_IFCHR
from ninep.server.access import Access, parse_rule
from ninep.server.exports import Export
from ninep.server.server import Server
from ninep.transport import transport_of
from ninep.transport.addresses import parse
from ninep.transport.tls import TlsListener, bind
from ninep.wire import messages as m
from ninep.wire.codec import codec
from ninep.wire.modes import PLAIN, makedev

DOCS = Path(__file__).parents[2] / "docs"

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]
MSIZE = 1 << 20


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run[Any]:
    """Run a coroutine in one of the event loops."""
    return uvloop.run if request.param == "uvloop" else asyncio.run


def with_server(
    listen: str, use: Callable[[TlsListener], T], *allow: str, exports: list[Export] | None = None
) -> Coroutine[Any, Any, T]:
    """What a thread gets from a server that listens there."""

    async def main() -> T:
        access = Access(tuple(map(parse_rule, allow)))
        async with Server(exports or MemoryDriver(), access=access, owns_loop=True) as server:
            address = await server.listen(listen)
            assert isinstance(address, TlsListener)
            result = await asyncio.to_thread(use, address)
            await asyncio.wait_for(server.wait_idle(), TIMEOUT)
            return result

    return main()


def url(address: TlsListener, host: str = "127.0.0.1") -> str:
    return f"tls://{host}:{address.port}"


# -- files


def test_files_that_cannot_be_used_are_told_in_a_sentence(authority: Authority, tmp_path: Path) -> None:
    cert, key = authority.issue("server", "localhost")
    _, other = authority.issue("other", "localhost")
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    secret = tmp_path / "secret.pem"
    subprocess.run(
        ["openssl", "ec", "-aes256", "-passout", "pass:x", "-in", str(key), "-out", str(secret)],
        check=True,
        capture_output=True,
    )
    both = tmp_path / "both.pem"
    both.write_bytes(authority.revoke("crl").read_bytes() + cert.read_bytes())
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    cases = {
        f"cert={tmp_path}/none.pem,key={key}": f"{tmp_path}/none.pem: No such file or directory",
        f"cert={cert},key={tmp_path}": f"{tmp_path}: Is a directory",
        f"cert={cert}": f"{cert}: it has no private key in PEM form",
        f"cert={empty},key={key}": f"{empty}: it has no certificate in PEM form",
        f"cert={cert},key={other}": f"{other}: this key does not belong to the certificate in {cert}",
        f"cert={cert},key={secret}": f"{secret}: the key is encrypted, and a server cannot ask for a pass phrase",
        f"cert={cert},key={key},client-ca={empty}": f"{empty}: it has no certificate in PEM form",
        f"cert={cert},key={key},client-ca={cert},crl={empty}": (
            f"{empty}: it has no list of revoked certificates in PEM form"
        ),
        f"cert={cert},key={key},client-ca={cert},crl={both}": (
            f"{both}: it has a certificate, which belongs into the file of client-ca"
        ),
    }
    for options, words in cases.items():
        with pytest.raises(OSError) as caught:  # noqa: PT011 - the words are what is tested
            bind(parse(f"tls:127.0.0.1:0,{options}"))  # type: ignore[arg-type] # of tls:
        assert caught.value.strerror == words
    with pytest.raises(OSError, match=f"{broken}.*is damaged"):
        bind(parse(f"tls:127.0.0.1:0,cert={broken},key={key}"))  # type: ignore[arg-type] # of tls:


# -- our clients


def test_both_clients_in_both_loops(run: Run[Any], authority: Authority) -> None:
    content = bytes(range(256)) * (3 * 4096 + 1)

    def use(address: TlsListener) -> None:
        for host in ("127.0.0.1", "localhost"):
            with connect(url(address, host), tls_ca=str(authority.ca), msize=MSIZE) as client:
                client.write_bytes("/file", content)
                assert client.read_bytes("/file") == content

    run(with_server(authority.listen(), use))

    async def main() -> None:
        async with Server(MemoryDriver()) as server:
            address = await server.listen(authority.listen())
            assert isinstance(address, TlsListener)
            async with aio.connect(url(address), tls_ca=str(authority.ca)) as client:
                await client.write_bytes("/file", content)
                assert await client.read_bytes("/file") == content

    run(main())


def _refused(run: Run[Any], address: TlsListener, host: str = "127.0.0.1", **files: str) -> set[str]:
    """The words of both clients."""
    words = set()
    with pytest.raises(ConnectionError) as caught, connect(url(address, host), **files):
        pass
    words.add(str(caught.value.strerror))

    async def main() -> None:
        async with aio.connect(url(address, host), **files):
            pass

    with pytest.raises(ConnectionError) as caught:
        run(main())
    words.add(str(caught.value.strerror))
    return words


def test_a_server_that_cannot_be_verified_is_refused(run: Run[Any], authority: Authority, tmp_path: Path) -> None:
    another = Authority(tmp_path, "another")

    def use(address: TlsListener) -> None:
        unknown = _refused(run, address, tls_ca=str(another.ca))
        reason = "unable to get local issuer certificate"
        assert unknown == {f"the server's certificate is not valid: {reason} (trusted are the CAs of {another.ca})"}
        assert all("this system; name another with --tls-ca" in words for words in _refused(run, address))
        wrong = _refused(run, address, "127.0.0.1", tls_ca=str(authority.ca))
        assert wrong == {
            "the server's certificate is not valid: IP address mismatch, certificate is not valid for '127.0.0.1'."
        }

    run(with_server(authority.listen("server.example"), use))


def test_a_server_without_tls_is_told(run: Run[Any]) -> None:
    async def main() -> None:
        async with Server(MemoryDriver()) as server:
            address = await server.listen("127.0.0.1:0")
            words = await asyncio.to_thread(_refused, run, TlsListener("", address.port, None))  # type: ignore[arg-type,attr-defined] # a port is enough
            assert words == {"the server does not answer in TLS: is it a plain TCP port?"}

    run(main())


# -- certificates of clients


def test_a_client_shows_its_certificate(run: Run[Any], authority: Authority, tmp_path: Path) -> None:
    cert, key = authority.issue("alice", "alice@example.org", common="alice")
    wrong, wrong_key = Authority(tmp_path, "another").issue("mallory", "mallory", common="alice")
    ca = str(authority.ca)

    def use(address: TlsListener) -> None:
        with connect(url(address), tls_ca=ca, tls_cert=str(cert), tls_key=str(key)) as client:
            assert client.listdir("/") == []
        for words in _refused(run, address, tls_ca=ca):
            assert "the other side asks for a certificate" in words or "closed the connection" in words
        for words in _refused(run, address, tls_ca=ca, tls_cert=str(wrong), tls_key=str(wrong_key)):
            assert "TLS" in words or "closed the connection" in words

    run(with_server(authority.listen(clients=True), use))


@pytest.mark.parametrize("name", ["alice", "alice@example.org"])
def test_a_rule_names_certificates(run: Run[Any], authority: Authority, name: str) -> None:
    files = {}
    for who in ("alice", "bob"):
        cert, key = authority.issue(who, f"{who}@example.org", common=who)
        files[who] = {"tls_ca": str(authority.ca), "tls_cert": str(cert), "tls_key": str(key)}
    exports = [
        Export("", MemoryDriver()),
        Export("hers", MemoryDriver(), access=Access((parse_rule(f"cert:{name}"),), closed=True)),
    ]

    def use(address: TlsListener) -> None:
        with connect(url(address), "hers", **files["alice"]) as client:
            assert client.listdir("/") == []
        with connect(url(address), **files["bob"]) as client:
            assert client.listdir("/") == []
        with pytest.raises(PermissionError):
            connect(url(address), "hers", **files["bob"])

    run(with_server(authority.listen(clients=True), use, exports=exports))

    def only_hers(address: TlsListener) -> None:
        with connect(url(address), **files["alice"]) as client:
            assert client.listdir("/") == []
        with pytest.raises(ConnectionError):
            connect(url(address), **files["bob"])

    run(with_server(authority.listen(clients=True), only_hers, f"cert:{name}"))


# -- renewal


def test_a_certificate_that_is_revoked(run: Run[Any], authority: Authority, caplog: pytest.LogCaptureFixture) -> None:
    """It is refused from the moment that the list is read again; other certificates are not."""
    files = {}
    for name in ("alice", "bob"):
        cert, key = authority.issue(name, common=name)
        files[name] = {"tls_ca": str(authority.ca), "tls_cert": str(cert), "tls_key": str(key)}
    crl = authority.revoke("crl")
    listen = f"{authority.listen(clients=True)},crl={crl}"

    def use(address: TlsListener) -> None:
        renew = transport_of(address).renew
        assert renew is not None
        with connect(url(address), **files["alice"]) as alice:
            authority.revoke("crl", Path(files["alice"]["tls_cert"]))
            renew(address)()
            with pytest.raises(OSError, match="the certificate here is revoked"):
                connect(url(address), **files["alice"])
            with connect(url(address), **files["bob"]) as bob:
                assert bob.listdir("/") == []
            assert alice.listdir("/") == [], "who is connected stays"
        authority.revoke("crl", days=-1)
        renew(address)()
        with pytest.raises(OSError, match="list of revoked ones there, has expired"):
            connect(url(address), **files["bob"])

    with caplog.at_level(logging.WARNING, "ninep.server"):
        run(with_server(listen, use))
    assert "certificate revoked" in caplog.text
    assert "CRL has expired" in caplog.text


def _shown(address: TlsListener) -> str:
    """The certificate that a new connection is shown."""
    return ssl.get_server_certificate(("127.0.0.1", address.port))


def test_renewed_certificates_are_for_new_connections(run: Run[Any], authority: Authority) -> None:
    listen = authority.listen()

    def use(address: TlsListener) -> None:
        renew = transport_of(address).renew
        assert renew is not None
        with connect(url(address), tls_ca=str(authority.ca)) as client:
            before = _shown(address)
            cert, _ = authority.issue("server", "127.0.0.1")
            assert _shown(address) == before
            renew(address)()
            assert _shown(address) != before
            cert.write_text("-----BEGIN CERTIFICATE-----\n")
            after = _shown(address)
            with pytest.raises(OSError, match="damaged"):
                renew(address)
            assert _shown(address) == after
            client.write_bytes("/file", b"still here")

    run(with_server(listen, use))


# -- openssl


needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the program openssl")
REQUEST = b"".join(codec(PLAIN).encode(0xFFFF, m.Tversion(8192, b"9P2000.L")))
REPLY = REQUEST[:4] + b"\x65" + REQUEST[5:]


class OpenSSL:
    """``openssl s_client``. What is sent at once is one piece, whose first letter can be a command to it."""

    def __init__(self, authority: Authority, address: TlsListener, *options: str) -> None:
        self.process = subprocess.Popen(
            ["openssl", "s_client", *options, "-verify_return_error", "-CAfile", str(authority.ca),
             "-connect", f"127.0.0.1:{address.port}", "-verify_ip", "127.0.0.1"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def send(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def ask(self) -> None:
        """A request and its reply."""
        self.send(REQUEST)
        assert self.process.stdout is not None
        assert self.process.stdout.read(len(REPLY)) == REPLY

    def end(self) -> str:
        """The end of its input, and what it said to stderr."""
        _, said = self.process.communicate(timeout=TIMEOUT)
        return said.decode()


@needs_openssl
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_is_answered(run: Run[Any], authority: Authority, version: str) -> None:
    """``s_client`` closes its side when its input ends: the reply that is owed still comes."""

    def use(address: TlsListener) -> None:
        openssl = OpenSSL(authority, address, version, "-brief")
        openssl.ask()
        openssl.end()

    run(with_server(authority.listen(), use))


@needs_openssl
def test_renegotiation_is_refused(run: Run[Any], authority: Authority) -> None:
    """That of TLS 1.2 (RFC 5246, 7.2.2: the alert no_renegotiation). Other clients notice nothing."""

    def use(address: TlsListener) -> None:
        with connect(url(address), tls_ca=str(authority.ca)) as other:
            openssl = OpenSSL(authority, address, "-tls1_2", "-brief")
            openssl.ask()
            openssl.send(b"R\n")
            openssl.process.wait(TIMEOUT)
            said = openssl.end()
            assert "RENEGOTIATING" in said
            assert "no renegotiation" in said
            other.write_bytes("/file", b"still here")

    run(with_server(authority.listen(), use))


@needs_openssl
@pytest.mark.parametrize(("command", "answered"), [(b"K\n", True), (b"k\n", False)])
def test_keys_are_updated(run: Run[Any], authority: Authority, tmp_path: Path, command: bytes, answered: bool) -> None:
    """KeyUpdate of TLS 1.3 (RFC 8446, 4.6.3), with and without the wish that the server updates its own."""
    messages = tmp_path / "messages"

    def updates(direction: str) -> int:
        return messages.read_text().count(f"{direction} TLS 1.3, Handshake [length 0005], KeyUpdate")

    def use(address: TlsListener) -> None:
        openssl = OpenSSL(authority, address, "-tls1_3", "-brief", "-msg", "-msgfile", str(messages))
        for number in (1, 2, 3):
            openssl.ask()
            openssl.send(command)
            while updates(">>>") < number:
                time.sleep(0.01)
        openssl.ask()
        openssl.end()
        assert updates("<<<") == (3 if answered else 0)

    run(with_server(authority.listen(), use))


# -- ninep serve, as a program


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_program_and_its_commands(authority: Authority, tmp_path: Path, workers: str) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a").write_text("content")
    cert, key = authority.issue("alice", common="alice")
    listen = authority.listen(clients=True)
    with serving.Server(folder, "--workers", workers, listen=(listen,)) as server:
        place = f"tls://localhost:{re.findall(r'listening on tls:[^ ]*?:([0-9]+),', server.said())[0]}"
        files = ["--tls-ca", str(authority.ca), "--tls-cert", str(cert), "--tls-key", str(key)]

        def ninep(*words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run([*serving.program(), *words], capture_output=True, text=True, check=False)

        for _ in range(2):  # both workers, when there are two
            done = ninep("cat", f"{place}/a", *files)
            assert (done.stdout, done.stderr) == ("content", "")
        assert "asks for a certificate" in ninep("ls", place, *files[:2]).stderr
        plain = ninep("ls", place.removeprefix("tls://"))
        assert plain.returncode == 1
        server.wait_for("it speaks 9P without TLS")
        unused = ninep("ls", place.removeprefix("tls://"), *files[:2])
        assert unused.returncode == 2
        assert "write tls://HOST:PORT" in unused.stderr
        taken = ninep("serve", str(folder), "--listen", listen.replace(":0,", f":{place.rpartition(':')[2]},"))
        assert taken.returncode == 1
        assert "in use" in taken.stderr


@pytest.mark.skipif(shutil.which("socat") is None, reason="needs the program socat")
def test_socat_brings_plain_9p_to_it(run: Run[Any], authority: Authority, tmp_path: Path) -> None:
    """The line of docs/access.md for kernels, with our client in place of the kernel."""
    path = tmp_path / "9p.sock"

    def use(address: TlsListener) -> None:
        tls = f"OPENSSL:localhost:{address.port},cafile={authority.ca}"
        with subprocess.Popen(["socat", f"UNIX-LISTEN:{path},mode=600", tls]) as socat:
            while not path.exists():
                assert socat.poll() is None
            with connect(f"unix:{path}") as client:
                client.write_bytes("/file", b"content" * 100_000)
                assert client.read_bytes("/file") == b"content" * 100_000
            socat.wait(TIMEOUT)

    run(with_server(authority.listen(), use))


@pytest.mark.skipif(shutil.which("stunnel") is None, reason="needs the program stunnel")
def test_stunnel_brings_plain_9p_to_it(run: Run[Any], authority: Authority, tmp_path: Path) -> None:
    """The file of docs/access.md, on a unix socket of its own."""
    path = tmp_path / "9p.sock"
    (text,) = re.findall(r"<<'CONF'\n(.*?)^CONF$", (DOCS / "access.md").read_text(), re.MULTILINE | re.DOTALL)

    def use(address: TlsListener) -> None:
        values = {
            "127.0.0.1:5640": str(path),
            "files.example:5640": f"127.0.0.1:{address.port}",
            "CAfile = ca.pem": f"CAfile = {authority.ca}",
            "checkHost = files.example": "checkHost = localhost",
        }
        conf = text
        for old, new in values.items():
            assert old in conf
            conf = conf.replace(old, new)
        (tmp_path / "9p.conf").write_text(conf)
        with subprocess.Popen(["stunnel", str(tmp_path / "9p.conf")], stderr=subprocess.DEVNULL) as stunnel:
            try:
                while not path.exists():
                    assert stunnel.poll() is None
                for _ in range(2):
                    with connect(f"unix:{path}") as client:
                        client.write_bytes("/file", b"content" * 100_000)
                        assert client.read_bytes("/file") == b"content" * 100_000
            finally:
                stunnel.terminate()

    run(with_server(authority.listen(), use))


def test_exports_by_certificate(authority: Authority, tmp_path: Path) -> None:
    """Who may attach which export, as whom, and what they may do there; the log says who was refused
    and why.
    """
    folder = tmp_path / "files"
    folder.mkdir()
    files: dict[str, dict[str, str]] = {}
    for who in ("alice", "bob", "eve"):
        cert, key = authority.issue(who, f"{who}@example.org", common=who)
        files[who] = {"tls_ca": str(authority.ca), "tls_cert": str(cert), "tls_key": str(key)}
    allow = "allow=cert:alice=nodev,allow=cert:bob@example.org=ro"
    users = "cert-user=alice=4001:4002,cert-user=bob@example.org=4003"
    listen = authority.listen(clients=True)
    with serving.Server("mem:", "--export", f"x=mem:,{allow},{users}", listen=(listen,)) as server:
        place = f"tls://localhost:{re.findall(r'listening on tls:[^ ]*?:([0-9]+),', server.said())[0]}"
        with connect(place, "x", n_uname=0, gid=NO_ID, **files["alice"]) as alice:
            alice.mkdir("/hers")
            assert (alice.stat("/hers").st_uid, alice.stat("/hers").st_gid) == (4001, 4002)
            with pytest.raises(PermissionError):
                alice.mknod("/device", S_IFCHR | 0o600, makedev(1, 3))
            with connect(place, "x", **files["bob"]) as bob:
                assert bob.listdir("/") == ["hers"]
                with pytest.raises(OSError, match="Read-only"):
                    bob.mkdir("/his")
        with pytest.raises(PermissionError):
            connect(place, "x", **files["eve"])
        server.wait_for("cert='eve': attach to b'x' as uname=")
        assert "it is not in the export's list" in server.said()
        with connect(place, **files["eve"]) as eve:
            assert eve.listdir("/") == []
