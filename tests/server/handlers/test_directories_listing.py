"""Treaddir with cookies and names of every driver."""

import threading
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any

import pytest
from tests.support.client import RawClient
from tests.support.judge import stats
from tests.support.served import Served

from ninep.node import Attributes, Dirent, Driver, Node, OpenDir, User
from ninep.server.exports import Export
from ninep.wire import cookies
from ninep.wire.types import QT_DIR, Qid


class Host(Node):
    """A directory whose cookies take 63 bits, as those of ext4 do, and which is read in small
    batches.
    """

    inline = True
    qid = Qid(QT_DIR, 0, 1)

    def __init__(self) -> None:
        self.entries = {b"entry %04d" % number: (1 << 62) + 7919 * number + 1 for number in range(500)}
        self.asked = 0

    def parent(self) -> Node:
        return self

    def getattr(self, mask: int) -> Attributes:
        return Attributes(mode=0o040755, qid_type=QT_DIR, qid_path=1)

    def opendir(self) -> OpenDir:
        return HostDir(self)


class HostDir(OpenDir):
    def __init__(self, node: Host) -> None:
        self.node = node

    def read(self, cookie: int, room: int) -> Sequence[Dirent]:
        found = []
        for name, place in sorted(self.node.entries.items(), key=itemgetter(1)):
            if place > cookie and room > 24:
                self.node.asked += 1
                found.append(Dirent(0, 0, place, place, 0, name))
                room -= 24 + len(name)
        return found[:50]


class HostDriver(Driver):
    def __init__(self, root: Host) -> None:
        self.root = root

    def attach(self, user: User) -> Node:
        return self.root


