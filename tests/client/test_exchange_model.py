"""The client's core with a server that answers in any order, while calls are abandoned: no tag is
in use twice at a time, and at the end client and server agree on the fids in use.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, precondition, rule

from ninep.client.exchange import Call, Exchange, answer_of
from ninep.wire.codec import codec
from ninep.wire.dialect import Dialect
from ninep.wire.messages import Message, Rclunk, Rflush, Rlerror, Rwalk, Tclunk, Tflush, Twalk
from ninep.wire.modes import EXTENDED
from ninep.wire.types import Qid

CODEC = codec(EXTENDED)
QID = Qid(0, 0, 1)
ROOT = 0


class ClientAndServer(RuleBasedStateMachine):
    held = Bundle("held")  # fids that the client has got
    waiting = Bundle("waiting")  # calls with a waiting task

    def __init__(self) -> None:
        super().__init__()
        self.exchange = Exchange()
        self.exchange.agree(Dialect.LINUX, 8192)
        assert self.exchange.fids.allocate() == ROOT
        self.server_fids = {ROOT}
        self.asked: dict[int, Message] = {}  # what the server has not answered
        self.client_fids: set[int] = set()
        self.unseen: list[Call] = []  # calls with a waiting task

    def carry(self) -> None:
        """Pass the client's bytes to the server."""
        data = b"".join(self.exchange.outgoing)
        self.exchange.outgoing.clear()
        while data:
            size = int.from_bytes(data[:4], "little")
            tag, message = CODEC.decode(data[:size])
            assert tag not in self.asked, "a tag that is in flight was used again"
            self.asked[tag] = message
            data = data[size:]

    def say(self, tag: int, reply: Message) -> None:
        done: list[Call] = []
        self.exchange.feed(b"".join(CODEC.encode(tag, reply)), done)
        self.carry()

    # -- the client

    @rule(target=waiting, names=st.integers(0, 3))
    def walk(self, names):
        fid = self.exchange.fids.allocate()
        call = self.exchange.request(Twalk(ROOT, fid, [b"x"] * names), Tclunk(fid))
        self.carry()
        self.unseen.append(call)
        return call

    @rule(call=consumes(waiting))
    def abandon(self, call):
        self.unseen.remove(call)
        self.exchange.abandon(call)
        self.carry()

    @rule(target=held, call=consumes(waiting))
    def look(self, call):
        """Take the result, if there is one; otherwise abandon the call."""
        if call.reply is None:
            self.abandon(call)
            return multiple()
        self.unseen.remove(call)
        try:
            reply = answer_of(call, Rwalk)
        except OSError:
            return multiple()
        if len(reply.qids) < len(call.request.wnames):
            return multiple()
        self.client_fids.add(call.request.newfid)
        return call.request.newfid

    @rule(fid=consumes(held))
    def clunk(self, fid):
        self.client_fids.discard(fid)
        self.exchange.request(Tclunk(fid))
        self.carry()

    # -- the server

    @precondition(lambda self: self.asked)
    @rule(data=st.data())
    def answer(self, data):
        tag = data.draw(st.sampled_from(sorted(self.asked)))
        self.answer_one(tag, data.draw(st.sampled_from(["done", "partly", "refused"])))

    def answer_one(self, tag: int, how: str) -> None:
        message = self.asked.pop(tag)
        if isinstance(message, Tflush):
            # the old request either was answered before, or never will be
            self.asked.pop(message.oldtag, None)
            self.say(tag, Rflush())
        elif isinstance(message, Tclunk):
            self.server_fids.discard(message.fid)
            self.say(tag, Rlerror(9) if how == "refused" else Rclunk())
        elif isinstance(message, Twalk):
            assert message.newfid not in self.server_fids, "a fid that the server still has was used again"
            if how == "refused":
                self.say(tag, Rlerror(2))
            elif how == "partly" and len(message.wnames) > 1:
                self.say(tag, Rwalk([QID]))
            else:
                self.server_fids.add(message.newfid)
                self.say(tag, Rwalk([QID] * len(message.wnames)))

    @invariant()
    def the_client_knows_what_is_in_flight(self):
        unanswered = {tag for tag, call in self.exchange.calls.items() if call.reply is None}
        assert unanswered == set(self.asked)

    def teardown(self) -> None:
        for call in self.unseen:
            self.exchange.abandon(call)
        self.carry()
        while self.asked:
            self.answer_one(min(self.asked), "done")
        assert self.exchange.calls == {}
        assert self.server_fids == {ROOT} | self.client_fids
        assert self.exchange.fids.in_use == len(self.server_fids)


TestClientAndServer = ClientAndServer.TestCase
TestClientAndServer.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
