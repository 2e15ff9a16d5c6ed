"""Tstat, Twstat and directories read as stat records through the wire: 9P2000, 9P2000.u, and what
of them is accepted in 9P2000.L.
"""

from collections.abc import Iterator

import pytest
from tests.server.handlers.conftest import TOUCH_NOTHING, stat_of, wstat
from tests.support.client import Failed, RawClient, refused
from tests.support.judge import stats
from tests.support.served import Served

from ninep import linux
from ninep.linux import NO_ID, Errno
from ninep.wire import messages as m
from ninep.wire.modes import (
    DMAPPEND,
    DMDEVICE,
    DMDIR,
    DMEXCL,
    DMNAMEDPIPE,
    DMSETGID,
    DMSETUID,
    DMSETVTX,
    DMSOCKET,
    DMSYMLINK,
)


def zoo(served: Served) -> None:
    """A file of each kind, made in .L."""
    other = served.client()
    other.create(0, 1, b"f", b"hello")
    other.mkdir(0, b"d")
    other.rpc(m.Tsymlink(0, b"l", b"target", NO_ID))
    for name, mode in ((b"p", 0o010640), (b"s", 0o140777), (b"c", 0o020600), (b"suid", 0o106755)):
        other.rpc(m.Tmknod(0, name, mode, 1, 3, NO_ID))


class TestStat:
    def test_of_a_file(self, file: RawClient) -> None:
        found = stat_of(file, 1)
        assert (found.name, found.mode, found.length, found.uid, found.gid) == (b"f", 0o644, 5, b"0", b"0")
        assert found.qid == file.walk(0, 2, b"f")[0]
        if file.dialect != b"9P2000":
            assert (found.n_uid, found.n_gid, found.extension) == (0, 0, b"HARDLINKCOUNT 1")

    def test_of_the_root(self, any_client: RawClient) -> None:
        found = stat_of(any_client, 0)
        assert (found.name, found.mode) == (b"/", DMDIR | 0o755)

    def test_plain_9p2000_has_no_words_for_some_things(self, served: Served, plain_client: RawClient) -> None:
        # A setuid bit there crashed Linux clients (CVE-2024-36964).
        other = served.client()
        for name, mode in ((b"suid", 0o107777), (b"fifo", 0o010644), (b"device", 0o020600)):
            other.rpc(m.Tmknod(0, name, mode, 1, 3, NO_ID))
            plain_client.walk(0, 1, name)
            assert stat_of(plain_client, 1).mode == mode & 0o777
            plain_client.clunk(1)

    def test_9p2000_u_has(self, served: Served, unix_client: RawClient) -> None:
        served.client().rpc(m.Tmknod(0, b"f", 0o107777, 0, 0, NO_ID))
        unix_client.walk(0, 1, b"f")
        assert stat_of(unix_client, 1).mode == DMSETUID | DMSETGID | DMSETVTX | 0o777

    @pytest.mark.parametrize("seconds", [-1, 1 << 32])
    def test_times_that_do_not_fit(self, served: Served, base_client: RawClient, seconds: int) -> None:
        other = served.client()
        other.rpc(m.Tsetattr(0, linux.SETATTR_MTIME | linux.SETATTR_MTIME_SET, 0, 0, 0, 0, 0, 0, seconds, 0))
        assert stat_of(base_client, 0).mtime == seconds & 0xFFFFFFFF

    def test_a_record_that_does_not_fit(self, served: Served) -> None:
        served.client().rpc(m.Tsymlink(0, b"l", b"t" * 4095, NO_ID))
        for msize, fits in ((4096, False), (8192, True)):
            client = served.client(b"9P2000.u", msize)
            client.walk(0, 1, b"l")
            # The whole target or none: a part of it would lead somewhere else.
            assert stat_of(client, 1).extension == (b"t" * 4095 if fits else b"")
            wstat(client, 1, name=b"renamed")
            wstat(client, 1, name=b"l")


