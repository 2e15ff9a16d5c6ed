"""Stores with the interface of S3, and clients for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.cluster.seaweedfs import KEY, SECRET, SeaweedFS
from tests.cluster.service import Service, free_ports, listens, program

BUCKET = "tests"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1"}
"""The credentials, as the libraries find them."""


class Moto(Service):
    """The S3 of moto: another implementation, in Python, that keeps everything in memory."""

    def __init__(self, folder: Path, *, certificate: Path | None = None, key: Path | None = None) -> None:
        del folder
        (port,) = free_ports(1)
        tls = [] if certificate is None else ["--ssl-cert", str(certificate), "--ssl-key", str(key)]
        super().__init__([program("moto_server"), "-H", "127.0.0.1", "-p", str(port), *tls], ready=listens(port))
        self.endpoint = f"http{'s' if tls else ''}://127.0.0.1:{port}"


STORES: dict[str, type[SeaweedFS | Moto]] = {"seaweedfs": SeaweedFS, "moto": Moto}


def client(endpoint: str, verify: str | None = None) -> Any:
    """A client of botocore, for what other programs do in the bucket. `verify`: the file of a CA."""
    session = pytest.importorskip("botocore.session", reason="extra `s3`")
    return session.Session().create_client(
        "s3", "us-east-1", endpoint_url=endpoint, verify=verify, aws_access_key_id=KEY, aws_secret_access_key=SECRET
    )