class TestCookies:
    """A number below 2**31 for each entry, which a program of 32 bits can seek to."""

    @pytest.fixture
    def host(self) -> Host:
        return Host()

    @pytest.fixture
    def reader(self, host: Host) -> Iterator[RawClient]:
        with Served(exports=[Export("", HostDriver(host))]) as served:
            client = served.client(msize=1 << 20)
            client.walk(0, 1)
            client.open(1)
            yield client

    def everything(self, client: RawClient, count: int = 1 << 20) -> list[Any]:
        found: list[Any] = []
        while more := client.entries(1, found[-1][1] if found else 0, count):
            found += more
        return found

    @pytest.mark.parametrize("count", [100, 4096, 1 << 20])
    def test_are_below_31_bits_and_differ(self, reader: RawClient, count: int) -> None:
        entries = self.everything(reader, count)
        assert [entry[3] for entry in entries] == [b"entry %04d" % number for number in range(500)]
        cookies = [entry[1] for entry in entries]
        assert len(set(cookies)) == 500
        assert all(0 < cookie < 1 << 31 for cookie in cookies)

    def test_lead_on_whatever_is_made_and_removed(self, reader: RawClient, host: Host) -> None:
        entries = self.everything(reader)
        for number in range(0, 500, 3):
            del host.entries[b"entry %04d" % number]
            host.entries[b"new %04d" % number] = (1 << 62) + 7919 * number + 5000
        places = {entry[3]: entry[0][2] for entry in entries}
        for _ in range(2):
            for entry in entries[::-7] + entries[::7]:
                after = [name for name, place in host.entries.items() if place > places[entry[3]]]
                found = reader.entries(1, entry[1], 1 << 20)
                assert [one[3] for one in found] == sorted(after, key=host.entries.__getitem__)[: len(found)]
                assert found or not after
            self.everything(reader)  # after a rewind, too

    def test_of_another_open_directory(self, reader: RawClient) -> None:
        entries = self.everything(reader)
        for at in (0, 100, 499, 3):
            reader.walk(0, 2)
            reader.open(2)
            assert [entry[3] for entry in reader.entries(2, entries[at][1], 100)[:1]] == [
                entry[3] for entry in entries[at + 1 : at + 2]
            ]
            reader.clunk(2)

    def test_that_was_never_given(self, reader: RawClient) -> None:
        for cookie in (501, 100_000, (1 << 31) - 1, 1 << 31, 1 << 62):
            assert reader.entries(1, cookie) == []
        assert len(self.everything(reader)) == 500

    def test_a_reply_after_a_jump_is_short_and_grows(self, reader: RawClient, host: Host) -> None:
        entries = self.everything(reader)
        sizes = []
        cookie = entries[50][1]
        while found := reader.entries(1, cookie, 1 << 20):
            sizes.append(len(found))
            cookie = found[-1][1]
        assert sum(sizes) == 449
        assert sizes[0] < 130 < sizes[1]
        assert len(self.everything(reader)) == 500

    def test_seeking_after_each_entry_costs_the_same_for_each(self, reader: RawClient, host: Host) -> None:
        entries = self.everything(reader)
        host.asked = 0
        for entry in entries:
            reader.entries(1, entry[1], 1 << 20)
        assert host.asked < 500 * 500

    @pytest.mark.parametrize("threadsafe", [True, False])
    def test_that_have_to_be_counted_to_do_not_keep_others_waiting(self, host: Host, threadsafe: bool) -> None:
        threads: list[bool] = []

        class Noting(HostDir):
            def read(self, cookie: int, room: int) -> Sequence[Dirent]:
                threads.append(threading.current_thread().name == "server under test")
                return super().read(cookie, room)

        host.opendir = lambda: Noting(host)  # type: ignore[method-assign]
        driver = HostDriver(host)
        driver.threadsafe = threadsafe
        with Served(exports=[Export("", driver)]) as served:
            client = served.client(msize=1 << 20)
            client.walk(0, 1)
            client.open(1)
            assert client.entries(1, 5000) == []  # of a larger directory, once
            assert set(threads) == {not threadsafe}
            threads.clear()
            assert len(self.everything(client)) == 500
            assert set(threads) == {True}

    def test_take_no_more_than_a_pool(self, monkeypatch: pytest.MonkeyPatch, reader: RawClient, host: Host) -> None:
        monkeypatch.setattr(cookies, "POOL", 1000)
        monkeypatch.setattr(cookies, "SMALL", 10)
        for fid in range(10, 20):
            reader.walk(0, fid)
            reader.open(fid)
        offsets = dict.fromkeys(range(10, 20), 0)
        seen: dict[int, list[bytes]] = {fid: [] for fid in offsets}
        for _ in range(60):
            for fid in offsets:
                if found := reader.entries(fid, offsets[fid], 400):
                    offsets[fid] = found[-1][1]
                    seen[fid] += [entry[3] for entry in found]
            if len(host.entries) > 400:
                del host.entries[
                    min(host.entries, key=host.entries.__getitem__)
                ]  # read already: what follows moves for who counts
        for names in seen.values():
            assert names == [b"entry %04d" % number for number in range(500)]


class TestLongNames:
    """One name of more than 255 bytes makes Linux's client drop the rest of a reply."""

    @pytest.fixture
    def host(self) -> Host:
        host = Host()
        host.entries |= {b"x" * 256: (1 << 62) + 3, "\u20ac".encode() * 255: (1 << 63) - 1, b"y" * 255: (1 << 62) + 4}
        return host

    def test_are_left_out_of_a_listing(self, host: Host, caplog: pytest.LogCaptureFixture) -> None:
        with Served(exports=[Export("", HostDriver(host))]) as served:
            for _ in range(2):
                client = served.client(msize=1 << 20)
                client.walk(0, 1)
                client.open(1)
                names = client.names(1, 1 << 20)
                assert len(names) == 501
                assert b"y" * 255 in names
                assert max(map(len, names)) == 255
        assert caplog.text.count("255 bytes") == 1

    def test_where_nothing_else_is_there(self) -> None:
        host = Host()
        host.entries = {b"%d" % number + b"x" * 300: number + 1 for number in range(200)}
        with Served(exports=[Export("", HostDriver(host))]) as served:
            client = served.client()
            client.walk(0, 1)
            client.open(1)
            assert client.names(1, 100) == []

    def test_are_shown_to_other_clients(self, host: Host) -> None:
        with Served(exports=[Export("", HostDriver(host))]) as served:
            client = served.client(b"9P2000", 1 << 20)
            client.walk(0, 1)
            client.open(1)
            found = stats(client.read(1, 0, 1 << 20), extended=False)
            assert b"x" * 256 in [record["name"] for record in found]
