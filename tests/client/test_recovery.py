"""A connection that is lost and made again: at every message, and in the middle of each, with both
clients.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from tests.client.conftest import InThread
from tests.client.relay import Relay
from tests.cluster.service import free_ports
from tests.support.client import TIMEOUT

from ninep.client import aio
from ninep.client.blocking import connect as connect_directly
from ninep.client.errors import NotWritten, OutcomeUnknown
from ninep.client.state import KEPT_BYTES

DATA = bytes(range(256)) * 40  # several messages at the msize of these tests


@pytest.fixture
def relayed(face: Any, memory: InThread) -> Iterator[Callable[..., tuple[Any, Relay]]]:
    """`relayed(cut=..., ...)`: a client that reconnects, and the relay that it goes through."""
    opened: list[Any] = []
    port = memory.port()

    def begin(dialect: str = "9P2000.L", **options: Any) -> tuple[Any, Relay]:
        relay = Relay(port, **options)
        relay.__enter__()
        opened.append(relay)
        client = face.connect(
            f"127.0.0.1:{relay.port}", dialect=dialect, msize=4096, reconnect=TIMEOUT, timeout=TIMEOUT
        )
        opened.append(client)
        return client, relay

    yield begin
    for thing in reversed(opened):
        thing.__exit__(None, None, None)


@contextmanager
def may_be_unknown() -> Iterator[list[str]]:
    """What happens in the block is done, or it is said that this is not known."""
    outcome: list[str] = ["done"]
    try:
        yield outcome
    except (OutcomeUnknown, NotWritten):
        outcome[0] = "unknown"


def use(client: Any, truth: Any) -> None:
    """Everything that a connection can be lost in. `truth` is a client of the same folder, whose
    connection stays.
    """
    with may_be_unknown() as made:
        client.mkdir("d")
    if made == ["unknown"] and not truth.exists("d"):
        truth.mkdir("d")

    client.write_bytes("d/f", DATA)
    assert truth.read_bytes("d/f") == DATA
    with client.open("d/f", "r+b") as file:
        assert file.pread(len(DATA), 0) == DATA
        file.pwrite(b"new", 5000)
        file.fsync()
        file.pwrite(b"end", len(DATA))
        assert file.stat().st_size == len(DATA) + 3
    expected = DATA[:5000] + b"new" + DATA[5003:] + b"end"
    assert truth.read_bytes("d/f") == expected

    with may_be_unknown() as appended, client.open("d/f", "ab") as file:
        file.write(b"tail")
    assert truth.read_bytes("d/f") in {expected + b"tail", *([expected] if appended == ["unknown"] else [])}

    with may_be_unknown() as renamed:
        client.rename("d/f", "d/g")
    where = [name for name in ("f", "g") if truth.exists(f"d/{name}")]
    assert where == ["g"] or (renamed == ["unknown"] and where == ["f"])
    assert client.listdir("d") == where

    with may_be_unknown() as removed:
        client.remove(f"d/{where[0]}")
    assert not truth.exists(f"d/{where[0]}") or removed == ["unknown"]
    assert client.stat("d").is_dir()


def clean(truth: Any) -> None:
    if truth.exists("d"):
        for name in truth.listdir("d"):
            truth.remove(f"d/{name}")
        truth.rmdir("d")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dialect", "piece"), [("9P2000.L", 0), ("9P2000.L", 5), ("9P2000.L", 9), ("9P2000.u", 0), ("9P2000", 0)]
)
def test_a_cut_at_every_message(relayed: Any, memory: InThread, dialect: str, piece: int) -> None:
    with connect_directly(memory.socket(), timeout=TIMEOUT) as truth:
        client, whole = relayed(dialect)
        before = whole.messages
        use(client, truth)
        assert whole.connections == 1
        for cut in range(before, whole.messages, 3 if piece else 1):
            clean(truth)
            client, relay = relayed(dialect, cut=cut, piece=piece)
            use(client, truth)
            client.close()
            relay.cut()
            # the last request is a Tclunk, whose reply nobody waits for
            assert relay.connections == 2 or cut >= whole.messages - 2, f"not cut at {cut}"


@pytest.mark.parametrize("again", range(1, 9))
def test_a_cut_while_the_state_is_made_again(relayed: Any, memory: InThread, again: int) -> None:
    client, relay = relayed(cut=40, again=(again, again))
    with connect_directly(memory.socket(), timeout=TIMEOUT) as truth:
        use(client, truth)
    assert relay.connections == 4


def test_many_tasks_and_many_cuts(memory: InThread) -> None:
    async def task(client: aio.AsyncClient, number: int) -> bytes:
        async with await client.open(f"f{number}", "w+b") as file:
            for record in range(40):
                await file.pwrite(b"%8d" % record, 8 * record)
                if record % 8 == number % 8:
                    await file.fsync()
                assert await file.pread(8, 8 * record) == b"%8d" % record
            return await file.pread(1 << 20, 0)

    async def run(port: int) -> list[bytes]:
        client = await aio.connect(f"127.0.0.1:{port}", reconnect=TIMEOUT, timeout=TIMEOUT)
        try:
            return await asyncio.gather(*(task(client, number) for number in range(20)))
        finally:
            await client.close()

    # the first messages after a loss make 20 files again: version, attach, walks and opens
    with Relay(memory.port(), cut=150, piece=3, again=(120, 200, 90, 150, 300, 95, 400)) as relay:
        found = asyncio.run(run(relay.port))
        assert relay.connections == 9
    assert found == [b"".join(b"%8d" % record for record in range(40))] * 20


def test_threads_that_share_a_client(memory: InThread) -> None:
    with Relay(memory.port(), cut=100, again=(90, 150)) as relay:
        with connect_directly(f"127.0.0.1:{relay.port}", reconnect=TIMEOUT, timeout=TIMEOUT) as client:

            def work(number: int) -> bytes:
                client.write_bytes(f"f{number}", b"%d" % number * 100)
                return b"".join(client.read_bytes(f"f{number}") for _ in range(5))

            with ThreadPoolExecutor(8) as pool:
                found = list(pool.map(work, range(8)))
        assert relay.connections == 4
    assert found == [b"%d" % number * 500 for number in range(8)]


# -- what is found, or not, afterwards --------------------------------------------------------------------------------


@pytest.fixture
def opened(relayed: Any, memory: InThread) -> Iterator[tuple[Any, Relay, Any]]:
    """A file `f`, open for reading and writing; the relay; and a client whose connection stays."""
    with connect_directly(memory.socket(), timeout=TIMEOUT) as truth:
        truth.write_bytes("f", b"content")
        client, relay = relayed()
        with client.open("f", "r+b") as file:
            yield file, relay, truth


def test_another_file_of_the_name_is_stale(opened: Any) -> None:
    file, relay, truth = opened
    truth.remove("f")
    truth.write_bytes("f", b"another")
    relay.cut()
    for _ in range(2):
        with pytest.raises(OSError, match="f is not the same file any more") as caught:
            file.pread(7, 0)
        assert caught.value.errno == errno.ESTALE
    with pytest.raises(OSError, match="not the same"):
        file.close()


def test_a_file_that_this_client_renamed_is_found(relayed: Any) -> None:
    client, relay = relayed()
    client.mkdir("a")
    client.write_bytes("a/f", b"content")
    with client.open("a/f") as file:
        client.rename("a", "b")
        relay.cut()
        assert file.pread(7, 0) == b"content"


def test_a_lock_is_taken_again(opened: Any) -> None:
    file, relay, truth = opened
    file.lock(0, 10)
    relay.cut()
    assert file.pread(7, 0) == b"content"
    with truth.open("f", "r+b") as other, pytest.raises(BlockingIOError):
        other.lock(5, 1, wait=False, owner=12345)


def test_a_lock_that_another_has_now(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ninep.client.recovery.LOCK_TRIES", 1)
    file, relay, truth = opened
    file.lock(0, 10)
    relay.refusing.set()
    relay.cut()
    with truth.open("f", "r+b") as other:
        other.lock(5, 1, owner=12345)  # waits until the server has seen the end of the connection
        relay.refusing.clear()
        with pytest.raises(OSError, match="a lock was lost") as caught:
            file.pread(7, 0)
    assert caught.value.errno == errno.EIO
    with pytest.raises(OSError, match="a lock was lost"):
        file.close()


def test_what_was_written_and_not_synced_is_written_again(opened: Any) -> None:
    file, relay, truth = opened
    file.pwrite(b"C", 0)
    truth.write_bytes("f", b"lost...")  # as if the server's machine had lost what it had not synced
    relay.cut()
    file.fsync()
    assert truth.read_bytes("f") == b"Cost..."
    truth.write_bytes("f", b"content")
    relay.cut()
    assert file.pread(7, 0) == b"content"  # what is synced is not written again


def test_more_than_is_kept_is_reported_once(opened: Any) -> None:
    file, relay, _truth = opened
    for start in range(0, KEPT_BYTES + 1, 1 << 20):
        file.pwrite(bytes(1 << 20), start)
    relay.cut()
    with pytest.raises(NotWritten):
        file.fsync()
    file.fsync()


def test_a_listing_begins_again_and_gives_each_name_once(relayed: Any) -> None:
    client, relay = relayed()
    names = {f"a name of some length, and a number, {number}" for number in range(150)}
    for name in names:
        client.write_bytes(name, b"")
    entries = iter(client.scandir("/"))
    first = next(entries).name
    relay.cut()
    rest = [entry.name for entry in entries]
    assert len(rest) == len(names) - 1
    assert {first, *rest} == names


def test_no_server_in_time(face: Any, memory: InThread) -> None:
    said: list[str] = []
    with Relay(memory.port()) as relay:
        client = face.connect(f"127.0.0.1:{relay.port}", reconnect=0.3, on_reconnect=said.append, timeout=TIMEOUT)
        relay.refusing.set()
        relay.cut()
        with pytest.raises(ConnectionResetError, match="no server took over within"):
            client.stat("/")
        client.close()
    assert said == ["connection lost (the server closed the connection), trying again for 0.3 s"]


def test_a_server_that_ends_each_connection(face: Any, memory: InThread) -> None:
    # after version, attach and their replies, in the first request of the client
    with Relay(memory.port(), cut=4, again=(4,) * 10_000) as relay:
        client = face.connect(f"127.0.0.1:{relay.port}", reconnect=0.5, timeout=TIMEOUT)
        with pytest.raises(ConnectionResetError, match="no server took over within"):
            client.stat("f")
        assert relay.connections > 2
        client.close()


def test_a_socket_cannot_be_connected_again(face: Any, memory: InThread) -> None:
    with memory.socket() as sock, pytest.raises(ValueError, match="reconnect needs an address"):
        face.connect(sock, reconnect=1)


# -- the first connection --------------------------------------------------------------------------------------------


def test_the_first_connection_is_tried_again(face: Any, memory: InThread) -> None:
    """Of a server that is not there yet, and of a load balancer that ends what it has no server for."""
    (port,) = free_ports(1)
    said: list[str] = []
    serving = ExitStack()

    def heard(words: str) -> None:
        said.append(words)
        if len(said) == 1:
            relay = serving.enter_context(Relay(memory.port(), cut=1, again=(3,), port=port))
            relays.append(relay)

    relays: list[Relay] = []
    with serving:
        client = face.connect(f"127.0.0.1:{port}", reconnect=TIMEOUT, on_reconnect=heard, timeout=TIMEOUT)
        assert client.exists("/")
        client.close()
        assert relays[0].connections == 3  # cut before Rversion, then before Rattach
    assert said[0].endswith(f", trying again for {TIMEOUT:g} s")
    assert said[1] == "connected"


def test_what_will_not_pass_is_no_reason_to_try_again(face: Any, memory: InThread) -> None:
    said: list[str] = []
    port = memory.port()
    with pytest.raises(FileNotFoundError):
        face.connect(f"127.0.0.1:{port}", "other", reconnect=TIMEOUT, on_reconnect=said.append, timeout=TIMEOUT)
    assert not said


def test_no_server_listens_in_time(face: Any) -> None:
    (port,) = free_ports(1)
    said: list[str] = []
    with pytest.raises(ConnectionRefusedError):
        face.connect(f"127.0.0.1:{port}", reconnect=0.2, on_reconnect=said.append, timeout=TIMEOUT)
    assert len(said) == 1


# -- a file that was emptied ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["9P2000.L", "9P2000.u", "9P2000"])
@pytest.mark.parametrize("way", ["open", "truncate"])
def test_a_truncation_that_was_not_synced_is_made_again(relayed: Any, memory: InThread, dialect: str, way: str) -> None:
    """A server's machine that crashed may have the former content again."""
    with connect_directly(memory.socket(), timeout=TIMEOUT) as truth:
        truth.write_bytes("f", b"former content")
        client, relay = relayed(dialect)
        with client.open("f", "wb" if way == "open" else "r+b") as file:
            if way == "truncate":
                file.truncate(0)
            file.pwrite(b"new", 0)
            truth.write_bytes("f", b"former content")
            relay.cut()
            file.fsync()
            assert truth.read_bytes("f") == b"new"
            truth.write_bytes("f", b"former content")
            relay.cut()
            assert file.stat().st_size == len(b"former content")  # what is synced is not done again
