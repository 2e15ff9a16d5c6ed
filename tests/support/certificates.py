"""Certificates that tests make: a CA, a server, clients."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization


class Authority:
    """A CA, and where it puts its files."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._ca = trustme.CA(organization_name=name)
        self._folder = folder
        self.ca = folder / f"{name}.pem"
        self._ca.cert_pem.write_to_path(self.ca)

    def issue(self, file: str, *names: str, common: str = "") -> tuple[Path, Path]:
        """A certificate for these names (hosts, addresses, mail addresses), and its key."""
        made = self._ca.issue_cert(*names, common_name=common or None)
        cert, key = self._folder / f"{file}.pem", self._folder / f"{file}-key.pem"
        cert.write_bytes(b"".join(pem.bytes() for pem in made.cert_chain_pems))
        made.private_key_pem.write_to_path(key)
        return cert, key

    def revoke(self, file: str, *certificates: Path, days: int = 1) -> Path:
        """A list of revoked certificates, which holds for so many days."""
        ca = x509.load_pem_x509_certificate(self._ca.cert_pem.bytes())
        key = serialization.load_pem_private_key(self._ca.private_key_pem.bytes(), None)
        end = datetime.now(UTC) + timedelta(days=days)
        made = x509.CertificateRevocationListBuilder(ca.subject, last_update=end - timedelta(days=30), next_update=end)
        for path in certificates:
            number = x509.load_pem_x509_certificate(path.read_bytes()).serial_number
            revoked = x509.RevokedCertificateBuilder(number, end - timedelta(days=30)).build()
            made = made.add_revoked_certificate(revoked)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())  # type: ignore[arg-type]
        signed = made.add_extension(identifier, critical=False).sign(key, hashes.SHA256())  # type: ignore[arg-type]
        crl = self._folder / f"{file}.pem"
        crl.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        return crl

    def listen(self, *names: str, host: str = "127.0.0.1", file: str = "server", clients: bool = False) -> str:
        """An address to listen at, with a certificate for its host (or other names)."""
        cert, key = self.issue(file, *(names or (host, "localhost")))
        return f"tls:{host}:0,cert={cert},key={key}" + (f",client-ca={self.ca}" if clients else "")
