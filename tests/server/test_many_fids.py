"""100,000 walked fids on a machine that gives a process 1024 descriptors: all of them work, and
memory stays in bounds.

The real server as a process, over TCP; requests are pipelined in windows so that the test takes
seconds.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.serving import Server
from tests.support.client import RawClient

from ninep.wire import messages as m
from ninep.wire.types import Qid

FOLDERS = 50
FILES = 200  # in each: 10,000 files, ten times as many as there are descriptors
ROUNDS = 10
FIDS = FOLDERS * FILES * ROUNDS
DESCRIPTORS = 1024
BYTES_A_FID = 1024
WINDOW = 200


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Started with few descriptors, soft and hard, so that it cannot raise them."""
    for folder in range(FOLDERS):
        (tmp_path / f"{folder:02}").mkdir()
        for file in range(FILES):
            (tmp_path / f"{folder:02}" / f"{file:03}").write_text(f"{folder} {file}")
    with Server(tmp_path, "--security-model", "none", descriptors=DESCRIPTORS) as server:
        yield server


def status(pid: int, field: str) -> int:
    """A figure of /proc/PID/status in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise AssertionError(f"no {field}")


def all_of(client: RawClient, requests: Sequence[m.Message]) -> Iterator[m.Message]:
    """The replies to many requests, in order, some in flight at a time."""
    for start in range(0, len(requests), WINDOW):
        tags = [client.send(request) for request in requests[start : start + WINDOW]]
        for tag in tags:
            yield client.reply(tag)


@pytest.mark.slow
def test_fids_outnumber_descriptors(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        client = RawClient(sock)
        client.version(b"9P2000.L")
        client.attach()
        places = [(folder, file) for _ in range(ROUNDS) for folder in range(FOLDERS) for file in range(FILES)]
        before = status(server.pid, "VmRSS")
        walks = [m.Twalk(0, 1 + i, [b"%02d" % folder, b"%03d" % file]) for i, (folder, file) in enumerate(places)]
        qids: list[Qid] = []
        for walked in all_of(client, walks):
            assert isinstance(walked, m.Rwalk)
            qids.append(walked.qids[-1])
        assert len(qids) == FIDS
        assert len({qid.path for qid in qids}) == FOLDERS * FILES
        assert len(list(Path(f"/proc/{server.pid}/fd").iterdir())) <= DESCRIPTORS
        grown = (status(server.pid, "VmRSS") - before) * 1024
        assert grown < FIDS * BYTES_A_FID + (16 << 20)  # and what a process takes to have been busy at all
        looks = [m.Tgetattr(1 + i, 0x7FF) for i in range(0, FIDS, 7)]
        for look, found in zip(looks, all_of(client, looks), strict=True):
            assert isinstance(found, m.Rgetattr)
            assert found.attributes.qid_path == qids[look.fid - 1].path
        for i in range(0, FIDS, 999):
            folder, file = places[i]
            client.rpc(m.Tlopen(1 + i, 0))
            assert bytes(client.rpc(m.Tread(1 + i, 0, 100)).data) == b"%d %d" % (folder, file)
