"""Which verbs wait for the store, and are called again in a thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.drivers.objects.store_in_memory import StoreInMemory
from tests.drivers.objects.test_node import names, refused, write

from ninep.drivers.objects import moving, tree
from ninep.linux import O_EXCL, O_RDONLY, O_RDWR, O_WRONLY, Errno
from ninep.node import Changes, Node, WouldBlock, serve_in_this_thread


class TestWaitingForAName:
    @pytest.fixture
    def renaming(self, store: StoreInMemory, gateway: Callable[..., Node]) -> Iterator[Node]:
        """The root, while its folder `d` is renamed to `e`, which the store does not end."""
        root = gateway(cache=60.0)
        root.mkdir(b"d", 0o755, 1, 2)
        write(root.walk(b"d"), b"file", b"content")
        begun, go_on = threading.Event(), threading.Event()

        def fault(method: str, key: str) -> None:
            if method == "copy":
                begun.set()
                assert go_on.wait(60)

        store.fault = fault
        mover = threading.Thread(target=root.rename, args=(b"d", root, b"e"))
        mover.start()
        assert begun.wait(60)
        yield root
        go_on.set()
        mover.join()
        assert names(root.walk(b"e")) == [b"file"]

    def test_all_others_go_on(self, renaming: Node) -> None:
        for number in range(600):
            write(renaming, b"%d" % number, b"")

    def test_its_own_has_a_bound(self, renaming: Node, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tree, "TIMEOUT", 0.01)
        monkeypatch.setattr(moving, "TIMEOUT", 0.01)
        for name in (b"d", b"e"):
            with refused(Errno.EBUSY):
                renaming.mkdir(name, 0o755, 1, 2)
        file = renaming.walk(b"d").walk(b"file").open(O_WRONLY)
        file.write(0, b"CONTENT")
        with refused(Errno.EBUSY):
            file.fsync(datasync=False)
        with refused(Errno.EBUSY):
            file.close()


class TestInTheEventLoop:
    """No verb waits there: it is called again in a thread."""

    @pytest.fixture(autouse=True)
    def loop(self) -> Iterator[None]:
        yield
        serve_in_this_thread(-1)

    def test_what_is_known_is_answered(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        root = gateway(write_back=3600.0, cache=60.0, exclusive=())
        assert names(root) == []
        serve_in_this_thread(1)
        root.mkdir(b"d", 0o755, 1, 2)
        folder = root.walk(b"d")
        write(folder, b"f", b"content", O_RDWR | O_EXCL)
        node = folder.walk(b"f")
        node.setattr(Changes(mode=0o600))
        assert bytes(node.open(O_RDONLY).read(0, 100)) == b"content"
        assert node.getattr(0).size == 7
        with refused(Errno.ENOENT):
            folder.walk(b"g")

    @pytest.mark.parametrize(
        "act",
        [
            lambda root: root.walk(b"new"),
            lambda root: root.unlink(b"f", directory=False),
            lambda root: root.rename(b"f", root, b"g"),
            lambda root: root.create(b"x.lock", O_RDWR | O_EXCL, 0o600, 1, 2),
            lambda root: root.symlink(b"x", b"target", 1, 2),
            names,
            lambda root: root.walk(b"f").open(O_RDONLY).read(0, 100),
        ],
        ids=["walk", "unlink", "rename", "lock file", "symlink", "list", "read"],
    )
    def test_what_needs_the_store_waits_in_a_thread(
        self, store: StoreInMemory, gateway: Callable[..., Node], act: Callable[[Node], Any]
    ) -> None:
        store.add("f", b"content")
        root = gateway(write_back=3600.0)
        before = dict(store.objects)
        serve_in_this_thread(1)
        with pytest.raises(WouldBlock):
            act(root)
        assert store.objects == before

    def test_closing_waits_for_nothing(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        _, file = gateway().create(b"f", O_RDWR, 0o644, 1, 2)
        file.write(0, b"content")
        put, thread = threading.Event(), []

        def note(method: str, key: str) -> None:
            thread.append(threading.current_thread())
            put.set()

        store.fault = note
        serve_in_this_thread(1)
        file.close()
        assert put.wait(60)
        assert threading.current_thread() not in thread
