"""One of our own clients in a soak: it changes files of its own for as long as it is told, is cut
off now and then, and knows what must be there.

An operation that was cut off may have been done, in part, or not: what it was about is made again
as the client remembers it. All else must be there byte by byte, through every disconnect.
"""

from __future__ import annotations

import hashlib
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.client import RawClient

import ninep
from ninep.client.blocking.client import Client
from ninep.linux import O_RDWR
from ninep.wire import messages as m

LARGEST = 200_000
FILES = 60
CUT = 0.01
"""How many of the operations are cut off."""
RUDE = 0.005
"""How many are followed by another connection that ends badly."""
PAUSE = 0.004
NAMES = [f"file{number}" for number in range(FILES)]


@dataclass
class Known:
    """A file as it must be."""

    content: bytes
    mode: int = 0o644
    attribute: bytes = b""


class Load:
    """A client and what it remembers. ``connect`` gives a socket to the server."""

    def __init__(self, number: int, seed: int, connect: Callable[[], socket.socket]) -> None:
        self.folder = f"client{number}"
        self.chance = random.Random(seed * 1000 + number)
        self.files: dict[str, Known] = {}
        self.done: Counter[str] = Counter()
        self.cut = 0
        self.rude = 0
        self.read = 0
        """Bytes that were compared while it went on."""
        self.failure: BaseException | None = None
        self._connect = connect
        self._sock: socket.socket
        self._client: Client
        self._thread = threading.Thread(target=self._run)
        self._until = 0.0

    def start(self, seconds: float) -> None:
        """Work in a thread of its own."""
        self._until = time.monotonic() + seconds
        self._thread.start()

    def join(self, timeout: float) -> None:
        """Its end, and what went wrong."""
        self._thread.join(timeout)
        assert not self._thread.is_alive(), f"{self.folder} does not end"
        if self.failure is not None:
            raise AssertionError(f"{self.folder}: {self.failure!r}") from self.failure

    def sums(self) -> dict[str, str]:
        """The checksum of each file that must be there."""
        return {
            f"{self.folder}/{name}": hashlib.sha256(known.content).hexdigest() for name, known in self.files.items()
        }

    def _run(self) -> None:
        try:
            self._open()
            self._client.makedirs(self.folder, exist_ok=True)
            while time.monotonic() < self._until:
                self._turn()
                time.sleep(self.chance.random() * PAUSE)
            self._look_at_all()
            self._client.close()
        except BaseException as failure:  # noqa: BLE001 - told by join
            self.failure = failure

    # -- the connection

    def _open(self) -> None:
        self._sock = self._connect()
        self._client = ninep.connect(self._sock)

    def _turn(self) -> None:
        chance = self.chance
        operation = chance.choices(OPERATIONS, WEIGHTS)[0]
        first, second = chance.sample(NAMES, 2)
        cutter = None
        if chance.random() < CUT:
            cutter = threading.Timer(chance.random() * 0.01, self._sock.shutdown, (socket.SHUT_RDWR,))
            cutter.start()
        try:
            operation(self, first, second)
            self.done[operation.__name__] += 1
            if cutter is not None:
                cutter.join()
                self._client.stat("/")
                raise AssertionError("the connection was cut, and goes on")
        except (ConnectionError, BrokenPipeError):
            if cutter is None:
                raise
            cutter.join()
            self._again(first, second)
        if chance.random() < RUDE:
            self._be_rude()

    def _again(self, *names: str) -> None:
        """A new connection; what the operation was about is made as it was remembered."""
        self.cut += 1
        self._client.close()
        self._open()
        for name in names:
            known = self.files.get(name)
            path = self._path(name)
            if known is None:
                if self._client.exists(path):
                    self._client.remove(path)
                continue
            self._client.write_bytes(path, known.content)
            self._client.chmod(path, known.mode)
            self._set_attribute(path, known.attribute)

    def _be_rude(self) -> None:
        """Another connection that ends in the middle of something; it changes nothing that is
        compared.
        """
        self.rude += 1
        client = RawClient(self._connect())
        client.version()
        client.attach()
        client.walk(0, 1, self.folder.encode())
        client.rpc(m.Tlcreate(1, b"rude", O_RDWR | 0o100, 0o644, 0))
        match self.chance.randrange(3):
            case 0:
                client.send_all(*[m.Twrite(1, 4000 * turn, b"x" * 4000) for turn in range(64)])
            case 1:
                client.send_all(*[m.Tread(1, 0, 8000) for _ in range(64)], m.Tfsync(1, 0))
            case _:
                client.send_bytes(client.encode(m.Twrite(1, 0, b"y" * 4000), 9)[:1000])
        client.close()

    # -- operations

    def _path(self, name: str) -> str:
        return f"{self.folder}/{name}"

    def _content(self) -> bytes:
        return self.chance.randbytes(int(LARGEST * self.chance.random() ** 3))

    def _write(self, name: str, _: str) -> None:
        content = self._content()
        self._client.write_bytes(self._path(name), content, permissions=0o644)
        known = self.files.get(name)
        self.files[name] = Known(content, known.mode if known else 0o644, known.attribute if known else b"")

    def _change(self, name: str, _: str) -> None:
        known = self.files.get(name)
        if known is None:
            return self._write(name, _)
        data = self._content()[:30_000]
        offset = self.chance.randrange(len(known.content) + 1)
        with self._client.open(self._path(name), "r+b") as file:
            file.pwrite(data, offset)
            if self.chance.random() < 0.2:
                file.fsync()
        known.content = known.content[:offset] + data + known.content[offset + len(data) :]
        return None

    def _truncate(self, name: str, _: str) -> None:
        if (known := self.files.get(name)) is not None:
            size = self.chance.randrange(len(known.content) + 1000)
            self._client.truncate(self._path(name), size)
            known.content = known.content[:size].ljust(size, b"\0")

    def _rename(self, name: str, other: str) -> None:
        if name in self.files:
            self._client.rename(self._path(name), self._path(other))
            self.files[other] = self.files.pop(name)

    def _remove(self, name: str, _: str) -> None:
        if name in self.files:
            self._client.remove(self._path(name))
            del self.files[name]

    def _look(self, name: str, _: str) -> None:
        if (known := self.files.get(name)) is not None:
            self._compare(name, known)
        else:
            assert not self._client.exists(self._path(name))

    def _compare(self, name: str, known: Known) -> None:
        path = self._path(name)
        found = self._client.read_bytes(path)
        assert found == known.content, f"{path}: {len(found)} bytes, not the {len(known.content)} that were written"
        self.read += len(found)
        assert self._client.stat(path).st_mode & 0o7777 == known.mode, path
        if known.attribute:
            assert self._client.getxattr(path, "user.soak") == known.attribute, path

    def _attributes(self, name: str, _: str) -> None:
        if (known := self.files.get(name)) is not None:
            mode, value = self.chance.choice((0o600, 0o640, 0o755)), self.chance.randbytes(20)
            self._client.chmod(self._path(name), mode)
            known.mode = mode
            self._set_attribute(self._path(name), value)
            known.attribute = value

    def _set_attribute(self, path: str, value: bytes) -> None:
        if value:
            self._client.setxattr(path, "user.soak", value)
        elif "user.soak" in self._client.listxattr(path):
            self._client.removexattr(path, "user.soak")

    def _list(self, _: str, __: str) -> None:
        found = set(self._client.listdir(self.folder)) - {"rude", "folder"}
        assert found == set(self.files), found ^ set(self.files)

    def _folder(self, _: str, __: str) -> None:
        path = f"{self.folder}/folder"
        if self._client.exists(path):  # left by one that was cut off
            self._client.rmtree(path)
        self._client.mkdir(path)
        for number in range(10):
            self._client.write_bytes(f"{path}/{number}", b"x" * number)
        assert len(self._client.listdir(path)) == 10
        self._client.rmtree(path)

    def _lock(self, name: str, _: str) -> None:
        if name in self.files:
            with self._client.open(self._path(name), "r+b") as file:
                file.lock(0, 100)
                file.unlock(0, 100)

    def _look_at_all(self) -> None:
        self._list("", "")
        for name, known in self.files.items():
            self._compare(name, known)


OPERATIONS = [
    Load._write, Load._change, Load._truncate, Load._rename, Load._remove, Load._look, Load._attributes, Load._list, Load._folder, Load._lock,
]  # fmt: skip
WEIGHTS = [10, 20, 5, 6, 3, 30, 6, 5, 2, 5]
