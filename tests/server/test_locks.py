"""The lock table against a list of bytes: who holds what, whatever is locked, unlocked and
forgotten (fcntl(2)).
"""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ninep.errors import Refused
from ninep.linux import LOCK_RDLCK as READ
from ninep.linux import LOCK_UNLCK as UNLOCK
from ninep.linux import LOCK_WRLCK as WRITE
from ninep.linux import Errno
from ninep.server.lock_ranges import END, Owner, Range
from ninep.server.locks import LockTable, conflict_kind

SIZE = 24
"""The model's file; the last byte stands for all that follow."""
LIMIT = 6


class Open:
    """A file open on a host that excludes by open file, as open-file-description locks do."""

    all_owners: list[Open]

    def __init__(self, all_owners: list[Open]) -> None:
        self.all_owners = all_owners
        self.held: dict[int, int] = {}
        all_owners.append(self)

    def lock(self, kind: int, start: int, length: int) -> None:
        bytes_ = range(start, min(start + length, SIZE) if length else SIZE)
        if kind == UNLOCK:
            for at in bytes_:
                self.held.pop(at, None)
            return
        for other in self.all_owners:
            if other is not self and any(at in other.held and WRITE in {kind, other.held[at]} for at in bytes_):
                raise Refused(Errno.EAGAIN)
        self.held |= dict.fromkeys(bytes_, kind)

    def test_lock(self, kind: int, start: int, length: int) -> tuple[int, int, int, int] | None:
        for other in self.all_owners:
            for at in range(start, min(start + length, SIZE) if length else SIZE):
                if other is not self and at in other.held and WRITE in {kind, other.held[at]}:
                    return other.held[at], at, 1, -1
        return None


KINDS = st.sampled_from([READ, WRITE])
STARTS = st.integers(0, SIZE - 1)
LENGTHS = st.integers(0, SIZE // 2)
FIDS = st.integers(0, 4)


class Locks(RuleBasedStateMachine):
    """Five fids of two sessions; two processes at each; and a process of the host."""

    def __init__(self) -> None:
        super().__init__()
        self.all_owners: list[Open] = []
        self.host = Open(self.all_owners)
        self.files = [Open(self.all_owners) for _ in range(5)]
        self.fids = [object() for _ in range(5)]
        self.table = LockTable()
        self.model: list[dict[tuple[int, int], tuple[int, int]]] = [{} for _ in range(SIZE)]
        """For each byte: (session, process) -> (kind, fid)."""

    def wanted(self, fid: int, process: int, kind: int, start: int, length: int) -> Range:
        end = min(start + length, SIZE) if length else SIZE
        owner = Owner(fid % 2, b"c", process)
        return Range(owner, kind, start, END if end == SIZE else end, self.fids[fid], self.files[fid])  # type: ignore[arg-type]

    def bytes_of(self, wanted: Range) -> range:
        return range(wanted.start, min(wanted.end, SIZE))

    def in_the_way(self, me: tuple[int, int], wanted: Range, kind: int) -> bool:
        for at in self.bytes_of(wanted):
            if any(owner != me and WRITE in {kind, theirs} for owner, (theirs, _) in self.model[at].items()):
                return True
            if at in self.host.held and WRITE in {kind, self.host.held[at]}:
                return True
        return False

    def ranges(self, session: int) -> int:
        """How many runs of equal bytes a session's locks are."""
        count = 0
        for process in range(2):
            before = None
            for at in range(SIZE):
                now = self.model[at].get((session, process))
                count += now is not None and now != before
                before = now
        return count

    @rule(fid=FIDS, process=st.integers(0, 1), kind=KINDS, start=STARTS, length=LENGTHS)
    def lock(self, fid: int, process: int, kind: int, start: int, length: int) -> None:
        wanted = self.wanted(fid, process, kind, start, length)
        me = (fid % 2, process)
        before = [dict(one) for one in self.model]
        had = self.ranges(fid % 2)
        for at in self.bytes_of(wanted):
            self.model[at][me] = (kind, fid)
        too_many = self.ranges(fid % 2) > max(LIMIT, had)
        after, self.model = self.model, before
        blocked = self.in_the_way(me, wanted, kind)
        try:
            taken = self.table.lock(7, wanted, LIMIT)
        except Refused:
            assert too_many
            return
        assert taken == (not blocked)
        if taken:
            assert not too_many
            self.model = after

    @rule(fid=FIDS, process=st.integers(0, 1), start=STARTS, length=LENGTHS)
    def unlock(self, fid: int, process: int, start: int, length: int) -> None:
        given = self.wanted(fid, process, UNLOCK, start, length)
        me = (fid % 2, process)
        before = [dict(one) for one in self.model]
        had = self.ranges(fid % 2)
        for at in self.bytes_of(given):
            self.model[at].pop(me, None)
        if self.ranges(fid % 2) > max(LIMIT, had):
            self.model = before
            with pytest.raises(Refused):
                self.table.unlock(7, given, LIMIT)
        else:
            self.table.unlock(7, given, LIMIT)

    @rule(fid=FIDS)
    def clunk(self, fid: int) -> None:
        self.table.forget(self.fids[fid])
        self.files[fid].held.clear()  # the host's locks end with the open file
        for at in range(SIZE):
            self.model[at] = {owner: what for owner, what in self.model[at].items() if what[1] != fid}

    @rule(kind=st.sampled_from([READ, WRITE, UNLOCK]), start=STARTS, length=st.integers(1, 6))
    def host_process(self, kind: int, start: int, length: int) -> None:
        try:
            self.host.lock(kind, start, length)
        except Refused:
            return

    @rule(
        fid=FIDS, process=st.integers(0, 1), kind=st.sampled_from([READ, WRITE, UNLOCK]), start=STARTS, length=LENGTHS
    )
    def ask(self, fid: int, process: int, kind: int, start: int, length: int) -> None:
        wanted = self.wanted(fid, process, conflict_kind(kind), start, length)
        me = (fid % 2, process)
        found = self.table.test(7, wanted)
        others = any(
            owner != me and WRITE in {wanted.kind, theirs}
            for at in self.bytes_of(wanted)
            for owner, (theirs, _) in self.model[at].items()
        )
        if isinstance(found, Range):
            assert others
            assert found.owner != wanted.owner
        else:
            assert not others

    @invariant()
    def the_table_and_the_model_agree(self) -> None:
        assert len(self.table) == sum(self.ranges(session) for session in range(2))

    @invariant()
    def what_clients_hold_is_locked_on_the_host(self) -> None:
        for at in range(SIZE):
            for kind, fid in self.model[at].values():
                assert self.files[fid].held.get(at) == kind
            holders = {fid for _, fid in self.model[at].values()}
            for fid, file in enumerate(self.files):
                assert at not in file.held or fid in holders, f"byte {at} stayed locked on the host through {fid}"


TestLocks = Locks.TestCase
TestLocks.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)


def test_a_clunk_of_who_has_no_locks_costs_nothing() -> None:
    table = LockTable()
    for i in range(5000):
        table.lock(i, Range(Owner(1, b"", 1), WRITE, 0, 1, "holder", None), 10_000)
    table._files = {}  # not looked at: that is the point
    table.forget("another fid")
