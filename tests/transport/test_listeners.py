"""Listening at every kind of address, in both event loops; what is in the way, and what stays
behind.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvloop
from tests.serving import ORDINARY_USER, may_become_another_user
from tests.support.client import TIMEOUT, RawClient

from ninep.drivers.memory import MemoryDriver
from ninep.server.server import Server
from ninep.transport import Address, addresses, listeners
from ninep.transport.busy_poll import POSSIBLE, SocketWriter
from ninep.transport.inherited import Descriptor
from ninep.transport.stdio import Stdio
from ninep.transport.tcp import Tcp
from ninep.transport.unix import Unix, remove_abandoned
from ninep.transport.vsock import Vsock
from ninep.transport.writer import LoopWriter

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run[Any]:
    """Run a coroutine in one of the event loops."""
    return uvloop.run if request.param == "uvloop" else asyncio.run


def talk(sock: socket.socket) -> None:
    """A whole session over a connected socket."""
    with RawClient(sock) as client:
        client.version()
        client.attach()
        client.create(0, 1, b"f", b"hello")
        assert client.read(1) == b"hello"
        client.clunk(0, 1)


def tcp(address: Address) -> socket.socket:
    assert isinstance(address, Tcp)
    return socket.create_connection((address.host or "localhost", address.port), 20)


def unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.connect(path)
    return sock


async def serve(address: str | Address, connect: Callable[[Address], socket.socket], times: int = 2) -> Address:
    """Listen, talk, stop; where it was."""
    async with Server(MemoryDriver()) as server:
        actual = await server.listen(address)
        assert server.accepting
        for _ in range(times):
            await asyncio.to_thread(lambda: talk(connect(actual)))
        await asyncio.wait_for(server.wait_idle(), TIMEOUT)
    return actual


class TestTcp:
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", ""])
    def test_with_a_port_that_the_system_chooses(self, run: Run[Address], host: str) -> None:
        actual = run(serve(Tcp(host, 0), tcp))
        assert isinstance(actual, Tcp)
        assert actual.host == host
        assert actual.port

    def test_ipv6(self, run: Run[Address]) -> None:
        try:
            with socket.create_server(("::1", 0), family=socket.AF_INET6):
                pass
        except OSError as error:
            pytest.skip(f"no IPv6 loopback here: {error}")
        assert str(run(serve("[::1]:0", tcp))).startswith("[::1]:")

    def test_every_interface_has_one_port(self) -> None:
        bound = listeners.bind(Tcp("", 0))
        try:
            ports = {sock.getsockname()[1] for sock in bound.sockets}
            assert len(ports) == 1
        finally:
            for sock in bound.sockets:
                sock.close()

    def test_a_busy_port(self, run: Run[None]) -> None:
        async def twice() -> None:
            async with Server(MemoryDriver()) as first, Server(MemoryDriver()) as second:
                actual = await first.listen("127.0.0.1:0")
                with pytest.raises(OSError, check=lambda error: error.errno == errno.EADDRINUSE):
                    await second.listen(actual)
                assert not second.accepting

        run(twice())

    def test_the_port_is_free_at_once_afterwards(self, run: Run[Address]) -> None:
        actual = run(serve("127.0.0.1:0", tcp))
        assert run(serve(actual, tcp)) == actual

    def test_a_host_that_is_not(self, run: Run[None]) -> None:
        for host in ("203.0.113.1", "no-such-host.invalid"):  # TEST-NET-3 is assigned to no host
            with pytest.raises(OSError):  # noqa: PT011 - which one depends on the system
                run(serve(Tcp(host, 0), tcp))

    def test_replies_leave_at_once(self, run: Run[None]) -> None:
        # Without TCP_NODELAY the second small reply waits for the acknowledgement of the first.
        async def look() -> None:
            async with Server(MemoryDriver()) as server:
                actual = await server.listen("127.0.0.1:0")
                with await asyncio.to_thread(tcp, actual) as sock:
                    client = RawClient(sock)
                    await asyncio.to_thread(client.version)
                    (connection,) = server._connections
                    theirs = connection._transport._transport.get_extra_info("socket")  # type: ignore[attr-defined]
                    assert theirs.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

        run(look())


class TestUnix:
    @pytest.fixture
    def path(self, tmp_path: Path) -> str:
        return str(tmp_path / "9p.sock")

    def test_is_made_and_removed(self, run: Run[Address], path: str) -> None:
        def connect(_: Address) -> socket.socket:
            assert stat.S_ISSOCK(os.stat(path).st_mode)
            return unix(path)

        run(serve(Unix(path), connect))
        assert not os.path.lexists(path)

    @pytest.mark.parametrize("umask", [0, 0o022, 0o077])
    def test_is_its_owners(self, run: Run[None], path: str, umask: int) -> None:
        async def look() -> None:
            async with Server(MemoryDriver()) as server:
                await server.listen(Unix(path))
                assert stat.S_IMODE(os.stat(path).st_mode) == 0o600

        before = os.umask(umask)
        try:
            run(look())
            assert os.umask(umask) == umask
        finally:
            os.umask(before)

    def test_one_that_was_left_behind_is_replaced(self, run: Run[Address], path: str) -> None:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(path)
            dead.listen()
        assert os.path.lexists(path)
        run(serve(Unix(path), lambda _: unix(path)))

    def test_one_that_is_in_use_is_not(self, run: Run[None], path: str) -> None:
        async def twice() -> None:
            async with Server(MemoryDriver()) as first, Server(MemoryDriver()) as second:
                await first.listen(Unix(path))
                with pytest.raises(OSError, check=lambda error: error.errno == errno.EADDRINUSE):
                    await second.listen(Unix(path))
                await asyncio.to_thread(lambda: talk(unix(path)))

        run(twice())

    def test_nor_one_whose_backlog_is_full(self, run: Run[Address], path: str) -> None:
        with socket.socket(socket.AF_UNIX) as busy:
            busy.bind(path)
            busy.listen(0)
            waiting = []
            while True:
                sock = socket.socket(socket.AF_UNIX)
                sock.setblocking(False)
                waiting.append(sock)
                try:
                    sock.connect(path)
                except BlockingIOError:
                    break
            with pytest.raises(OSError, check=lambda error: error.errno == errno.EADDRINUSE):
                run(serve(Unix(path), lambda _: unix(path)))
            for sock in waiting:
                sock.close()

    @pytest.mark.parametrize("kind", ["file", "directory", "link"])
    def test_nor_anything_else(self, run: Run[Address], path: str, kind: str) -> None:
        match kind:
            case "file":
                Path(path).write_text("precious")
            case "directory":
                os.mkdir(path)
            case _:
                os.symlink("nowhere", path)
        self.refused(run, path)
        assert os.path.lexists(path)

    def test_nor_another_programs_socket(self, run: Run[Address], path: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.bind(path)
            self.refused(run, path)
        assert os.path.lexists(path)

    @pytest.mark.skipif(not may_become_another_user(), reason="needs root")
    def test_nor_one_that_another_user_left_behind(self, run: Run[Address], path: str) -> None:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(path)
        os.chown(path, ORDINARY_USER, -1)
        self.refused(run, path)
        remove_abandoned(path)
        assert os.path.lexists(path)
        os.chown(path, os.geteuid(), -1)
        remove_abandoned(path)
        assert not os.path.lexists(path)
        remove_abandoned(path)

    def refused(self, run: Run[Address], path: str) -> None:
        with pytest.raises(OSError, check=lambda error: error.errno == errno.EADDRINUSE):
            run(serve(Unix(path), lambda _: unix(path)))

    def test_a_folder_that_is_not(self, run: Run[Address], path: str) -> None:
        with pytest.raises(FileNotFoundError):
            run(serve(Unix(path + "/below"), lambda _: unix(path)))

    def test_a_path_that_is_too_long(self, run: Run[Address], path: str) -> None:
        with pytest.raises(OSError, match="too long"):
            run(serve(Unix(path + "x" * 200), lambda _: unix(path)))

    def test_a_successors_socket_is_left_alone(self, run: Run[None], path: str) -> None:
        async def succeed() -> None:
            async with Server(MemoryDriver()) as first:
                await first.listen(Unix(path))
                os.unlink(path)
                with socket.socket(socket.AF_UNIX) as successor:
                    successor.bind(path)
                    await first.close()

        run(succeed())
        assert os.path.lexists(path)


class TestInherited:
    def test_a_listening_socket(self, run: Run[Address]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as theirs:
            port = theirs.getsockname()[1]
            number = os.dup(theirs.fileno())
        run(serve(Descriptor(number), lambda _: socket.create_connection(("127.0.0.1", port), 20)))
        with pytest.raises(OSError, check=lambda error: error.errno == errno.EBADF):  # it was ours, and is closed
            os.fstat(number)

    def test_a_connection(self, run: Run[None]) -> None:
        ours, theirs = socket.socketpair()

        async def one() -> None:
            async with Server(MemoryDriver()) as server:
                await server.listen(Descriptor(theirs.detach()))
                assert not server.accepting
                assert server.connections == 1
                await asyncio.to_thread(talk, ours)
                await asyncio.wait_for(server.wait_idle(), TIMEOUT)

        run(one())

    def test_a_tcp_connection(self, run: Run[None]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            ours = socket.create_connection(listening.getsockname(), 20)
            theirs, _ = listening.accept()

        async def one() -> None:
            async with Server(MemoryDriver()) as server:
                await server.listen(Descriptor(theirs.detach()))
                await asyncio.to_thread(talk, ours)

        run(one())

    @pytest.mark.parametrize("what", ["file", "nothing"])
    def test_what_is_no_socket(self, run: Run[Address], tmp_path: Path, what: str) -> None:
        number = os.open(tmp_path / "f", os.O_CREAT | os.O_RDWR)
        if what == "nothing":
            os.close(number)
        with pytest.raises(OSError, check=lambda error: error.errno in {errno.ENOTSOCK, errno.EBADF}):
            run(serve(Descriptor(number), tcp))
        if what == "file":
            os.close(number)


@pytest.fixture
def vsock() -> None:
    """A host on which a vsock can be listened at."""
    if not hasattr(socket, "AF_VSOCK"):
        pytest.skip("this system's Python has no AF_VSOCK")
    try:
        with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as probe:
            probe.bind((0xFFFFFFFF, 0xFFFFFFFF))
    except OSError as error:
        pytest.skip(f"no vsock here: {error.strerror}")


@pytest.mark.usefixtures("vsock")
class TestVsock:
    def test_takes_a_port(self) -> None:
        bound = listeners.bind(Vsock(-1, 56400))
        with bound.sockets[0] as sock:
            assert sock.getsockname() == (0xFFFFFFFF, 56400)
            assert listeners.is_listening(sock)

    def test_a_busy_port(self) -> None:
        bound = listeners.bind(Vsock(-1, 56401))
        with bound.sockets[0], pytest.raises(OSError, check=lambda error: error.errno == errno.EADDRINUSE):
            listeners.bind(Vsock(-1, 56401))

    def test_a_session(self) -> None:
        bound = listeners.bind(Vsock(-1, 56402))
        with bound.sockets[0], socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as probe:
            probe.settimeout(1)
            try:
                probe.connect((1, 56402))  # VMADDR_CID_LOCAL
            except OSError as error:
                pytest.skip(f"no vsock loopback here: {error}")

        def connect(_: Address) -> socket.socket:
            sock = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
            sock.connect((1, 56403))
            return sock

        asyncio.run(serve(Vsock(-1, 56403), connect))


def test_a_family_that_this_python_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, address in (("AF_VSOCK", "vsock:-1:1"), ("AF_HYPERV", "hyperv:any:1"), ("AF_UNIX", "unix:x")):
        monkeypatch.delattr(socket, name, raising=False)
        with pytest.raises(OSError, match=name if name != "AF_UNIX" else "unix sockets"):
            listeners.bind(addresses.parse(address))


def test_standard_input_is_nothing_to_share() -> None:
    with pytest.raises(OSError, match="cannot be shared"):
        listeners.bind(Stdio())


@pytest.mark.parametrize("owns", [False, True])
def test_only_a_loop_that_is_owned_is_kept_waiting(run: Run[None], owns: bool) -> None:
    """The writer that busy polls is not even chosen in a program that uses its loop for other
    things.
    """

    async def look() -> None:
        async with Server(MemoryDriver(), owns_loop=owns) as server:
            actual = await server.listen("127.0.0.1:0")
            with await asyncio.to_thread(tcp, actual) as sock:
                client = RawClient(sock)
                await asyncio.to_thread(client.version)
                (connection,) = server._connections
                assert type(connection._transport) is (SocketWriter if owns and POSSIBLE else LoopWriter)

    run(look())
