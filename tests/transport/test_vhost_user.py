"""``vhost-user:PATH,tag=TAG``: addresses, what to paste, sockets; several devices, several workers."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
import shlex
import signal
import socket
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.serving import Server as Program
from tests.support.client import refused
from tests.support.served import Served
from tests.support.vhost_front_end import Guest
from tests.support.virtio_client import Ring, unix

from ninep.app.hints import hints
from ninep.drivers.memory import MemoryDriver
from ninep.host import shared
from ninep.linux import GETATTR_BASIC, Errno
from ninep.server.access import Access, parse_rule
from ninep.server.exports import Export
from ninep.server.server import Server
from ninep.transport import BadAddress, listeners
from ninep.transport.addresses import parse
from ninep.transport.hints import GUEST
from ninep.transport.vhost_user import VhostUser, VhostUserOptions
from ninep.transport.virtio_9p import MOUNT_TAG
from ninep.virtio import messages as v
from ninep.virtio.device import COMMON
from ninep.virtio.messages import Request
from ninep.wire import messages as m
from ninep.wire.codec import codec
from ninep.wire.modes import EXTENDED

linux = pytest.mark.skipif(sys.platform != "linux", reason="vhost-user is Linux's")


class TestAddresses:
    @pytest.mark.parametrize(
        ("text", "path", "options"),
        [
            ("vhost-user:/run/vm.sock", "/run/vm.sock", {}),
            ("vhost-user:/run/vm.sock,tag=src", "/run/vm.sock", {"tag": "src"}),
            (
                "vhost-user:vm,tag=a,,b,export=x y,queue-size=256,unsealed-memory",
                "vm",
                {"tag": "a,b", "export": "x y", "queue_size": 256, "unsealed_memory": True},
            ),
            ("vhost-user:/a,,b,tag=t,unsealed-memory=yes", "/a,b", {"tag": "t", "unsealed_memory": True}),
        ],
    )
    def test_are_read_and_written(self, text: str, path: str, options: dict[str, Any]) -> None:
        address = parse(text)
        assert address == VhostUser(path, VhostUserOptions(**options))
        assert parse(str(address)) == address
        assert address.export == options.get("export", "")

    @pytest.mark.parametrize(
        ("rest", "sentence"),
        [
            ("", "needs a path, vhost-user:PATH,tag=TAG"),
            (",tag=t", "empty option between two commas"),
            ("tag=t", "needs a path, vhost-user:PATH,tag=TAG"),
            ("/s,tag=", "a tag has 1 to 254 bytes, not 0"),
            ("/s,tag=" + "x" * 255, "a tag has 1 to 254 bytes, not 255"),
            ("/s,queue-size=100", "100 is not a power of two"),
            ("/s,queue-size=4", "out of range (8 to 1024)"),
            ("/s,tga=x", "did you mean 'tag'?"),
            ("/s,tag=a,tag=b", "exclude each other"),
        ],
    )
    def test_that_cannot_be(self, rest: str, sentence: str) -> None:
        with pytest.raises(BadAddress) as caught:
            parse(f"vhost-user:{rest}")
        assert sentence in str(caught.value)

    def test_without_a_connection(self) -> None:
        with pytest.raises(BadAddress, match="not a transport of 9P"):
            parse("vhost-user:///run/vm.sock")


class TestHints:
    def of(self, address: str, name: str = "", msize: int = 1 << 20) -> list[tuple[str, str]]:
        return [(hint.where, hint.line) for hint in hints(parse(address), name, msize)]

    def test_the_arguments_of_qemu_and_the_mount(self) -> None:
        (qemu, memory), (device, arguments), (guest, mount) = self.of("vhost-user:/run/vm.sock,tag=src")
        assert qemu.startswith("QEMU 10.2 or newer")
        assert memory == "-m 4G -object memory-backend-memfd,id=mem,size=4G,share=on -machine memory-backend=mem"
        assert "src" in device
        assert shlex.split(arguments) == [
            *("-chardev", "socket,id=vhost-user.src,path=/run/vm.sock"),
            "-device",
            "vhost-user-test-device-pci,chardev=vhost-user.src,virtio-id=9,num_vqs=1,vq_size=128,config_size=5",
        ]
        assert guest.startswith(GUEST)
        assert mount == "mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000 src /mnt"

    def test_several_devices_have_names_of_their_own_and_one_memory(self) -> None:
        tags = ["a-b", "a_b", "a b", "a_20b", "ü"]
        found = [self.of(f"vhost-user:/run/vm.sock,tag={tag}") for tag in tags]
        assert len({memory for memory, *_ in found}) == 1
        names = {re.findall(r"id=([^,]*)", arguments)[0] for _, (_, arguments), *_ in found}
        assert len(names) == len(tags)
        assert all(re.fullmatch("[A-Za-z][A-Za-z0-9._-]*", name) for name in names), "identifiers of QEMU"

    def test_sizes_and_names(self) -> None:
        _, (_, arguments), (_, mount) = self.of("vhost-user:/a,,b,tag=ü x,queue-size=512", msize=65536)
        assert shlex.split(arguments)[-1].endswith(",vq_size=512,config_size=6")
        assert "socket,id=vhost-user._c3_bc_20x,path=/a,,b" in shlex.split(arguments)
        assert mount == "mount -t 9p -o trans=virtio,version=9p2000.L,msize=65536 'ü x' /mnt"

    def test_the_export_of_the_device_needs_no_name(self) -> None:
        address = "vhost-user:/s,tag=t,export=docs"
        assert self.of(address, "docs")[-1][1].endswith("msize=512000 t /mnt")
        assert self.of(address, "other")[-1][1].endswith("msize=512000,aname=other t /mnt")
        assert self.of(address, "") == []  # no name chooses it there


def test_elsewhere_one_sentence_says_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "AVAILABLE", False)
    with pytest.raises(OSError, match="needs Linux", check=lambda error: error.errno == errno.EAFNOSUPPORT):
        listeners.bind(parse("vhost-user:/run/vm.sock"))


@linux
class TestSockets:
    def test_mode_and_end(self, tmp_path: Path) -> None:
        path = tmp_path / "vm.sock"

        async def look() -> None:
            async with Server(MemoryDriver()) as server:
                await server.listen(VhostUser(str(path), mode=0o660))
                assert stat.S_IMODE(path.stat().st_mode) == 0o660
                assert server.accepting

        asyncio.run(look())
        assert not path.exists()

    def test_an_export_that_is_not(self, tmp_path: Path) -> None:
        async def listen() -> None:
            async with Server(MemoryDriver()) as server:
                await server.listen(f"vhost-user:{tmp_path}/vm.sock,export=none")

        with pytest.raises(BadAddress, match="no export is named 'none'"):
            asyncio.run(listen())

    @pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
    def test_the_export_of_the_address(self, tmp_path: Path, loop: str) -> None:
        exports = [Export("a", MemoryDriver()), Export("b", MemoryDriver())]
        with Served(exports=exports, loop=loop) as served:
            served.call(served.server.listen(f"vhost-user:{tmp_path}/s,export=b"))
            with Ring(f"{tmp_path}/s") as ring:
                client = ring.client()
                client.create(0, 1, b"f")
                client.attach(fid=2, aname=b"b")
                client.walk(2, 3, b"f")
                client.attach(fid=4, aname=b"a")
                with refused(Errno.ENOENT):
                    client.rpc(m.Twalk(4, 5, [b"f"]))

    def test_a_front_end_that_breaks_the_protocol(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        with Served() as served:
            served.call(served.server.listen(f"vhost-user:{tmp_path}/s"))
            with caplog.at_level(logging.WARNING), unix(f"{tmp_path}/s") as sock:
                sock.sendall(v.HEADER.pack(99, 1, 0))
                assert sock.recv(1) == b""
            assert [one.getMessage() for one in caplog.records] == [
                f"closing vhost-user uid={os.geteuid()} pid={os.getpid()} tag=ninep: request 99, which is none that was offered"
            ]
            with Ring(f"{tmp_path}/s") as ring:
                ring.client()

    def test_messages_in_pieces(self, tmp_path: Path) -> None:
        with Served() as served:
            served.call(served.server.listen(f"vhost-user:{tmp_path}/s"))
            with unix(f"{tmp_path}/s") as sock, sock.makefile("rb") as answers:
                for byte in v.pack(Request.GET_FEATURES) * 2:
                    sock.send(bytes([byte]))
                answer = v.pack_answer(Request.GET_FEATURES, COMMON | MOUNT_TAG)
                assert answers.read(2 * len(answer)) == answer * 2

    def test_one_that_takes_no_answers(self, tmp_path: Path) -> None:
        with Served() as served:
            served.call(served.server.listen(f"vhost-user:{tmp_path}/s"))
            with unix(f"{tmp_path}/s") as sock, pytest.raises(ConnectionError):
                sock.sendall(v.pack(Request.GET_FEATURES) * 1_000_000)

    def test_memory_that_could_shrink(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        with Served() as served:
            for name, options in (("sealed", ""), ("unsealed", ",unsealed-memory=yes")):
                served.call(served.server.listen(f"vhost-user:{tmp_path}/{name}{options}"))
            guest = Guest(8, sealed=False)
            with caplog.at_level(logging.WARNING):
                ring = Ring(f"{tmp_path}/sealed", guest=guest, start=False)
                ring.front.realize()
                assert ring.front.tell_memory() == 1
                ring.close()
            assert "memory-backend-memfd" in caplog.text
            assert "unsealed-memory=yes" in caplog.text
            ring = Ring(f"{tmp_path}/unsealed", guest=guest)
            ring.client()
            ring.close()
            guest.close()


@linux
def test_a_peer_that_may_not_connect_is_told_so_by_the_mount(tmp_path: Path) -> None:
    async def refuse() -> None:
        access = Access((parse_rule(f"uid:{os.geteuid() + 1}"),))
        async with Server(MemoryDriver(), access=access) as server:
            await server.listen(f"vhost-user:{tmp_path}/s")

            def mount() -> None:
                plain = codec(EXTENDED)
                with Ring(f"{tmp_path}/s") as ring:
                    reply = ring.front.call(plain.encode(m.NOTAG, m.Tversion(1048, b"9P2000.L"))[0], 200)
                    assert plain.decode(reply) == (m.NOTAG, m.Rlerror(Errno.EACCES))

            await asyncio.to_thread(mount)

    asyncio.run(refuse())


@linux
class TestWorkers:
    def test_devices_are_spread_and_peers_are_named_by_their_transport(self, tmp_path: Path) -> None:
        (tmp_path / "export").mkdir()
        path = tmp_path / "vm.sock"
        options = ("--workers", "2", "--listen", f"vhost-user:{path},tag=src", "--verbose")
        with Program(tmp_path / "export", *options) as program:
            rings = [Ring(str(path)) for _ in range(4)]
            for number, ring in enumerate(rings):
                assert ring.front.config(5) == b"\x03\0src"
                ring.client().create(0, 1, b"%d" % number, b"x")
            for ring in rings:
                ring.close()
            with Ring(str(path)) as ring:
                ring.client().walk(0, 1, b"3")
                with program_client(program) as other:
                    other.walk(0, 1, b"3")
        attached = re.findall(r"attach (vhost-user) uid=\d+ pid=\d+ tag=src", program.said())
        assert len(attached) == 5
        assert re.search(r"attach 127\.0\.0\.1:\d+", program.said())

    def test_the_device_of_a_worker_that_dies_is_gone_and_a_new_one_is_served(self, tmp_path: Path) -> None:
        (tmp_path / "export").mkdir()
        path = tmp_path / "vm.sock"
        with Program(tmp_path / "export", "--workers", "2", "--listen", f"vhost-user:{path}", "--verbose") as program:
            ring = Ring(str(path))
            ring.client().rpc(m.Tgetattr(0, GETATTR_BASIC))
            workers = re.findall(r"worker (\d+) serves", program.said())
            for pid in workers:
                os.kill(int(pid), signal.SIGKILL)
            assert ring.front.socket.recv(1) == b""
            ring.close()
            with Ring(str(path)) as again:
                again.client().rpc(m.Tgetattr(0, GETATTR_BASIC))


def program_client(program: Program) -> Any:
    """A session over TCP."""
    from tests.support.client import RawClient

    client = RawClient(socket.create_connection(("127.0.0.1", program.port)))
    client.version()
    client.attach()
    return client
