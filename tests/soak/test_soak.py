"""A minute of a soak, without the virtual machine; and that a soak sees what it is there to see."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path

import pytest
from tests.soak.figures import Sample, growth, svg
from tests.soak.load import Known, Load
from tests.soak.soak import CLIENTS, Report, _verify, soak
from tests.threats.process import Program

import ninep

SECONDS = 45.0


@pytest.mark.slow
def test_a_minute(export: Path) -> None:
    report = soak(export, SECONDS, guest=False, seed=3, model="mapped-xattr")
    print(*report.lines(), sep="\n")
    assert report.operations.total() > 50 * CLIENTS
    assert report.cut > 0
    assert report.rude > 0
    assert report.files > 50
    assert len(report.samples) > SECONDS / 3


def test_a_file_that_changed_by_itself_is_seen(export: Path) -> None:
    with Program(export) as server:
        load = Load(0, 1, lambda: socket.create_connection(("127.0.0.1", server.port)))
        load._open()
        load._client.mkdir(load.folder)
        load._write("file0", "")
        load._look("file0", "")
        load.files["file0"].mode = 0o600
        with pytest.raises(AssertionError):
            load._look("file0", "")
        load.files["file0"] = Known(b"other")
        with pytest.raises(AssertionError, match="that were written"):
            load._look("file0", "")
        load._client.close()


def test_the_last_look_sees_each_file(export: Path) -> None:
    with Program(export) as server:
        with ninep.connect(f"127.0.0.1:{server.port}") as client:
            client.mkdir("client0")
            client.write_bytes("client0/a", b"content")
        good = {"client0/a": hashlib.sha256(b"content").hexdigest()}
        report = Report(1)
        _verify(server.port, export, good, report)
        assert (report.files, report.verified) == (1, 7)
        with pytest.raises(AssertionError, match="not what was written"):
            _verify(server.port, export, {"client0/a": hashlib.sha256(b"other").hexdigest()}, Report(1))
        (export / "client0" / "b").write_bytes(b"of nobody")
        with pytest.raises(AssertionError, match="in client0"):
            _verify(server.port, export, good, Report(1))


def test_growth_is_of_the_floor_and_not_of_peaks() -> None:
    flat = [Sample(second, 50 + 40 * (second % 5 == 0), 10, 3) for second in range(100)]
    assert growth(flat) == 0
    assert growth([Sample(second, second, 10, 3) for second in range(100)]) == 50


def test_the_picture() -> None:
    drawn = svg("A <soak>", [Sample(1.0, 30 << 20, 20, 3), Sample(2.0, 31 << 20, 25, 4)])
    assert drawn.count("<polyline") == 3
    assert "A &lt;soak&gt;" in drawn
