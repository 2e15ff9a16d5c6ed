"""What is put later than it is written: with write-back, and many at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.drivers.objects.store_in_memory import StoreInMemory
from tests.drivers.objects.test_node import fail_on, names, refused, write

from ninep.linux import O_EXCL, O_RDWR, O_WRONLY, Errno
from ninep.node import Changes, Node


class TestWriteBack:
    def test_what_is_closed_is_put_later(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        root = gateway(write_back=3600.0)
        for number in range(20):
            write(root, b"%d" % number, b"content")
        assert store.objects == {}
        root.syncfs()
        assert len(store.objects) == 20

    def test_or_soon(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        root, put = gateway(write_back=0.01), threading.Event()
        store.fault = lambda method, key: put.set() if method == "put" else None
        write(root, b"f", b"content")
        assert put.wait(60)

    def test_attributes_go_along(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        """What tar and cp do: a create, a write, a close, then modes and times."""
        root = gateway(write_back=3600.0)
        write(root, b"f", b"content")
        node = root.walk(b"f")
        node.setattr(Changes(mode=0o600))
        node.setattr(Changes(mtime=5_000_000_000))
        node.setxattr(b"user.x", b"1", 0)
        attributes = node.getattr(0)
        assert (attributes.mode & 0o7777, attributes.mtime_sec, attributes.size) == (0o600, 5, 7)
        root.syncfs()
        assert [request for request in store.requests if request[0] in {"put", "copy"}] == [("put", "f")]
        assert store.objects["f"][0].metadata["mtime"] == "5"

    def test_a_tree_asks_nothing(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        root = gateway(write_back=3600.0, cache=60.0, exclusive=("*.lock",))
        root.mkdir(b"d", 0o755, 1, 2)
        before = len(store.requests)
        folder = root.walk(b"d")
        folder.mkdir(b"e", 0o755, 1, 2)
        write(folder.walk(b"e"), b"f", b"content", O_RDWR | O_EXCL)
        folder.rename(b"e", folder, b"e")
        folder.walk(b"e").rename(b"f", folder, b"g")
        assert names(folder) == [b"e", b"g"]
        assert len(store.requests) == before
        root.syncfs()
        assert {key: body for key, (_, body) in store.objects.items()} == {"d/": b"", "d/e/": b"", "d/g": b"content"}

    def test_a_folder_is_put_before_what_is_in_it(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        """And is deleted when it is renamed: SeaweedFS shows one that had no marker for a while."""
        root = gateway(write_back=3600.0, exclusive=())
        for name in (b"d", b"empty"):
            root.mkdir(name, 0o755, 1, 2)
        root.walk(b"d").symlink(b"link", b"target", 1, 2)
        root.rename(b"d", root, b"e")
        root.rename(b"empty", root, b"f")
        keys = [key for method, key in store.requests if method == "put"]
        assert keys.index("d/") < keys.index("d/link")
        assert {("delete", "d/"), ("delete", "empty/")} <= set(store.requests)
        assert sorted(store.objects) == ["e/", "e/link", "f/"]

    def test_names_that_keep_others_out_ask_at_once(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        one, two = (gateway(write_back=3600.0, exclusive=("*.lock", "lockdir")) for _ in range(2))
        _, file = one.create(b"index.lock", O_RDWR | O_EXCL, 0o644, 0, 0)
        one.mkdir(b"lockdir", 0o700, 0, 0)
        with refused(Errno.EEXIST):
            two.create(b"index.lock", O_RDWR | O_EXCL, 0o644, 0, 0)
        with refused(Errno.EEXIST):
            two.mkdir(b"lockdir", 0o700, 0, 0)
        file.write(0, b"content")
        file.close()
        one.rename(b"index.lock", one, b"index")
        assert store.objects["index"][1] == b"content"
        assert store.count("copy") == 0
        two.create(b"index.lock", O_RDWR | O_EXCL, 0o644, 0, 0)[1].close()

    def test_a_folder_that_is_not_put_yet_is_not_empty(self, gateway: Callable[..., Node]) -> None:
        root = gateway(write_back=3600.0, exclusive=())
        root.mkdir(b"d", 0o755, 1, 2)
        root.walk(b"d").mkdir(b"e", 0o755, 1, 2)
        with refused(Errno.ENOTEMPTY):
            root.unlink(b"d", directory=True)
        root.walk(b"d").unlink(b"e", directory=True)
        root.unlink(b"d", directory=True)
        assert names(root) == []

    def test_what_failed_is_said_once(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        root = gateway(write_back=0.01)
        store.fault = fail_on("put")
        write(root, b"f", b"content")
        with refused(Errno.EIO):
            root.syncfs()
        store.fault = lambda method, key: None
        root.syncfs()
        assert store.objects["f"][1] == b"content"

    def test_the_next_who_opens_it_is_told(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        root, failed = gateway(write_back=3600.0), fail_on("put")
        write(root, b"f", b"content")
        store.fault = failed
        with refused(Errno.EIO):
            root.syncfs()
        node = root.walk(b"f")
        with refused(Errno.EIO):
            node.open(O_WRONLY)
        node.open(O_WRONLY).close()

    def test_another_client_was_first(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        """What was written here is given up, and that is said."""
        root = gateway(write_back=3600.0)
        write(root, b"f", b"content")
        node = root.walk(b"f")
        store.add("f", b"another's")
        with refused(Errno.ESTALE):
            root.syncfs()
        with refused(Errno.ESTALE):
            node.fsync()
        node.fsync()
        assert node.getattr(0).size == len(b"another's")
        assert store.objects["f"][1] == b"another's"

    def test_what_is_refused_for_too_long_is_given_up(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        root = gateway(write_back=3600.0, keep=0.0)
        write(root, b"f", b"content")
        node = root.walk(b"f")
        store.fault = fail_on("put")
        with refused(Errno.EIO):
            root.syncfs()
        with refused(Errno.EIO):
            node.fsync()
        with refused(Errno.ENOENT):
            node.getattr(0)


def test_what_is_removed_while_it_is_put_does_not_come_back(store: StoreInMemory, gateway: Callable[..., Node]) -> None:
    root = gateway(write_back=0.01)
    begun, go_on = threading.Event(), threading.Event()

    def wait(method: str, key: str) -> None:
        if method == "put":
            begun.set()
            assert go_on.wait(60)

    store.fault = wait
    write(root, b"f", b"content")
    assert begun.wait(60)
    with ThreadPoolExecutor(1) as pool:
        removed = pool.submit(root.unlink, b"f", directory=False)
        go_on.set()
        removed.result()
    root.syncfs()
    assert store.objects == {}


def test_many_at_once_in_one_folder(store: StoreInMemory, gateway: Callable[..., Node]) -> None:
    root = gateway()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: write(root, b"%d" % number, b"%d" % number), range(200)))
    assert {key: body for key, (_, body) in store.objects.items()} == {str(n): b"%d" % n for n in range(200)}
