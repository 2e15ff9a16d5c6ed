"""The harnesses of ``fuzz`` with a fixed number of inputs, and that they detect faults."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fuzz import engine, frames
from fuzz.frames import conversation_of
from tests.serving import keeps_user_attributes

from ninep.drivers.local.node_table import NodeTable
from ninep.fuse.dispatcher import Dispatcher as FuseDispatcher
from ninep.fuse.session import Session as FuseSession
from ninep.host import shared
from ninep.linux import O_RDONLY, O_RDWR
from ninep.server import connection
from ninep.server.connection import Connection
from ninep.server.dispatcher import Dispatcher
from ninep.server.session import Session
from ninep.virtio import chains
from ninep.virtio import messages as vhost
from ninep.virtio.chains import ChainReader
from ninep.virtio.device import Device
from ninep.virtio.memory import GuestMemory
from ninep.virtio.ring import SplitQueue
from ninep.virtio.rings import Rings
from ninep.virtio.vring import Vring
from ninep.wire import codec
from ninep.wire import messages as m
from ninep.wire.modes import EXTENDED, PLAIN

TOP = Path(__file__).parent.parent.parent
GUIDED = {
    "decoder": 30_000,
    "memory": 1_500,
    "message": 1_500,
    "local": 700,
    "ring": 4_000,
    "vhost_user": 4_000,
    "fuse": 4_000,
}
BY_CHANCE = {
    "decoder": 4_000,
    "memory": 500,
    "message": 500,
    "local": 300,
    "ring": 1_000,
    "vhost_user": 1_000,
    "fuse": 1_500,
}
BEGIN = (m.Tversion(8192, b"9P2000.L"), m.Tattach(0, m.NOFID, b"root", b"", 0))


@pytest.fixture(params=engine.HARNESSES)
def harness(request: pytest.FixtureRequest) -> str:
    if request.param == "local" and not keeps_user_attributes(tempfile.gettempdir()):
        pytest.skip(f"the filesystem of {tempfile.gettempdir()} keeps no user attributes (set TMPDIR to one that does)")
    if request.param == "vhost_user" and not shared.AVAILABLE:
        pytest.skip("memory is shared by memfds, on Linux")
    return str(request.param)


def test_the_corpus(harness: str) -> None:
    paths = engine.corpus(harness)
    assert len(paths) > 10
    assert sum(path.stat().st_size for path in paths) < 1 << 16, "a corpus in the tree is small"
    engine.replay(harness, paths)


def test_inputs_made_by_chance(harness: str) -> None:
    engine.run_random(harness, BY_CHANCE[harness], seed=11)


@pytest.mark.fuzz
def test_inputs_guided_by_coverage(harness: str) -> None:
    if not engine.have_atheris():
        pytest.skip("atheris is not installed (pip install -e .[fuzz]; there are wheels for Linux on x86-64 only)")
    made = subprocess.run(
        [sys.executable, "-m", "fuzz", harness, "--runs", str(GUIDED[harness]), "--seed", "7", "--seconds", "60"],
        cwd=TOP,
        env=os.environ | {"PYTHONPATH": str(TOP)},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=200,
        check=False,
    )
    said_last = made.stderr[-3000:]
    assert made.returncode == 0, said_last
    tried = [line for line in made.stderr.splitlines() if line.startswith("stat::number_of_executed_units")]
    assert int(tried[0].split()[1]) > GUIDED[harness] // 10, said_last


# -- what a harness must see -------------------------------------------------------------------------------------------


@pytest.fixture
def memory() -> Iterator[Any]:
    with engine.prepared("memory") as tried:
        yield tried


@pytest.fixture
def local() -> Iterator[Any]:
    with engine.prepared("local") as tried:
        yield tried


def finds(tried: Any, data: bytes, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        tried.try_one(data)


def test_a_decoder_that_takes_what_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    table = codec.codec(EXTENDED).table
    original = table[120]
    monkeypatch.setitem(table, 120, original._replace(unpack=lambda b, p, e: original.unpack(b, p, min(e, p + 4))))
    finds(engine.harness("decoder"), b"\x78\1\0" + bytes(5), "an independent reader")


def test_a_decoder_that_raises_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    table = codec.codec(PLAIN).table
    monkeypatch.setitem(table, 120, table[120]._replace(unpack=lambda b, p, e: 1 // 0))
    with pytest.raises(ZeroDivisionError):
        engine.harness("decoder").try_one(b"\x78\1\0" + bytes(4))


def test_a_request_that_is_not_answered(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dispatcher, "_reply", lambda *_: None)
    finds(memory, conversation_of(*BEGIN, m.Tattach(1, m.NOFID, b"", b"waits", 0), m.Tgetattr(1, 1)), "never answered")


def test_a_request_that_is_answered_twice(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    original = Dispatcher._answer

    def twice(self: Dispatcher, *args: Any) -> None:
        original(self, *args)
        original(self, *args)

    monkeypatch.setattr(Dispatcher, "_answer", twice)
    finds(memory, conversation_of(*BEGIN, m.Tattach(1, m.NOFID, b"", b"waits", 0), m.Tgetattr(1, 1)), "not in flight")


def test_a_connection_that_is_closed_without_need(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "send", lambda self: self._transport.close())
    finds(memory, conversation_of(*BEGIN, m.Tflush(9)), "closed: True; must be: False")


def test_a_stream_that_goes_on_behind_a_bad_size(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Connection, "_bad_frame", lambda *_: None)
    finds(memory, conversation_of(*BEGIN) + bytes(7), "closed: False; must be: True")


def test_an_exception_that_no_handler_may_raise(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Dispatcher, "_version", fails)
    finds(memory, conversation_of(*BEGIN), "Tversion from somebody failed.*ZeroDivision")


def test_a_node_that_is_kept(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Session, "close", lambda self: self.fids.clear())
    finds(memory, conversation_of(*BEGIN), "never released")


@pytest.fixture
def message() -> Iterator[Any]:
    with engine.prepared("message") as tried:
        yield tried


ASK = conversation_of(*BEGIN, m.Tgetattr(0, 1))


def test_memory_of_the_client_that_is_kept(message: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[memoryview] = []
    serve = connection.serve
    monkeypatch.setattr(connection, "serve", lambda *args: kept.append(args[-1][0][:1]) or serve(*args))
    finds(message, ASK, "is kept")


def test_half_a_reply(message: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    serve = connection.serve
    monkeypatch.setattr(connection, "serve", lambda *args: serve(*args) and 9)
    finds(message, ASK, "half a reply")


def finds_in_ring(words: str, *seeds: str) -> None:
    for name in seeds:
        finds(engine.harness("ring"), (engine.CORPUS / "ring" / name).read_bytes(), words)


def test_a_rule_of_the_ring_that_is_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "MAX_CHAIN", 1 << 20)
    finds_in_ring("in spite of", "too-many")


def test_buffers_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    merged = chains._merged
    monkeypatch.setattr(chains, "_merged", lambda starts, *rest: merged([one + 1 for one in starts], *rest))
    finds_in_ring("outside of memory|other buffers", "many", "adjacent")


def test_a_store_outside_of_the_used_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    push = SplitQueue.push

    def twice(self: SplitQueue, head: int, written: int) -> None:
        push(self, head, written)
        self._available[0] ^= 1

    monkeypatch.setattr(SplitQueue, "push", twice)
    finds_in_ring("wrote something else", "two", "direct")


@pytest.mark.parametrize(("part", "seed"), [("_new", "two"), ("_table", "many")])
def test_a_ring_that_raises_something_else(monkeypatch: pytest.MonkeyPatch, part: str, seed: str) -> None:
    monkeypatch.setattr(ChainReader, part, lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        engine.harness("ring").try_one((engine.CORPUS / "ring" / seed).read_bytes())


def test_a_chain_that_a_restart_loses(monkeypatch: pytest.MonkeyPatch) -> None:
    recover = SplitQueue.recover
    monkeypatch.setattr(SplitQueue, "recover", lambda self: recover(self)[1:])
    finds_in_ring("other chains recovered", "restart")


def finds_in_vhost_user(words: str, *seeds: str) -> None:
    if not shared.AVAILABLE:
        pytest.skip("memory is shared by memfds, on Linux")
    with engine.prepared("vhost_user") as tried:
        for name in seeds:
            finds(tried, (engine.CORPUS / "vhost_user" / name).read_bytes(), words)


def test_a_descriptor_that_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Vring, "close", lambda _: None)
    finds_in_vhost_user("descriptors are open", "boot", "broken")


def test_memory_that_stays_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[memoryview] = []
    mapped = shared.map_shared
    monkeypatch.setattr(shared, "map_shared", lambda *args: kept.append(mapped(*args)) or kept[-1])
    finds_in_vhost_user("descriptors are open", "boot")


def test_a_request_of_vhost_user_that_is_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Device, "request", lambda _self, _message, descriptors: vhost.close_all(descriptors))
    finds_in_vhost_user("is not answered", "config")


def test_a_ring_that_is_not_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rings, "stop", lambda *_: None)
    finds_in_vhost_user("the end, and a ring runs", "resume")


def test_a_device_that_raises_something_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GuestMemory, "replace", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        finds_in_vhost_user("-", "boot")


def finds_in_fuse(words: str, *seeds: str) -> None:
    with engine.prepared("fuse") as tried:
        for name in seeds:
            finds(tried, (engine.CORPUS / "fuse" / name).read_bytes(), words)


def test_a_kernel_that_gets_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FuseDispatcher, "_refuse", lambda *_: 0)
    finds_in_fuse("was not answered once", "absent")


def test_a_node_id_that_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FuseSession, "_forget_all", lambda self, nodeid: self.nodes.pop(nodeid))
    finds_in_fuse("never released", "tree")


def test_a_handler_of_fuse_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FuseSession, "close", lambda *_: 1 // 0)
    finds_in_fuse("RELEASE from .* failed|ZeroDivision", "file")


def harmful(monkeypatch: pytest.MonkeyPatch, act: Callable[[Path], object], aname: bytes = b"none") -> bytes:
    """An additional action of a request, which must be detected."""
    original = NodeTable.unref

    def release(self: NodeTable, node: Any) -> None:
        act(Path(os.readlink(f"/proc/self/fd/{int(self.root.path_handle)}")).parent)  # type: ignore[arg-type]
        original(self, node)

    monkeypatch.setattr(NodeTable, "unref", release)
    return conversation_of(BEGIN[0], m.Tattach(0, m.NOFID, b"", aname, 0), m.Tclunk(0))


def test_a_canary_that_changes(local: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    finds(local, harmful(monkeypatch, lambda top: (top / "canary" / "secret").touch()), "canary has changed")


def test_a_file_left_beside_the_exports(local: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    finds(local, harmful(monkeypatch, lambda top: (top / "escaped").touch()), "escaped")


def test_a_temporary_file_left_behind(local: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    left = ".virtfs_metadata_new.1.2"
    finds(local, harmful(monkeypatch, lambda top: (top / "mapped-file" / left).touch(), b"mapped-file"), "left behind")


def test_a_handle_left_open(local: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    data = harmful(monkeypatch, lambda top: opened.append(os.open(top / "canary" / "secret", O_RDONLY)))
    finds(local, data, "handles left open")
    for handle in opened:
        os.close(handle)


def test_a_secret_in_a_reply(local: Any) -> None:
    folders = engine.harness("local")._made[-1]
    (folders.top / "none" / "file").write_bytes(b"so: " + engine.harness("local").SECRET)
    asked = conversation_of(
        BEGIN[0],
        m.Tattach(0, m.NOFID, b"", b"none", 0),
        m.Twalk(0, 1, [b"file"]),
        m.Tlopen(1, O_RDWR),
        m.Tread(1, 0, 99),
    )
    finds(local, asked, "what is beside the export")


def test_references_that_are_miscounted(local: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def enter(self: NodeTable, *args: Any) -> Any:
        self.total_refs += 1
        return original_enter(self, *args)

    original_enter = NodeTable.add
    monkeypatch.setattr(NodeTable, "add", enter)
    finds(
        local,
        conversation_of(BEGIN[0], m.Tattach(0, m.NOFID, b"", b"none", 0), m.Twalk(0, 1, [b"dir"])),
        "references to nodes of none: 1",
    )


# -- the generator -----------------------------------------------------------------------------------------------------


def test_conversations_stay_conversations() -> None:
    """Most generated inputs are well-formed; otherwise the server would never be reached."""
    whole = broken = 0
    data = conversation_of(*BEGIN, *(m.Twalk(0, n, [b"dir"]) for n in range(1, 6)))
    for seed in range(300):
        data = frames.mutate(data, 4096, seed)
        pieces = frames.cut(data)
        for at, piece in enumerate(pieces):
            extended = frames.extended_at(pieces, at)
            try:
                codec.codec(EXTENDED if extended else PLAIN).decode(piece)
                whole += 1
            except codec.Malformed:
                broken += piece[4:5] != b"\0"
    assert whole > 5 * broken > 0