class TestWstat:
    def test_touching_nothing_is_an_fsync(self, served: Served, file: RawClient) -> None:
        before = stat_of(file, 1)
        wstat(file, 1)
        assert served.faults.calls["fsync"] == 1
        file.rpc(m.Topen(1, 0))
        wstat(file, 1)
        assert served.faults.calls["file.fsync"] == 1
        assert stat_of(file, 1) == before

    def test_its_error(self, served: Served, file: RawClient) -> None:
        served.faults.fail("fsync", Errno.EIO)
        with refused(Errno.EIO):
            wstat(file, 1)

    def test_permissions(self, file: RawClient) -> None:
        wstat(file, 1, mode=0o600)
        assert stat_of(file, 1).mode == 0o600
        wstat(file, 0, mode=DMDIR | 0o700)
        assert stat_of(file, 0).mode == DMDIR | 0o700

    @pytest.mark.parametrize(
        ("fid", "mode"),
        [(0, 0o755), (1, DMDIR | 0o755), (1, DMAPPEND | 0o644), (1, DMEXCL | 0o644), (0, DMDIR | DMAPPEND)],
    )
    def test_the_type_stays(self, file: RawClient, fid: int, mode: int) -> None:
        before = stat_of(file, fid)
        with refused(Errno.EPERM):
            wstat(file, fid, mode=mode)
        assert stat_of(file, fid) == before

    @pytest.mark.parametrize("kind", [DMSYMLINK, DMDEVICE, DMNAMEDPIPE, DMSOCKET], ids=hex)
    def test_other_types_of_9p2000_u(self, unix_client: RawClient, kind: int) -> None:
        unix_client.create(0, 1, b"f")
        with refused(Errno.EPERM):
            wstat(unix_client, 1, mode=kind | 0o644)

    def test_a_fifo_keeps_its_own(self, served: Served, unix_client: RawClient) -> None:
        served.client().rpc(m.Tmknod(0, b"p", 0o010644, 0, 0, NO_ID))
        unix_client.walk(0, 1, b"p")
        for mode in (DMNAMEDPIPE | 0o600, 0o600):
            wstat(unix_client, 1, mode=mode)
            assert stat_of(unix_client, 1).mode == DMNAMEDPIPE | 0o600

    def test_length(self, served: Served, file: RawClient) -> None:
        wstat(file, 1, length=2)
        assert stat_of(file, 1).length == 2
        file.rpc(m.Topen(1, 2))
        wstat(file, 1, length=1)
        assert served.faults.calls["file.truncate"] == 1
        assert file.read(1) == b"h"

    @pytest.mark.parametrize("length", [1 << 63, (1 << 64) - 2], ids=hex)
    def test_lengths_that_no_file_has(self, file: RawClient, length: int) -> None:
        with refused(Errno.EINVAL):
            wstat(file, 1, length=length, mode=0o600)
        assert stat_of(file, 1).mode == 0o644

    def test_times(self, file: RawClient) -> None:
        wstat(file, 1, atime=0, mtime=0xFFFFFFFE)
        assert (stat_of(file, 1).atime, stat_of(file, 1).mtime) == (0, 0xFFFFFFFE)

    def test_owners(self, file: RawClient) -> None:
        if file.dialect == b"9P2000":
            wstat(file, 1, uid=b"7", gid=b"8")
        else:
            wstat(file, 1, uid=b"glenda", gid=b"sys", n_uid=7, n_gid=8)
        assert (stat_of(file, 1).uid, stat_of(file, 1).gid) == (b"7", b"8")

    @pytest.mark.parametrize(
        "name", [b"glenda", b"-1", b"1x", b"4294967295", b"9" * 6000, b" 1"], ids=lambda n: repr(n[:12])
    )
    def test_names_of_users_mean_nothing_here(self, plain_client: RawClient, name: bytes) -> None:
        for field in ("uid", "gid"):
            with refused(Errno.EINVAL):
                wstat(plain_client, 0, **{field: name})

    def test_rename(self, file: RawClient) -> None:
        wstat(file, 1, name=b"g")
        assert stat_of(file, 1).name == b"g"
        file.walk(0, 2, b"g")
        with refused(Errno.ENOENT):
            file.walk(0, 3, b"f")

    def test_rename_to_itself(self, file: RawClient) -> None:
        wstat(file, 1, name=b"f", mode=0o600)
        assert (stat_of(file, 1).name, stat_of(file, 1).mode) == (b"f", 0o600)

    def test_rename_onto_something(self, file: RawClient) -> None:
        file.create(0, 2, b"g", b"old")
        if file.dialect == b"9P2000":  # stat(5): an error
            with refused(Errno.EEXIST):
                wstat(file, 1, name=b"g")
            assert file.read(2) == b"old"
        else:
            wstat(file, 1, name=b"g")
            file.walk(0, 3, b"g")
            assert stat_of(file, 3).length == 5

    def test_rename_of_the_root(self, file: RawClient) -> None:
        with refused(Errno.EBUSY):
            wstat(file, 0, name=b"x", mode=DMDIR | 0o700)
        assert stat_of(file, 0).mode == DMDIR | 0o755

    def test_all_or_nothing(self, served: Served, file: RawClient) -> None:
        served.faults.fail("setattr", Errno.EPERM)
        with refused(Errno.EPERM):
            wstat(file, 1, name=b"g", mode=0o600)
        assert (stat_of(file, 1).name, stat_of(file, 1).mode) == (b"f", 0o644)
        file.walk(0, 2, b"f")

    @pytest.mark.parametrize("name", [b"f", b"d", b"l", b"p", b"s", b"c", b"suid", b"."], ids=bytes.decode)
    def test_a_record_sent_back_changes_nothing(self, served: Served, base_client: RawClient, name: bytes) -> None:
        zoo(served)
        base_client.walk(0, 1, name)
        found = stat_of(base_client, 1)
        calls = served.faults.calls.copy()
        base_client.rpc(m.Twstat(1, found))
        for verb in ("setattr", "fsync", "move"):
            assert served.faults.calls[verb] == calls[verb]
        assert stat_of(base_client, 1) == found

    @pytest.mark.parametrize("name", [b"f", b"d", b"p", b"suid"], ids=bytes.decode)
    def test_a_record_sent_back_with_one_field_changed(
        self, served: Served, base_client: RawClient, name: bytes
    ) -> None:
        zoo(served)
        base_client.walk(0, 1, name)
        found = stat_of(base_client, 1)
        plain = base_client.dialect == b"9P2000"
        changes: dict[str, object] = {"mtime": 12345, "atime": 54321, "mode": found.mode & ~0o777 | 0o501}
        if name in {b"f", b"suid"}:
            changes["length"] = 3
        for field, value in changes.items():
            found = stat_of(base_client, 1)
            base_client.rpc(m.Twstat(1, found._replace(**{field: value})))
            # What the change moves by itself (mtime, a SUID bit) is as it was asked for, too.
            after = stat_of(base_client, 1)
            assert after._replace(qid=found.qid) == found._replace(**{field: value})
        found = stat_of(base_client, 1)
        owner = {"uid": b"7"} if plain else {"n_uid": 7}
        base_client.rpc(m.Twstat(1, found._replace(**owner)))
        assert (stat_of(base_client, 1).uid, stat_of(base_client, 1).mode) == (b"7", found.mode)

    def test_a_directory_has_no_other_length(self, base_client: RawClient) -> None:
        base_client.mkdir(0, b"d")
        base_client.walk(0, 1, b"d")
        with refused(Errno.EISDIR):
            wstat(base_client, 1, length=1)
        wstat(base_client, 1, length=0)

    def test_a_length_that_is_the_present_one_leaves_times_alone(self, file: RawClient) -> None:
        wstat(file, 1, mtime=1000)
        wstat(file, 1, length=5)
        assert stat_of(file, 1).mtime == 1000
        wstat(file, 1, length=4, mtime=1000)
        assert (stat_of(file, 1).length, stat_of(file, 1).mtime) == (4, 1000)

    def test_what_nothing_can_change_is_not_looked_at(self, file: RawClient) -> None:
        before = stat_of(file, 1)
        wstat(file, 1, type=7, dev=8, qid=(1, 2, 3), muid=b"glenda", mode=0o600)
        assert stat_of(file, 1)._replace(mode=before.mode) == before

    def test_of_an_attribute(self, client: RawClient) -> None:
        client.rpc(m.Txattrwalk(0, 1, b""))
        for fields in ({}, {"mode": 0o600}):
            with refused(Errno.EINVAL):
                wstat(client, 1, **fields)

    def test_unknown_fid(self, file: RawClient) -> None:
        for message in (m.Tstat(9), m.Twstat(9, TOUCH_NOTHING)):
            with refused(Errno.EBADF):
                file.rpc(message)


