"""Certificates that tests make: a CA, a server, clients."""

from __future__ import annotations

from pathlib import Path

import trustme


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

    def listen(self, *names: str, host: str = "127.0.0.1", file: str = "server", clients: bool = False) -> str:
        """An address to listen at, with a certificate for its host (or other names)."""
        cert, key = self.issue(file, *(names or (host, "localhost")))
        return f"tls:{host}:0,cert={cert},key={key}" + (f",client-ca={self.ca}" if clients else "")
