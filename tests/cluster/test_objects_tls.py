"""An object store behind TLS, whose certificate is of a CA of one's own: as Amazon's programs are told it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.s3 import BUCKET, ENVIRONMENT, Moto, client
from tests.support.certificates import Authority

from ninep.drivers.objects.options import S3Options, open_s3
from ninep.errors import Refused
from ninep.linux import Errno
from ninep.node import User

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Its address, and the file of the CA."""
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    certificate, key = authority.issue("server", "127.0.0.1")
    with Moto(folder, certificate=certificate, key=key) as moto:
        caller = client(moto.endpoint, str(authority.ca))
        caller.create_bucket(Bucket=BUCKET)
        caller.close()
        yield moto.endpoint, authority.ca


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def test_a_ca_of_the_environment(store: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint, ca = store
    monkeypatch.setenv("AWS_CA_BUNDLE", str(ca))
    driver = open_s3(f"//{BUCKET}/p", S3Options(s3_endpoint=endpoint), None)
    root = driver.attach(User())
    root.mkdir(b"d", 0o755, 1, 2)
    root.syncfs()
    assert root.walk(b"d").getattr(0).uid == 1
    root.release()
    driver.close()


def test_another_ca_is_refused(store: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    driver = open_s3(f"//{BUCKET}/p", S3Options(s3_endpoint=store[0], s3_attempts=1), None)
    with pytest.raises(Refused, match="SSLError") as refusal:
        driver.attach(User())
    assert refusal.value.code is Errno.EIO
    driver.close()