class TestReadDirectory:
    """Whole stat records (read(5))."""

    @pytest.fixture
    def listing(self, served: Served, base_client: RawClient) -> RawClient:
        """``/d`` with files ``00`` to ``39``; fid 1 is open."""
        other = served.client()
        other.mkdir(0, b"d")
        other.walk(0, 1, b"d")
        for i in range(40):
            other.rpc(m.Tmknod(1, b"%02d" % i, 0o100644, 0, 0, NO_ID))
        base_client.walk(0, 1, b"d")
        base_client.rpc(m.Topen(1, 0))
        return base_client

    def pieces(self, client: RawClient, count: int, offset: int | None = None) -> Iterator[list[bytes]]:
        """What each read brings, until there is nothing more."""
        at = 0
        while data := client.read(1, at, count):
            yield [record["name"] for record in stats(data, client.judge.extended)]
            at = at + len(data) if offset is None else offset

    @pytest.mark.parametrize("count", [110, 200, 1000, 4096, 1 << 20])
    @pytest.mark.parametrize("offset", [None, 1], ids=["adding up", "anything but 0"])
    def test_all_of_it_in_pieces(self, listing: RawClient, count: int, offset: int | None) -> None:
        names = [name for piece in self.pieces(listing, count, offset) for name in piece]
        assert names == [b"%02d" % i for i in range(40)]

    def test_offset_0_begins_afresh(self, listing: RawClient) -> None:
        first = listing.read(1, 0, 500)
        listing.read(1, len(first), 500)
        assert listing.read(1, 0, 500) == first

    @pytest.mark.parametrize("count", [0, 1, 49])
    def test_no_room_for_one_record_is_not_the_end(self, listing: RawClient, count: int) -> None:
        with refused(Errno.EINVAL):
            listing.read(1, 0, count)
        data = listing.read(1, 7, 4096)
        assert stats(data, listing.judge.extended)[0]["name"] == b"00"

    def test_the_same_as_tstat(self, listing: RawClient) -> None:
        record = stats(listing.read(1, 0, 200), listing.judge.extended)[0]
        listing.walk(0, 2, b"d", b"00")
        found = stat_of(listing, 2)
        for name in ("qid", "mode", "length", "name", "uid", "gid"):
            assert record[name] == getattr(found, name)

    def test_an_entry_that_went_away_is_left_out(self, served: Served, listing: RawClient) -> None:
        served.faults.fail("walk", Errno.ENOENT, at=3)
        names = [name for piece in self.pieces(listing, 4096) for name in piece]
        assert names == [b"%02d" % i for i in range(40) if i != 2]

    @pytest.mark.parametrize("verb", ["walk", "getattr"])
    def test_an_entry_that_cannot_be_looked_at_is_shown(self, served: Served, listing: RawClient, verb: str) -> None:
        served.faults.fail(verb, Errno.EACCES, at=3)
        names = [name for piece in self.pieces(listing, 4096) for name in piece]
        assert names == [b"%02d" % i for i in range(40)]

    def test_a_listing_that_fails_goes_on_afterwards(self, served: Served, listing: RawClient) -> None:
        served.faults.fail("dir.read", Errno.EIO, at=2)
        with pytest.raises(Failed):
            list(self.pieces(listing, 4096, 1))
        names = [name for piece in self.pieces(listing, 4096) for name in piece]
        assert names == [b"%02d" % i for i in range(40)]

    def test_what_is_not_open(self, base_client: RawClient) -> None:
        base_client.walk(0, 1)
        with refused(Errno.EBADF):
            base_client.read(1)
