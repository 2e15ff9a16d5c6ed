"""FUSE over virtqueues: a guest's driver, a front end, a unix socket, the real server."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest
from tests.serving import Server as Program
from tests.support.fuse_kernel import OFFERED, ROOT, Failed, entry_of, refused
from tests.support.served import Served
from tests.support.vhost_front_end import FrontEnd, Guest
from tests.support.virtio_client import unix
from tests.support.virtio_driver import Driver

from ninep.app.build import exports_of
from ninep.app.config import ServerConfig
from ninep.app.exports import ExportConfig
from ninep.app.hints import hints
from ninep.drivers.memory import MemoryDriver
from ninep.linux import LOCK_UNLCK, LOCK_WRLCK, Errno
from ninep.node import User
from ninep.options import BadOption
from ninep.server.exports import Export
from ninep.transport import BadAddress
from ninep.transport.addresses import parse
from ninep.transport.hints import GUEST
from ninep.transport.peers import Peer
from ninep.transport.virtiofs import VirtioFs, Virtiofs, VirtiofsOptions
from ninep.virtio import messages as v
from ninep.virtio.inflight import region_size
from ninep.virtio.messages import Request
from ninep.wire import fuse as f
from ninep.wire import fuse_codec as codec
from ninep.wire.fuse import Opcode

linux = pytest.mark.skipif(sys.platform != "linux", reason="vhost-user is Linux's")


class TestAddresses:
    @pytest.mark.parametrize(
        ("text", "path", "options"),
        [
            ("virtiofs:/run/vm.sock", "/run/vm.sock", {}),
            ("virtiofs:/run/vm.sock,tag=src", "/run/vm.sock", {"tag": "src"}),
            (
                "virtiofs:vm,tag=a,,b,export=x y,cache=none,locks=local,unsealed-memory",
                "vm",
                {"tag": "a,b", "export": "x y", "cache": 0.0, "locks": "local", "unsealed_memory": True},
            ),
            ("virtiofs:/a,,b,cache=0.5", "/a,b", {"cache": 0.5}),
        ],
    )
    def test_are_read_and_written(self, text: str, path: str, options: dict[str, Any]) -> None:
        address = parse(text)
        assert address == Virtiofs(path, VirtiofsOptions(**options))
        assert parse(str(address)) == address
        assert address.export == options.get("export", "")

    @pytest.mark.parametrize(
        ("rest", "sentence"),
        [
            ("", "needs a path, virtiofs:PATH,tag=TAG"),
            ("tag=t", "needs a path, virtiofs:PATH,tag=TAG"),
            ("/s,tag=", "a tag has 1 to 36 bytes, not 0"),
            ("/s,tag=" + "x" * 37, "a tag has 1 to 36 bytes, not 37"),
            ("/s,cache=x", "'x' is not a number of seconds, or none"),
            ("/s,cache=-1", "not a number of seconds"),
            ("/s,cache=nan", "not a number of seconds"),
            ("/s,locks=x", "'x' is not one of local, shared"),
        ],
    )
    def test_that_cannot_be(self, rest: str, sentence: str) -> None:
        with pytest.raises(BadAddress) as caught:
            parse(f"virtiofs:{rest}")
        assert sentence in str(caught.value)

    def test_the_arguments_of_qemu_and_the_mount(self) -> None:
        (qemu, memory), (device, arguments), (guest, mount) = hints(parse("virtiofs:/run/vm.sock,tag=src"), "", 1 << 20)
        assert qemu.startswith("QEMU 5.0 or newer")
        assert memory == "-m 4G -object memory-backend-memfd,id=mem,size=4G,share=on -machine memory-backend=mem"
        assert "src" in device
        assert shlex.split(arguments) == [
            *("-chardev", "socket,id=virtiofs.src,path=/run/vm.sock"),
            *("-device", "vhost-user-fs-pci,chardev=virtiofs.src,tag=src,queue-size=1024"),
        ]
        assert guest == GUEST
        assert mount == "mount -t virtiofs src /mnt"


class Mount:
    """A guest that has the device, and what it asks for."""

    def __init__(self, path: str, *, guest: Guest | None = None, start: bool = True, init: bool = True) -> None:
        self.front = FrontEnd(unix(path), guest=guest, features=0)
        self.room = 1024
        self._unique = 0
        self.early: dict[int, bytes] = {}
        self.empty = 0
        """How many requests came back with nothing written."""
        if start:
            self.front.realize()
            self.front.start()
            if init:
                self.init()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.front.close()

    def init(self) -> None:
        self.ask(Opcode.INIT, 0, f.MAJOR, f.MINOR, 0, OFFERED & 0xFFFFFFFF, bytes(48))

    def send(self, opcode: Opcode, nodeid: int, *fields: Any, room: Sequence[int] | None = None) -> int:
        self._unique += 2
        self.front.offer(
            [codec.pack_request(opcode, self._unique, nodeid, *fields)], (16, self.room) if room is None else room
        )
        return self._unique

    def reply(self, unique: int) -> bytes:
        while unique not in self.early:
            whole = self.front.collect()
            if whole:
                self.early[codec.unpack_out_header(whole)[2]] = whole
            else:
                self.empty += 1
        whole = self.early.pop(unique)
        size, error, _ = codec.unpack_out_header(whole)
        assert size == len(whole)
        if error:
            raise Failed(-error)
        return whole[16:]

    def ask(self, opcode: Opcode, nodeid: int, *fields: Any) -> bytes:
        return self.reply(self.send(opcode, nodeid, *fields))

    def create(self, name: bytes) -> tuple[int, int]:
        """Node id and handle."""
        made = entry_of(self.ask(Opcode.CREATE, ROOT, 0o102, 0o100644, 0, 0, name))
        return made.nodeid, made.fh

    def write(self, fh: int, data: bytes, offset: int = 0) -> None:
        assert self.ask(Opcode.WRITE, 0, fh, offset, len(data), 0, 0, 0, 0, data)[:4] == len(data).to_bytes(4, "little")

    def read(self, fh: int, size: int = 100, offset: int = 0) -> bytes:
        return self.ask(Opcode.READ, 0, fh, offset, size, 0, 0, 0, 0)

    def lock(self, fh: int, owner: int, kind: int, opcode: Opcode = Opcode.SETLK) -> int:
        return self.send(opcode, ROOT, fh, owner, 0, f.OFFSET_MAX, kind, 1, 0, 0)


class Host:
    """A server with a virtiofs socket."""

    def __init__(self, served: Served, path: Path, options: str = "tag=src") -> None:
        self.served = served
        self.path = str(path / "fs.sock")
        served.call(served.server.listen(f"virtiofs:{self.path},{options}"))

    def mount(self, **options: Any) -> Mount:
        return Mount(self.path, **options)


@pytest.fixture
def served() -> Iterator[Served]:
    with Served() as served:
        yield served


@pytest.fixture
def host(served: Served, tmp_path: Path) -> Host:
    return Host(served, tmp_path)


@linux
def test_a_guest_makes_writes_reads_and_removes(host: Host) -> None:
    with host.mount() as mount:
        _, fh = mount.create(b"f")
        mount.write(fh, b"hello")
        assert mount.read(fh) == b"hello"
        mount.ask(Opcode.RELEASE, ROOT, fh, 0, 0, 0)
        mount.ask(Opcode.UNLINK, ROOT, b"f")
        with refused(Errno.ENOENT):
            mount.ask(Opcode.LOOKUP, ROOT, b"f")


@linux
def test_many_requests_at_once_are_all_answered(host: Host) -> None:
    with host.mount() as mount:
        for _ in range(50):
            sent = [mount.send(Opcode.GETATTR, ROOT, 0, 0, 0) for _ in range(mount.front.guest.size)]
            assert [len(mount.reply(unique)) for unique in sent] == [codec.ATTR_OUT_SIZE] * len(sent)


@linux
def test_data_are_taken_from_where_they_are_and_put_where_they_belong(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Driver, "AREA", 0x10000)
    data = os.urandom(20000)
    with host.mount() as mount:
        _, fh = mount.create(b"f")
        frame = codec.pack_request(Opcode.WRITE, 77, ROOT, fh, 0, len(data), 0, 0, 0, 0, data)
        mount.front.offer([frame[:40], frame[40:80], frame[80:5000], frame[5000:]], [16, 8])
        assert mount.reply(77)[:4] == len(data).to_bytes(4, "little")
        frame = codec.pack_request(Opcode.READ, 79, ROOT, fh, 0, len(data), 0, 0, 0, 0)
        mount.front.offer([frame], [16, 4096, 4096, 16000])
        assert mount.reply(79) == data


@linux
def test_a_read_is_cut_to_the_room_it_has(host: Host) -> None:
    with host.mount() as mount:
        _, fh = mount.create(b"f")
        mount.write(fh, b"0123456789")
        mount.room = 4
        assert mount.read(fh) == b"0123"
        with refused(Errno.EIO):
            mount.ask(Opcode.GETATTR, ROOT, 0, 0, 0)


@linux
def test_what_has_no_reply_comes_back_empty(host: Host) -> None:
    with host.mount() as mount:
        node, _ = mount.create(b"f")
        mount.send(Opcode.FORGET, node, 1, room=())
        mount.send(Opcode.INTERRUPT, 0, 12345, room=())
        mount.send(Opcode.GETATTR, ROOT, 0, 0, 0, room=())  # a driver that wants no answer
        mount.send(Opcode.GETATTR, ROOT, 0, 0, 0, room=(15,))  # ... or has no room for one
        mount.ask(Opcode.GETATTR, ROOT, 0, 0, 0)
        assert mount.empty == 4


@linux
def test_a_lock_is_waited_for_while_others_are_served(host: Host) -> None:
    with host.mount() as mount:
        node, one = mount.create(b"f")
        two = int.from_bytes(mount.ask(Opcode.OPEN, node, 2, 0)[:8], "little")
        mount.reply(mount.lock(one, 1, LOCK_WRLCK))
        waiting = mount.lock(two, 2, LOCK_WRLCK, Opcode.SETLKW)
        mount.ask(Opcode.GETATTR, ROOT, 0, 0, 0)
        interrupted = mount.lock(two, 3, LOCK_WRLCK, Opcode.SETLKW)
        mount.send(Opcode.INTERRUPT, 0, interrupted, room=())
        with refused(Errno.EINTR):
            mount.reply(interrupted)
        assert waiting not in mount.early
        mount.reply(mount.lock(one, 1, LOCK_UNLCK))
        assert mount.reply(waiting) == b""


@linux
def test_an_export_is_chosen_by_the_address(tmp_path: Path) -> None:
    exports = [Export("one", MemoryDriver()), Export("two", MemoryDriver(mode=0o700))]
    with Served(exports=exports) as served:
        for options, mode in (("export=one", 0o755), ("export=two", 0o700)):
            with Host(served, tmp_path, options).mount() as mount:
                attr = entry_of(bytes(24) + mount.ask(Opcode.GETATTR, ROOT, 0, 0, 0)).attr
                assert attr.mode & 0o777 == mode
            (tmp_path / "fs.sock").unlink()
        for options in ("tag=t", "export=three"):
            with pytest.raises(ValueError, match="export"):
                Host(served, tmp_path, options)


@linux
def test_run_as_user_is_refused_at_start(tmp_path: Path) -> None:
    class Identifies:
        def identify(self, user: User, layers: Sequence[object] = ()) -> User:
            return user

        def __call__(self, root: Any, user: User) -> Any:
            return root

    with (
        Served(layers=[Identifies()]) as served,
        pytest.raises(BadAddress, match="one attach for all users of its kernel"),
    ):
        Host(served, tmp_path)


class TestStopAndContinue:
    pytestmark: ClassVar = linux

    def test_the_session_goes_on(self, host: Host) -> None:
        with host.mount() as mount:
            _, fh = mount.create(b"f")
            mount.write(fh, b"x")
            mount.front.stop()
            mount.front.start()
            assert mount.read(fh) == b"x"

    def test_what_a_thread_finishes_meanwhile_comes_afterwards(self, host: Host, served: Served) -> None:
        with host.mount() as mount:
            node, fh = mount.create(b"f")
            hold = served.faults.hold("file.fsync")
            unique = mount.send(Opcode.FSYNC, node, fh, 0, 0)
            hold.reached.wait()
            mount.front.stop()
            hold.go.set()
            served.until(lambda: all(one.in_flight == 0 for one in served.server._connections))
            assert mount.front.driver.take() is None
            mount.front.start()
            assert mount.reply(unique) == b""

    def test_a_reset_ends_it(self, host: Host, served: Served) -> None:
        with host.mount() as mount:
            _, fh = mount.create(b"f")
            mount.front.reset()
            mount.front.start()
            served.until(lambda: served.server.connections == 0)
            with refused(Errno.EIO):
                mount.read(fh)
            mount.init()
            with refused(Errno.EBADF):
                mount.read(fh)

    def test_what_a_thread_finishes_after_a_reset_is_dropped(self, host: Host, served: Served) -> None:
        with host.mount() as mount:
            node, fh = mount.create(b"f")
            hold = served.faults.hold("file.fsync")
            mount.send(Opcode.FSYNC, node, fh, 0, 0)
            hold.reached.wait()
            mount.front.reset()
            mount.front.start()
            hold.go.set()
            served.until(lambda: served.server.connections == 0)
            assert mount.front.driver.take() is None


@linux
def test_requests_that_an_earlier_server_had_taken_come_back_with_an_error(tmp_path: Path) -> None:
    guest = Guest(8)
    with Served() as first:
        mount = Host(first, tmp_path).mount(guest=guest, start=False)
        mount.front.realize()
        area = v.Inflight(region_size(8), 0, 1, 8)
        mount.front.send(Request.GET_INFLIGHT_FD, area)
        answer, (region,) = mount.front.answer_with(Request.GET_INFLIGHT_FD)
        mount.front.send(Request.SET_INFLIGHT_FD, answer.body, [region])
        mount.front.start()
        mount.init()
        node, fh = mount.create(b"f")
        hold = first.faults.hold("file.fsync")
        unique = mount.send(Opcode.FSYNC, node, fh, 0, 0)
        hold.reached.wait()
        mount.front.close()
        hold.go.set()
    with Served() as second:
        again = Host(second, tmp_path).mount(guest=guest, start=False)
        again.front.lost()
        again.front.realize()
        again.front.send(Request.SET_INFLIGHT_FD, answer.body, [region])
        again.front.start()
        with refused(Errno.EIO):
            again.reply(unique)
        again.init()
        again.front.close()
    os.close(region)
    guest.close()


class TestADriverThatBreaksTheRules:
    pytestmark: ClassVar = linux
    BAD: ClassVar[dict[str, Callable[[Driver], object]]] = {
        "an index too far ahead": lambda driver: driver.put(driver.available_at + 2, "H", driver.available_index + 99),
        "no whole header": lambda driver: driver.add([bytes(39)], [100]),
        "a length that is not the message's": lambda driver: driver.add([b"\x29" + bytes(39)], [100]),
    }

    @pytest.mark.parametrize("what", BAD)
    def test_ends_its_device_and_nothing_else(self, host: Host, what: str, caplog: pytest.LogCaptureFixture) -> None:
        with host.mount() as good, host.mount() as bad:
            bad.create(b"f")
            with caplog.at_level(logging.WARNING):
                self.BAD[what](bad.front.driver)
                os.eventfd_write(bad.front.kick, 1)
                host.served.until(lambda: host.served.server.connections == 1)
            assert bad.front.failed()
            assert len([one for one in caplog.records if "broken" in one.getMessage()]) == 1
            good.ask(Opcode.GETATTR, ROOT, 0, 0, 0)
            bad.front.reset()
            bad.front.start()
            bad.init()

    def test_one_unique_twice_gets_two_replies(self, host: Host, served: Served) -> None:
        with host.mount() as mount:
            node, fh = mount.create(b"f")
            hold = served.faults.hold("file.fsync")
            frame = codec.pack_request(Opcode.FSYNC, 99, node, fh, 0, 0)
            mount.front.offer([frame], [16, 100])
            hold.reached.wait()
            mount.front.offer([frame], [16, 100])
            with refused(Errno.EINVAL):
                mount.reply(99)
            hold.go.set()
            assert mount.reply(99) == b""


@linux
def test_a_connection_that_is_ended_while_it_takes_nothing_leaves_nothing_waiting() -> None:
    """As by `ninep ctl kick` of a guest that is throttled: what it asks for then has an answer."""

    class Connection:
        def made(self, peer: Peer) -> None:
            assert peer.shown == "a guest"

        def message(self, frame: bytes, payload: object, room: Sequence[memoryview]) -> int:
            return len(codec.pack_error(codec.unpack_header(frame)[2], Errno.EIO))

        def lost(self) -> None:
            assert role.shut()

    async def main() -> None:
        driver = Driver(64, event_idx=True, indirect=True)
        kicked, kick = os.pipe()
        os.set_blocking(kicked, False)
        role.start(1, driver.device(), kicked, lambda: None, resumed=False)

        async def ask() -> bytes:
            driver.add([codec.pack_request(Opcode.GETATTR, 2, ROOT, 0, 0, 0)], [256])
            os.write(kick, bytes(8))
            for _ in range(100):
                await asyncio.sleep(0)
                if done := driver.take():
                    return done[1]
            raise AssertionError("no answer")

        assert len(await ask()) == codec.OUT_HEADER_SIZE
        role.pause()
        role.close()
        await asyncio.sleep(0)
        assert codec.unpack_out_header(await ask())[1] == -Errno.ENOTCONN
        role.stop(1)
        os.close(kick)
        os.close(kicked)

    role = VirtioFs(lambda _: Connection(), Peer("a guest"))
    asyncio.run(main())


@linux
def test_devices_are_spread_over_workers(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    path = tmp_path / "fs.sock"
    options = ("--workers", "2", "--listen", f"virtiofs:{path},tag=src", "--verbose")
    with Program(tmp_path / "export", *options) as program:
        mounts = [Mount(str(path)) for _ in range(4)]
        for number, mount in enumerate(mounts):
            mount.create(b"%d" % number)
        for mount in mounts:
            mount.ask(Opcode.LOOKUP, ROOT, b"3")
            mount.front.close()
        with Mount(str(path)) as mount:
            mount.ask(Opcode.LOOKUP, ROOT, b"3")
    mounted = re.findall(r"mount virtiofs uid=\d+ pid=\d+ tag=src: FUSE 7\.\d+", program.said())
    assert len(mounted) == 5


@linux
@pytest.mark.parametrize(
    ("exports", "options", "sentence"),
    [
        ([("", {"security_model": "passthrough", "run_as_user": True})], "tag=t", "one attach for all users"),
        ([("a", {}), ("b", {})], "tag=t", "export= has to say which of 'a', 'b'"),
    ],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_what_cannot_be_served_is_said_before_anything_is(
    tmp_path: Path, exports: list[tuple[str, dict[str, Any]]], options: str, sentence: str, workers: int
) -> None:
    if any("run_as_user" in more for _, more in exports) and os.geteuid():
        pytest.skip("run-as-user needs root")
    configs = []
    for name, more in exports:
        (tmp_path / f"of{name}").mkdir()
        configs.append(ExportConfig(str(tmp_path / f"of{name}"), name, **more))
    listen = (parse(f"virtiofs:{tmp_path}/fs.sock,{options}"),)
    with pytest.raises(BadOption, match=re.escape(sentence)):
        exports_of(ServerConfig(configs, listen=listen, workers=workers))
