"""Addresses of tls: and the files that they name."""

from __future__ import annotations

import subprocess

import pytest
from tests import serving

from ninep.client.blocking import connect
from ninep.transport import BadAddress, transport_of
from ninep.transport.addresses import parse, parse_location
from ninep.transport.tls import TlsListener, TlsServer


def test_an_address_with_its_files_can_be_read_again() -> None:
    address = parse("tls:[::1]:5640,cert=/etc/a,,b.pem,key=/etc/k.pem,client-ca=/etc/ca.pem")
    assert isinstance(address, TlsListener)
    assert (address.host, address.port, address.options.cert) == ("::1", 5640, "/etc/a,b.pem")
    assert parse(str(address)) == address


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tls:127.0.0.1:5640", "a certificate is needed"),
        ("tls:127.0.0.1:5640,cert=", "a certificate is needed"),
        ("tls:,cert=c.pem", "empty option|expected"),
        ("tls:127.0.0.1:5640,crt=c.pem", "did you mean 'cert'"),
        ("tls:127.0.0.1:5640,cert=a,cert=b", "exclude each other"),
        ("tls:127.0.0.1:5640,cert=a,crl=b", "it needs client-ca=FILE"),
    ],
)
def test_an_address_that_cannot_be_is_refused_with_a_sentence(text: str, words: str) -> None:
    with pytest.raises(BadAddress, match=words):
        parse(text)


def test_where_to_connect_is_written_as_a_url_too() -> None:
    for text in ("tls://server.example:5641/dir/file", "tls:server.example:5641/dir/file"):
        location = parse_location(text)
        assert location.address == TlsServer("server.example", 5641)
        assert location.path == "/dir/file"
        assert str(location) == "tls:server.example:5641/dir/file"


def test_other_computers_may_connect_if_a_ca_names_them() -> None:
    remote = transport_of(parse("tls::5640,cert=c")).remote
    assert remote(parse("tls::5640,cert=c"))
    assert not remote(parse("tls:127.0.0.1:5640,cert=c"))
    assert not remote(parse("tls::5640,cert=c,client-ca=ca"))


def test_files_of_tls_are_for_tls() -> None:
    with pytest.raises(BadAddress, match="write tls://HOST:PORT"):
        connect("127.0.0.1:5640", tls_ca="ca.pem")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--cert-user", "alice=1000"], "no certificates are asked for at"),
        (["--export", "x=mem:,allow=cert:alice"], "no certificates are asked for at"),
        (["--allow", "cert:alice"], "names no client that can come by"),
        (["--allow", "any=ro"], "what a peer may do is stated for an export"),
        (["--export", "x=mem:,ro,allow=any=rw"], "the export is read-only"),
        (["--cert-user", "alice=1", "--cert-user", "alice=2"], "two users for 'alice'"),
        (["--cert-user", "alice"], "is not NAME=UID or NAME=UID:GID"),
    ],
)
def test_rules_that_cannot_hold_are_refused(options: list[str], words: str) -> None:
    done = subprocess.run([*serving.program(), "serve", "mem:", *options], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert words in done.stderr
