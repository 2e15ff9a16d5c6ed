"""Clients of two gateways of one bucket, at once, with a store that often fails: every verb ends, what was
fsynced is there, both gateways agree in the end, and nothing is kept.
"""

from __future__ import annotations

import contextlib
import gc
import random
import threading
from collections.abc import Callable, Iterator

import pytest
from tests.drivers.objects.store_in_memory import StoreInMemory

from ninep.drivers.objects.bucket import Settings
from ninep.drivers.objects.driver import ObjectDriver
from ninep.errors import Refused
from ninep.linux import O_RDWR, O_TRUNC, S_IFDIR, S_IFMT, Errno
from ninep.node import Changes, Node, User

CLIENTS = 6
VERBS = 80
NAMES = (b"one", b"two", b"three")


class Client:
    """Any verbs on names that others use too, and a file of its own."""

    def __init__(self, root: Node, number: int, seed: int) -> None:
        self.root = root
        self.own = b"own%d" % number
        self.chance = random.Random(f"{seed} {number}")
        self.synced: bytes | None = None
        """What is in its own file for sure."""
        self.wrong: list[str] = []
        self._verbs: list[Callable[[Node, bytes], None]] = [
            self.make, self.write, self.remove, self.remove_folder, self.move, self.list, self.change, self.sync, self.sync,
        ]  # fmt: skip

    def run(self) -> None:
        for _ in range(VERBS):
            verb = self.chance.choice(self._verbs)
            with contextlib.suppress(Refused), self.folder() as folder:
                verb(folder, self.chance.choice(NAMES))

    @contextlib.contextmanager
    def folder(self) -> Iterator[Node]:
        """One that is there."""
        node = self.root.clone()
        for _ in range(self.chance.randrange(3)):
            with contextlib.suppress(Refused):
                below = node.walk(self.chance.choice(NAMES))
                node.release()
                node = below
        try:
            yield node
        finally:
            node.release()

    def make(self, folder: Node, name: bytes) -> None:
        folder.mkdir(name, 0o755, 1, 1)

    def write(self, folder: Node, name: bytes, flags: int = O_RDWR) -> None:
        node, file = folder.create(name, flags, 0o644, 1, 1)
        with contextlib.closing(file), contextlib.ExitStack() as stack:
            stack.callback(node.release)
            file.write(self.chance.randrange(100), self.chance.randbytes(2000))

    def remove(self, folder: Node, name: bytes) -> None:
        folder.unlink(name, directory=False)

    def remove_folder(self, folder: Node, name: bytes) -> None:
        folder.unlink(name, directory=True)

    def move(self, folder: Node, name: bytes) -> None:
        with self.folder() as other:
            folder.rename(name, other, self.chance.choice(NAMES))

    def list(self, folder: Node, name: bytes) -> None:
        with contextlib.closing(folder.opendir()) as directory:
            directory.read(0, 1 << 16)

    def change(self, folder: Node, name: bytes) -> None:
        node = folder.walk(name)
        try:
            node.setattr(Changes(mode=self.chance.randrange(0o1000)))
        finally:
            node.release()

    def sync(self, folder: Node, name: bytes) -> None:
        content, self.synced = self.chance.randbytes(1000), None
        node, file = self.root.create(self.own, O_RDWR | O_TRUNC, 0o644, 1, 1)
        with contextlib.ExitStack() as stack:
            stack.callback(node.release)
            stack.callback(file.close)
            file.write(0, content)
            file.fsync(datasync=False)
            self.synced = content
            if file.read(0, 4096) != content:
                self.wrong.append("what it reads is not what it wrote")


def tree(folder: Node, path: str = "") -> dict[str, int]:
    """Sizes of files and folders (0) by their paths."""
    found: dict[str, int] = {}
    with contextlib.closing(folder.opendir()) as directory:
        for entry in list(directory.read(0, 1 << 20))[2:]:
            node = folder.walk(entry.name)
            attributes = node.getattr(0)
            inner = f"{path}/{entry.name.decode()}"
            is_dir = attributes.mode & S_IFMT == S_IFDIR
            found |= {inner: attributes.size} | (tree(node, inner) if is_dir else {})
            node.release()
    return found


@pytest.mark.parametrize("seed", range(2))
def test_all_at_once(seed: int) -> None:
    store, chance = StoreInMemory(), random.Random(seed)
    settings = Settings(cache=0.0, write_back=0.01, exclusive=(), rename_limit=50)
    drivers = [ObjectDriver(store, settings) for _ in range(2)]
    roots = [driver.attach(User()) for driver in drivers]
    clients = [Client(roots[number % 2], number, seed) for number in range(CLIENTS)]

    def fail(method: str, key: str) -> None:
        if chance.random() < 0.05:
            raise Refused(chance.choice((Errno.EIO, Errno.ETIMEDOUT)))

    store.fault = fail
    threads = [threading.Thread(target=client.run) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store.fault = lambda method, key: None
    for root in roots:
        for _ in range(3):  # what failed before is said once, and what another replaced
            with contextlib.suppress(Refused):
                root.syncfs()
    for client in clients:
        assert client.wrong == []
        if client.synced is not None:
            assert store.objects[client.own.decode()][1] == client.synced
    one, two = (tree(root) for root in roots)
    assert one == two
    assert store.uploads == {}
    for driver, root in zip(drivers, roots, strict=True):
        assert len(driver.bucket.unsent) == 0
        root.release()
        assert [key for key in driver.bucket.tree.nodes if key] == []
        driver.close()
        gc.collect()
        assert driver.bucket.budget.used == 0
