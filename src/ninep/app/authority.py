"""A certificate authority in a folder: what TLS needs where there is no other (``ninep tls``).

==================  ====================================================================
``ca.pem``          its certificate: what the server's ``client-ca`` and clients' ``--tls-ca`` name
``ca-key.pem``      its key, which signs the others and is needed nowhere else
``server.pem``      key and certificate of the server
``NAME.pem``        key and certificate of a client
``crl.pem``         the revoked ones: what the server's ``crl`` names
``issued.txt``      the numbers of all certificates of clients, with their names: those that were
                    renewed hold, too, until they end or are revoked
==================  ====================================================================

Keys are of the curve P-256, unencrypted, in files of mode 0600.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA, CA_KEY, SERVER, REVOKED, ISSUED = "ca.pem", "ca-key.pem", "server.pem", "crl.pem", "issued.txt"
CA_DAYS: Final = 3650
EARLIER: Final = timedelta(hours=1)
"""Certificates hold from then on, for clocks that are late."""
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,63}")
_TAKEN: Final = frozenset(name.removesuffix(".pem") for name in (CA, CA_KEY, SERVER, REVOKED))
_PEM: Final = serialization.Encoding.PEM


class BadName(ValueError):
    """A name that no certificate can have here; the text says why."""


class Signer(NamedTuple):
    """The authority of a folder."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def create(folder: str, name: str) -> Signer:
    """A new authority; the folder is made. ``FileExistsError`` if it has one."""
    os.makedirs(folder, 0o700, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(name)
    usage = _usage(digital_signature=False, key_cert_sign=True, crl_sign=True)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    made = (
        _holding(subject, subject, key, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(folder, CA_KEY, _pem_of_key(key), 0o600, new=True)
    _write(folder, CA, made.public_bytes(_PEM), 0o644, new=True)
    signer = Signer(made, key)
    _write_revoked(folder, signer, [])
    return signer


def load(folder: str) -> Signer:
    """The authority of a folder. ``OSError``, or ``ValueError`` for files that have none."""
    with open(os.path.join(folder, CA), "rb") as file:
        certificate = x509.load_pem_x509_certificate(file.read())
    with open(os.path.join(folder, CA_KEY), "rb") as file:
        key: Any = serialization.load_pem_private_key(file.read(), None)
    return Signer(certificate, key)


def issue_server(folder: str, signer: Signer, hosts: Sequence[str], days: int) -> str:
    """A certificate for names and addresses that clients connect to, in the place of one that there
    is: its file.
    """
    names = [_alternative(host) for host in dict.fromkeys(hosts)]
    return _issue(folder, signer, SERVER, hosts[0], names, ExtendedKeyUsageOID.SERVER_AUTH, days)


def issue_client(folder: str, signer: Signer, name: str, days: int) -> str:
    """A certificate with this common name, in the place of one that there is: its file. ``BadName``."""
    _check_name(name)
    return _issue(folder, signer, f"{name}.pem", name, [], ExtendedKeyUsageOID.CLIENT_AUTH, days)


def revoke(folder: str, signer: Signer, name: str) -> None:
    """Add all certificates of a client to the list. ``OSError``, ``BadName``."""
    _check_name(name)
    numbers = _issued(folder, name)
    try:
        with open(os.path.join(folder, f"{name}.pem"), "rb") as file:
            numbers.append(x509.load_pem_x509_certificate(file.read()).serial_number)
    except FileNotFoundError:
        if not numbers:
            raise
    _write_revoked(folder, signer, [*_revoked(folder), *numbers])


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name.lower() in _TAKEN:  # there are file systems that fold cases
        raise BadName(f"{name!r} cannot be the name of a client: letters, digits and _ . @ - make one")


# -- the parts of certificates ----------------------------------------------------------------------------


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _alternative(host: str) -> x509.GeneralName:
    with suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(host))
    try:
        return x509.DNSName(host)
    except ValueError:
        raise BadName(f"{host!r} is not the name of a host: write one beyond ASCII in Punycode") from None


def _usage(*, digital_signature: bool, key_cert_sign: bool, crl_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _holding(subject: x509.Name, issuer: x509.Name, key: Any, days: int) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return x509.CertificateBuilder(
        issuer, subject, key.public_key(), x509.random_serial_number(), now - EARLIER, now + timedelta(days=days)
    )


def _issue(
    folder: str,
    signer: Signer,
    file: str,
    name: str,
    names: Sequence[x509.GeneralName],
    purpose: x509.ObjectIdentifier,
    days: int,
) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    usage = _usage(digital_signature=True, key_cert_sign=False, crl_sign=False)
    identifier: Any = signer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    made = (
        _holding(_subject(name), signer.certificate.subject, key, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
    )
    if names:
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = made.sign(signer.key, hashes.SHA256())
    if purpose == ExtendedKeyUsageOID.CLIENT_AUTH:
        _note_issued(folder, name, certificate.serial_number)
    _write(folder, file, _pem_of_key(key) + certificate.public_bytes(_PEM), 0o600)
    return os.path.join(folder, file)


# -- files --------------------------------------------------------------------------------------------------


def _pem_of_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _issued(folder: str, name: str) -> list[int]:
    with suppress(FileNotFoundError), open(os.path.join(folder, ISSUED), encoding="ascii") as file:
        return [int(words[0], 16) for line in file if (words := line.split())[1:] == [name]]
    return []


def _note_issued(folder: str, name: str, number: int) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    with os.fdopen(os.open(os.path.join(folder, ISSUED), flags, 0o600), "w", encoding="ascii") as file:
        file.write(f"{number:x} {name}\n")


def _revoked(folder: str) -> list[int]:
    with open(os.path.join(folder, REVOKED), "rb") as file:
        return [one.serial_number for one in x509.load_pem_x509_crl(file.read())]


def _write_revoked(folder: str, signer: Signer, numbers: Sequence[int]) -> None:
    now = datetime.now(UTC)
    made = x509.CertificateRevocationListBuilder(
        signer.certificate.subject, now - EARLIER, signer.certificate.not_valid_after_utc
    )
    for number in dict.fromkeys(numbers):
        made = made.add_revoked_certificate(x509.RevokedCertificateBuilder(number, now).build())
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key())
    signed = made.add_extension(identifier, critical=False).sign(signer.key, hashes.SHA256())
    _write(folder, REVOKED, signed.public_bytes(_PEM), 0o644)


def _write(folder: str, name: str, data: bytes, mode: int, *, new: bool = False) -> None:
    """Write a file at once, with its mode from the beginning. ``new``: there is none by that name."""
    path = os.path.join(folder, name)
    made = path if new else f"{path}.new"
    if not new:
        with suppress(FileNotFoundError):
            os.unlink(made)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(made, flags, mode), "wb") as file:
        file.write(data)
    if not new:
        os.replace(made, path)
