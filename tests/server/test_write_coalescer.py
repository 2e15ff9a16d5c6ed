"""Replies of several connections leave together, and none is kept back or lost."""

from __future__ import annotations

import asyncio
import socket

import pytest
from tests.support.client import RawClient
from tests.support.served import Served

from ninep.linux import GETATTR_BASIC
from ninep.server.write_coalescer import LONGEST, MAX_WAITING, WriteCoalescer
from ninep.wire import messages as m


class Sends:
    """What has replies to send."""

    def __init__(self, sent: list[str], name: str) -> None:
        self._sent = sent
        self._name = name

    def send(self) -> None:
        self._sent.append(self._name)


class TestRounds:
    def test_at_the_end_of_a_round_of_the_loop(self) -> None:
        sent: list[str] = []

        async def main() -> None:
            coalescer = WriteCoalescer()
            for name in "abc":
                coalescer.add(Sends(sent, name), 1.0)
            assert sent == []
            await asyncio.sleep(0)
            assert sent == ["a", "b", "c"]
            coalescer.add(Sends(sent, "d"), 2.0)
            await asyncio.sleep(0)

        asyncio.run(main())
        assert sent == ["a", "b", "c", "d"]

    def test_before_it_when_there_are_many(self) -> None:
        sent: list[str] = []

        async def main() -> None:
            coalescer = WriteCoalescer()
            for number in range(MAX_WAITING + 1):
                coalescer.add(Sends(sent, str(number)), 1.0)
            assert len(sent) == MAX_WAITING
            await asyncio.sleep(0)

        asyncio.run(main())
        assert sent == [str(number) for number in range(MAX_WAITING + 1)]

    def test_before_it_when_the_first_has_waited_long_enough(self) -> None:
        sent: list[str] = []

        async def main() -> None:
            coalescer = WriteCoalescer()
            coalescer.add(Sends(sent, "a"), 1.0)
            coalescer.add(Sends(sent, "b"), 1.0 + LONGEST / 2)
            assert sent == []
            coalescer.add(Sends(sent, "c"), 1.0 + 2 * LONGEST)
            assert sent == ["a", "b", "c"]

        asyncio.run(main())


class TestConnections:
    """Several at once are each answered, in order, whatever comes behind their requests."""

    def test_each_gets_its_own_in_order(self, served: Served) -> None:
        clients = [served.client() for _ in range(MAX_WAITING + 4)]
        assert served.server._coalescer.shared
        asked = [[client.send(m.Tgetattr(0, GETATTR_BASIC)) for _ in range(20)] for client in clients]
        for client, tags in zip(clients, asked, strict=True):
            for tag in tags:
                client.reply(tag)
            assert client.order[-20:] == tags

    def test_one_that_sends_no_more_is_owed_nothing(self, served: Served) -> None:
        """The end of a connection right behind its requests: the replies of the round
        come first.
        """
        served.client()
        client = served.client()
        asked = client.send_all(*[m.Tgetattr(0, GETATTR_BASIC)] * 5)
        client.sock.shutdown(socket.SHUT_WR)
        for tag in asked:
            client.reply(tag)
        assert client.ended()

    def test_a_bad_frame_behind_good_ones(self, served: Served) -> None:
        served.client()
        client = served.client()
        tag = client.next_tag()
        client.send_bytes(client.encode(m.Tgetattr(0, GETATTR_BASIC), tag) + bytes(7), tag=tag, number=24)
        client.reply(tag)
        assert client.ended()

    @pytest.mark.parametrize("count", [1, 17, 40, 64, 200])
    def test_batches_of_any_size(self, served: Served, count: int) -> None:
        client = served.client()
        for _ in range(2):  # the second is sent in writes of the first's size
            asked = client.send_all(*[m.Tgetattr(0, GETATTR_BASIC)] * count)
            for tag in asked:
                client.reply(tag)
            assert client.order[-count:] == asked

    def test_shared_only_while_there_are_several(self, served: Served) -> None:
        first: RawClient = served.client()
        assert not served.server._coalescer.shared
        second = served.client()
        assert served.server._coalescer.shared
        second.close()
        first.rpc(m.Tgetattr(0, GETATTR_BASIC))
        served.until(lambda: served.server.connections == 1)
        assert not served.server._coalescer.shared
