"""The rules of docs/object-stores.md: what is asked of the store, other clients of it, and failures."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from tests.drivers.objects.store_in_memory import StoreInMemory

from ninep.drivers.objects import bucket
from ninep.drivers.objects.bucket import Settings
from ninep.drivers.objects.driver import ObjectDriver
from ninep.drivers.objects.store import Info
from ninep.errors import Refused
from ninep.linux import O_APPEND, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, Errno
from ninep.node import Changes, Node, User

MIB = 1 << 20


def refused(*codes: Errno) -> Any:
    return pytest.raises(Refused, check=lambda refusal: refusal.code in codes)


def write(root: Node, name: bytes, content: bytes, flags: int = O_RDWR) -> None:
    node, file = root.create(name, flags, 0o644, 1, 2)
    try:
        assert file.write(0, content) == len(content)
    finally:
        file.close()
        node.release()


def no_puts(method: str, key: str) -> None:
    """A fault of a store."""
    if method == "put":
        raise Refused(Errno.EIO)


def names(node: Node) -> list[bytes]:
    return [entry.name for entry in node.opendir().read(0, 1 << 20)][2:]


class TestBucketsOfOthers:
    def test_folders_are_what_keys_have_in_common(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        store.add("a/b/c", b"content", modified=5_000_000_000)
        root = gateway(uid=7, file_mode=0o640)
        a = root.walk(b"a").walk(b"b").walk(b"c").getattr(0)
        assert (a.size, a.uid, a.mode & 0o7777, a.mtime_sec) == (7, 7, 0o640, 5)
        assert (names(root), names(root.walk(b"a"))) == ([b"a"], [b"b"])

    def test_a_folder_stays_when_its_last_file_goes(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        store.add("a/b", b"content")
        root = gateway()
        root.walk(b"a").unlink(b"b", directory=False)
        assert list(store.objects) == ["a/"]
        assert names(root) == [b"a"]

    def test_names_that_cannot_be_are_not_shown(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        for key in ("/x", "a//b", "./c", "../d", "e/.", "x" * 300, "good"):
            store.add(key)
        assert sorted(names(gateway())) == [b"a", b"e", b"good"]

    def test_a_store_that_does_not_divide_keys(
        self, store: StoreInMemory, gateway: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.add("a")
        listing = store.listing

        def careless(*where: Any, **how: Any) -> Any:
            page = listing(*where, **how)
            return page._replace(objects=[*page.objects, Info("b/c", 0, "", 0)], prefixes=["../etc/"])

        monkeypatch.setattr(store, "listing", careless)
        assert names(gateway()) == [b"a"]

    def test_what_it_says_of_its_content_stays(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        store.add("f", b"content", colour="red")
        root = gateway()
        node = root.walk(b"f")
        node.setattr(Changes(mode=0o600))
        write(root, b"f", b"other")
        info, body = store.objects["f"]
        assert (body, info.metadata["colour"], info.headers["ContentType"]) == (b"otherntent"[:7], "red", "text/plain")


class TestBackslash:
    """Some stores make a `/` of it."""

    def test_is_another_character_in_keys(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        root = gateway()
        write(root, b"a\\b", b"content")
        assert list(store.objects) == ["a\uff3cb"]
        assert names(root) == [b"a\\b"]
        assert root.walk(b"a\\b").name == b"a\\b"
        root.rename(b"a\\b", root, b"\\" * 255)
        assert names(root) == [b"\\" * 255]
        root.unlink(b"\\" * 255, directory=False)
        assert names(root) == []

    def test_so_that_one_is_no_name(self, gateway: Callable[..., Node]) -> None:
        with refused(Errno.EILSEQ):
            gateway().mkdir("a\uff3cb".encode(), 0o755, 1, 2)

    def test_in_keys_of_others_is_not_shown(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        store.add("a\\b")
        assert names(gateway()) == []


class TestRequests:
    def test_a_small_file_is_one_put(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        write(gateway(), b"f", b"content")
        assert (store.count("put"), store.objects["f"][1]) == (1, b"content")

    def test_an_exclusive_one_asks_the_store_at_once(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        one, two = gateway(), gateway()
        _, file = one.create(b"lock", O_RDWR | O_EXCL, 0o644, 0, 0)
        with refused(Errno.EEXIST):
            two.create(b"lock", O_RDWR | O_EXCL, 0o644, 0, 0)
        file.close()

    def test_a_large_file_is_put_in_parts(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        content = bytes(range(256)) * 4096 * 11
        write(gateway(part_size=MIB), b"f", content)
        assert (store.count("part"), store.objects["f"][1]) == (11, content)

    def test_reading_through_it_asks_ahead(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        content = bytes(range(256)) * 4096 * 10
        store.add("f", content)
        file = gateway().walk(b"f").open(O_RDONLY)
        read = b"".join(bytes(file.read(at, 100_000)) for at in range(0, len(content), 100_000))
        assert read == content
        assert store.count("get") < 12

    def test_reading_here_and_there_asks_for_little(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        content = bytes(range(256)) * 4096 * 10
        store.add("f", content)
        file = gateway().walk(b"f").open(O_RDONLY)
        for at in (5_000_000, 1_000_000, 9_000_000):
            assert bytes(file.read(at, 4096)) == content[at : at + 4096]
        assert store.count("get") == 3

    def test_reading_ahead_has_a_bound(
        self, store: StoreInMemory, gateway: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of all open files, since a client can have a million of them."""
        monkeypatch.setattr(bucket, "READERS", 2)
        monkeypatch.setattr(bucket, "ROOM", MIB)
        store.add("big", bytes(8 * MIB))
        node = gateway(read_ahead=4 * MIB).walk(b"big")
        files: list[Any] = [node.open(O_RDONLY) for _ in range(10)]
        for file in files:
            assert file.read(0, 4096) == bytes(4096)
        room = files[0].bucket.ahead
        assert not room.has(4 * MIB)
        assert room.has(-MIB)
        for file in files:
            assert file.read(5 * MIB, 4096) == bytes(4096)
            file.close()
        assert room.has(8 * MIB)

    def test_renaming_a_tree_has_a_bound(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        for number in range(4):
            store.add(f"d/{number}")
        root = gateway(rename_limit=3)
        with refused(Errno.EXDEV):
            root.rename(b"d", root, b"e")
        assert store.count("copy") == 0


class TestTwoGateways:
    @pytest.mark.parametrize("flags", [O_WRONLY, O_WRONLY | O_TRUNC, O_WRONLY | O_APPEND])
    def test_no_update_is_lost(self, store: StoreInMemory, gateway: Callable[..., Node], flags: int) -> None:
        store.add("f", b"start")
        one, two = gateway().walk(b"f").open(flags), gateway().walk(b"f").open(flags)
        one.write(0, b"one")
        two.write(0, b"two")
        one.close()
        after = store.objects["f"][1]
        with refused(Errno.ESTALE):
            two.close()
        assert store.objects["f"][1] == after

    def test_of_two_new_files_of_one_name_one_stays(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        _, one = gateway().create(b"f", O_RDWR, 0o644, 0, 0)
        _, two = gateway().create(b"f", O_RDWR, 0o644, 0, 0)
        one.write(0, b"one")
        two.write(0, b"two")
        two.fsync(datasync=False)
        with refused(Errno.ESTALE):
            one.fsync(datasync=False)
        one.close()
        two.close()
        assert store.objects["f"][1] == b"two"

    def test_a_reader_gets_no_mixture(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        store.add("f", b"1" * 20 * MIB)
        file = gateway(read_ahead=0).walk(b"f").open(O_RDONLY)
        file.read(0, 100)
        store.add("f", b"2" * 20 * MIB)
        with refused(Errno.ESTALE):
            file.read(15 * MIB, 100)

    def test_each_sees_what_the_other_did(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        one, two = gateway(), gateway()
        write(one, b"f", b"content")
        node = two.walk(b"f")
        assert node.getattr(0).size == 7
        one.unlink(b"f", directory=False)
        with refused(Errno.ENOENT):
            node.getattr(0)
        with refused(Errno.ENOENT):
            two.walk(b"f")


class TestRenamingFolders:
    """A store copies their objects one by one, and deletes the old ones afterwards."""

    @pytest.mark.parametrize("exclusive", [False, True], ids=["written", "made"])
    def test_what_is_put_meanwhile_goes_along(
        self, store: StoreInMemory, gateway: Callable[..., Node], exclusive: bool
    ) -> None:
        root = gateway()
        root.mkdir(b"d", 0o755, 1, 2)
        folder = root.walk(b"d")
        write(folder, b"file", b"before")
        node, putting = folder.walk(b"file"), threading.Event()

        def put() -> None:
            if exclusive:
                write(folder, b"another", b"after", O_RDWR | O_EXCL)
            else:
                file = node.open(O_RDWR)
                file.write(0, b"after!")
                file.close()

        writer = threading.Thread(target=put)

        def fault(method: str, key: str) -> None:
            if (method, key) == ("copy", "d/file"):
                writer.start()
            if (method, key) == ("delete", "d/file"):
                putting.wait(0.2)  # it is not put until the folder has its new name
            if method == "put" and writer.is_alive():
                putting.set()

        store.fault = fault
        root.rename(b"d", root, b"e")
        writer.join()
        expected = (
            {"e/": b"", "e/file": b"before", "e/another": b"after"} if exclusive else {"e/": b"", "e/file": b"after!"}
        )
        assert {key: body for key, (_, body) in store.objects.items()} == expected


class TestReplacing:
    @pytest.mark.parametrize("removed", [False, True], ids=["renamed", "removed"])
    def test_a_reader_goes_on(self, store: StoreInMemory, gateway: Callable[..., Node], removed: bool) -> None:
        root = gateway(read_ahead=0)
        write(root, b"file", b"content")
        changes = [lambda: root.unlink(b"file", False) if removed else root.rename(b"file", root, b"other")]

        def fault(method: str, key: str) -> None:
            if method == "get" and changes:
                changes.pop()()

        file = root.walk(b"file").open(O_RDONLY)
        store.fault = fault
        assert file.read(0, 100) == b"content"
        file.close()

    def test_what_is_replaced_is_not_put_over_the_new_file(
        self, store: StoreInMemory, gateway: Callable[..., Node]
    ) -> None:
        root = gateway(conditions=False)
        for name in (b"new", b"old"):
            write(root, name, b"content of " + name)
        old, put = root.walk(b"old"), threading.Event()
        file = old.open(O_WRONLY)
        file.write(0, b"CONTENT")
        syncing = threading.Thread(target=old.fsync)

        def fault(method: str, key: str) -> None:
            if (method, key) == ("delete", "new"):  # it is copied
                syncing.start()
                put.wait(0.2)
            if method == "put":
                put.set()

        store.fault = fault
        root.rename(b"new", root, b"old")
        syncing.join()
        assert store.objects["old"][1] == b"content of new"
        file.close()
        assert store.objects["old"][1] == b"content of new"


class TestFailures:
    def test_closing_says_it_and_it_is_put_later(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        root = gateway()
        node, file = root.create(b"f", O_RDWR, 0o644, 0, 0)
        file.write(0, b"content")
        store.fault = fail_on("put")
        with refused(Errno.EIO):
            file.fsync(datasync=False)
        with refused(Errno.EIO):
            file.close()
        node.release()
        store.fault = lambda method, key: None
        root.syncfs()
        assert store.objects["f"][1] == b"content"

    @pytest.mark.parametrize("renamed", [False, True])
    def test_a_file_that_was_put_without_a_reply_does_not_come_back(
        self, store: StoreInMemory, gateway: Callable[..., Node], monkeypatch: pytest.MonkeyPatch, renamed: bool
    ) -> None:
        root, put = gateway(), store.put

        def lost(*what: Any, **how: Any) -> Any:
            put(*what, **how)
            raise Refused(Errno.ETIMEDOUT)

        with monkeypatch.context() as patched, refused(Errno.ETIMEDOUT):
            patched.setattr(store, "put", lost)
            write(root, b"file", b"content")
        assert list(store.objects) == ["file"]
        if renamed:
            root.rename(b"file", root, b"renamed")
            root.syncfs()
        else:
            root.unlink(b"file", False)
        assert list(store.objects) == (["renamed"] if renamed else [])

    def test_a_change_that_is_refused_leaves_those_before(
        self, store: StoreInMemory, gateway: Callable[..., Node]
    ) -> None:
        root = gateway()
        write(root, b"file", b"content")
        node = root.walk(b"file")
        file = node.open(O_WRONLY)
        node.setattr(Changes(mode=0o600))
        with refused(Errno.ENOSPC):
            node.setxattr(b"user.large", bytes(4096), 0)
        file.close()
        assert store.objects["file"][0].metadata["mode"] == str(0o100600)

    def test_a_change_that_finds_the_file_replaced(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        root = gateway()
        write(root, b"file", b"content")
        node = root.walk(b"file")
        file = node.open(O_WRONLY)
        file.write(0, b"CONTENT")
        store.fault = no_puts
        with refused(Errno.EIO):
            file.close()
        store.fault = lambda method, key: None
        store.add("file", b"another's")
        with refused(Errno.ESTALE):
            node.setattr(Changes(mode=0o600))
        root.syncfs()
        assert node.getattr(0).size == len(b"another's")
        assert store.objects["file"][1] == b"another's"

    def test_a_close_that_fails_holds_nothing(self, store: StoreInMemory) -> None:
        driver = ObjectDriver(store, Settings())
        node, file = driver.attach(User()).create(b"file", O_RDWR, 0o644, 1, 2)
        file.write(0, b"content")
        store.fault = no_puts
        with refused(Errno.EIO):
            file.close()
        store.fault = lambda method, key: None
        node.release()
        driver.bucket.unsent.flush()
        assert not driver.bucket.tree.nodes
        driver.close()

    def test_a_part_that_is_refused(self, store: StoreInMemory, gateway: Callable[..., Node]) -> None:
        _, file = gateway(part_size=MIB).create(b"f", O_RDWR, 0o644, 0, 0)
        file.write(0, bytes(3 * MIB))
        store.fault = fail_on("part")
        with refused(Errno.EIO):
            file.fsync(datasync=False)
        assert (store.uploads, store.objects) == ({}, {})
        store.fault = lambda method, key: None
        file.close()
        assert len(store.objects["f"][1]) == 3 * MIB

    def test_a_part_that_is_lost(
        self, store: StoreInMemory, gateway: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        complete = store.complete

        def lose(key: str, upload: str, parts: list[str], **conditions: Any) -> str:
            del store.uploads[upload][1][2]
            return complete(key, upload, parts, **conditions)

        _, file = gateway(part_size=MIB).create(b"f", O_RDWR, 0o644, 0, 0)
        file.write(0, bytes(3 * MIB))
        with monkeypatch.context() as patch:
            patch.setattr(store, "complete", lose)
            with refused(Errno.EIO):
                file.fsync(datasync=False)
        file.close()
        assert len(store.objects["f"][1]) == 3 * MIB

    def test_a_reply_that_was_lost_is_no_conflict(
        self, store: StoreInMemory, gateway: Callable[..., Node], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put = store.put

        def twice(info: Any, body: Any, **conditions: Any) -> str:
            put(info, body, **conditions)
            return put(info, body, **conditions)  # as the library does, which had no reply

        monkeypatch.setattr(store, "put", twice)
        write(gateway(), b"f", b"content", O_RDWR | O_EXCL)
        assert store.objects["f"][1] == b"content"

    @pytest.mark.parametrize("method", ["copy", "delete"])
    def test_a_rename_leaves_both_never_neither(
        self, store: StoreInMemory, gateway: Callable[..., Node], method: str
    ) -> None:
        root = gateway()
        root.mkdir(b"d", 0o755, 0, 0)
        for number in range(5):
            write(root.walk(b"d"), b"%d" % number, b"content %d" % number)
        store.fault = fail_on(method, after=2)
        with refused(Errno.EIO):
            root.rename(b"d", root, b"e")
        for number in range(5):
            found = [store.objects[key][1] for key in (f"d/{number}", f"e/{number}") if key in store.objects]
            assert b"content %d" % number in found

    def test_the_spool_is_bounded(self, gateway: Callable[..., Node]) -> None:
        root = gateway(spool_limit=MIB)
        write(root, b"f", bytes(MIB // 2))
        _, file = root.create(b"g", O_RDWR, 0o644, 0, 0)
        with refused(Errno.EFBIG):
            file.write(MIB, b"x")
        file.write(0, bytes(MIB // 2))
        _, other = root.create(b"h", O_RDWR, 0o644, 0, 0)
        with refused(Errno.ENOSPC):
            other.write(0, bytes(MIB))
        file.close()
        other.write(0, bytes(MIB))
        other.close()


def fail_on(method: str, after: int = 0) -> Callable[[str, str], None]:
    """A fault: this method is refused, but the first times."""
    left = [after]

    def fault(asked: str, key: str) -> None:
        if asked == method:
            left[0] -= 1
            if left[0] < 0:
                raise Refused(Errno.EIO, f"{key!r}: the store answers 503")

    return fault
