"""Servers that send wrong replies, stall, disconnect or never end, with both clients: a clear
error, a closed connection, bounded work.
"""

from __future__ import annotations

import errno
import socket

import pytest
from tests.client.expect import refused
from tests.client.fake import EACCES, ENOENT, EOPNOTSUPP, FILE, LINK, ROOT, FakeServer, hasty, listing, walk_to
from tests.support.client import TIMEOUT

from ninep.client.aio import tree as aio_tree
from ninep.client.blocking import tree as blocking_tree
from ninep.client.errors import DialectError, ProtocolError
from ninep.linux import LOCK_BLOCKED, LOCK_GRACE, LOCK_SUCCESS, LOCK_UNLCK
from ninep.wire.codec import pack_dirents, pack_stat
from ninep.wire.messages import (
    Rclunk,
    Rerror,
    Rflush,
    Rgetattr,
    Rlerror,
    Rlock,
    Rlopen,
    Ropen,
    Rread,
    Rreaddir,
    Rreadlink,
    Rremove,
    Rrename,
    Runlinkat,
    Rversion,
    Rwalk,
    Rwrite,
    Rxattrwalk,
    Tattach,
    Tclunk,
    Tflush,
    Tgetattr,
    Tlock,
    Tlopen,
    Topen,
    Tread,
    Treaddir,
    Treadlink,
    Tremove,
    Trename,
    Trenameat,
    Tunlinkat,
    Tversion,
    Twalk,
    Twrite,
    Txattrwalk,
)
from ninep.wire.modes import EXTENDED, PLAIN
from ninep.wire.types import Attributes, Dirent, Stat

# -- the beginning


def test_dialects_are_asked_for_one_after_the_other(face):
    with FakeServer({}, dialect=b"9P2000.u") as server, face.connect(server.socket, timeout=TIMEOUT) as client:
        assert client.dialect.value == b"9P2000.u"
        assert [t.version for t in server.asked(Tversion)] == [b"9P2000.L", b"9P2000.u"]


def test_a_server_that_answers_unknown_dialects_with_errors(face):
    def version(t):
        return Rversion(t.msize, t.version) if t.version == b"9P2000" else Rlerror(5)

    with (
        FakeServer({Tversion: version}, dialect=b"9P2000") as server,
        face.connect(server.socket, timeout=TIMEOUT) as client,
    ):
        assert client.dialect.value == b"9P2000"


@pytest.mark.parametrize("answer", [b"unknown", b"9P2000", b"9P3000", b""])
def test_no_common_dialect(face, answer):
    with FakeServer({Tversion: lambda t: Rversion(t.msize, answer)}) as server, pytest.raises(DialectError):
        face.connect(server.socket, dialect="9P2000.L", timeout=TIMEOUT)


@pytest.mark.parametrize("msize", [0, 255, 0xFFFFFFFF])
def test_a_message_size_that_cannot_be(face, msize):
    with (
        FakeServer({Tversion: lambda t: Rversion(msize, t.version)}) as server,
        pytest.raises(ProtocolError, match="msize"),
    ):
        face.connect(server.socket, timeout=TIMEOUT)


def test_a_banner_of_another_protocol(face):
    with FakeServer({Tversion: b"SSH-2.0-OpenSSH_9.2\r\n"}) as server, pytest.raises(ProtocolError):
        face.connect(server.socket, timeout=TIMEOUT)


def test_an_attach_that_is_refused(face):
    with FakeServer({Tattach: Rlerror(EACCES)}) as server, pytest.raises(PermissionError):
        face.connect(server.socket, "secret", timeout=TIMEOUT)


def test_connection_refused(face):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        face.connect(f"127.0.0.1:{port}", timeout=TIMEOUT)
    with pytest.raises(FileNotFoundError):
        face.connect("unix:/nowhere/at/all", timeout=TIMEOUT)


# -- wrong replies


def test_a_wrong_reply_closes_the_connection(against):
    client, server = against({Tgetattr: lambda t: Rclunk()})
    with pytest.raises(ProtocolError, match="Tgetattr"):
        client.stat("x")
    with pytest.raises(ProtocolError, match="Tgetattr"):
        client.stat("y")
    assert client.connection.closed
    assert len(server.asked(Tgetattr)) == 1


def test_a_second_reply_closes_the_connection(against):
    reply = Rgetattr(Attributes(mode=0o100644))
    client, server = against({Tgetattr: lambda t: server.say(reply, reply)})
    assert client.stat("x").is_file()
    with pytest.raises(ProtocolError):
        client.stat("x")


def test_a_hang_up_in_the_middle_of_a_reply(against):
    client, server = against({Tgetattr: lambda t: server.say(bytes.fromhex("a0000000 19 0000 ff")) or server.hang_up()})
    with pytest.raises(ConnectionResetError, match="closed the connection"):
        client.stat("x")


def test_a_count_above_the_request(against):
    client, _ = against({Tread: lambda t: Rread(b"x" * (t.count + 1))})
    with client.open("file") as file, pytest.raises(ProtocolError, match="asked for"):
        file.read()


def test_an_iounit_above_msize_is_not_used(against):
    client, server = against({Tlopen: Rlopen(FILE, 0xFFFFFFFF), Tread: Rread(b"")})
    with client.open("file") as file:
        assert file.pread(1 << 30, 0) == b""
    assert max(t.count for t in server.asked(Tread)) == client.msize - 24


def test_a_write_that_writes_nothing_ends(against):
    client, _ = against({Twrite: Rwrite(0)})
    with client.open("file", "r+b") as file, refused(errno.EIO, "file"):
        file.write(b"data")


def test_short_writes_are_continued(against):
    content = bytearray(10)

    def write(t):
        content[t.offset : t.offset + 3] = t.data[:3]
        return Rwrite(min(3, len(t.data)))

    client, server = against({Twrite: write})
    with client.open("file", "r+b") as file:
        assert file.write(b"0123456789") == 10
    assert content == b"0123456789"
    assert [(t.offset, len(t.data)) for t in server.asked(Twrite)] == [(0, 10), (3, 7), (6, 4), (9, 1)]


def test_short_reads_are_continued(against):
    content = bytes(range(256)) * 100
    client, _ = against({Tread: lambda t: Rread(content[t.offset : t.offset + min(t.count, 1000)])})
    with client.open("file") as file:
        assert file.pread(25_600, 0) == content
        assert b"".join(file.chunks()) == content


def test_small_files_cost_few_requests(against):
    client, server = against({Tread: lambda t: Rread(b"0123456789"[t.offset : t.offset + t.count])})
    with client.open("file") as file:
        assert file.read() == b"0123456789"
        assert len(server.asked(Tread)) == 1
        assert b"".join(file.chunks(0)) == b"0123456789"
        assert len(server.asked(Tread)) == 3
        assert b"".join(file.chunks(0, 10)) == b"0123456789"
        assert len(server.asked(Tread)) == 4


def test_the_first_failure_of_many_writes_is_raised_and_nothing_is_written_after_it(against):
    client, server = against({Twrite: lambda t: Rlerror(28) if t.offset >= 8192 else Rwrite(len(t.data))})
    with client.open("file", "r+b") as file, refused(errno.ENOSPC, "file"):
        file.write(bytes(400_000))
    in_flight = len(server.asked(Twrite))
    client.stat("x")
    assert len(server.asked(Twrite)) == in_flight < 40


# -- listings


@pytest.mark.parametrize("name", [b"../../etc/passwd", b"a/b", b"/etc", b"", b"a\0b"])
def test_names_that_no_directory_has(against, name):
    client, _ = against({Twalk: walk_to(ROOT), Treaddir: Rreaddir(listing(name)), Tlopen: Rlopen(ROOT, 0)})
    with pytest.raises(ProtocolError, match="entry called"):
        client.listdir("/")
    assert client.connection.closed


def test_torn_listings(against):
    client, _ = against({Twalk: walk_to(ROOT), Treaddir: Rreaddir(listing(b"name")[:-1]), Tlopen: Rlopen(ROOT, 0)})
    with pytest.raises(ProtocolError, match="cut off"):
        client.listdir("/")


def test_a_listing_that_comes_back(against):
    client, _ = against({Twalk: walk_to(ROOT), Treaddir: Rreaddir(listing(b"name")), Tlopen: Rlopen(ROOT, 0)})
    with pytest.raises(ProtocolError, match="comes back"):
        client.listdir("/")


def test_a_listing_that_never_ends(against, monkeypatch):
    for module in (aio_tree, blocking_tree):
        monkeypatch.setattr(module, "MAX_ENTRIES", 500)
    rules = {Treaddir: lambda t: Rreaddir(listing(*(b"%d" % (t.offset + n) for n in range(100)), cookie=t.offset + 1))}
    client, server = against({Twalk: walk_to(ROOT), Tlopen: Rlopen(ROOT, 0), **rules})
    with pytest.raises(ProtocolError, match="does not end"):
        client.listdir("/")
    assert len(server.asked(Treaddir)) == 6


def test_long_names_that_never_end(against, monkeypatch):
    for module in (aio_tree, blocking_tree):
        monkeypatch.setattr(module, "MAX_NAMES", 100_000)
    rules = {Treaddir: lambda t: Rreaddir(listing(b"x" * 40_000, cookie=t.offset + 1))}
    client, _ = against({Twalk: walk_to(ROOT), Tlopen: Rlopen(ROOT, 0), **rules})
    with pytest.raises(ProtocolError, match="does not end"):
        client.listdir("/")


@pytest.mark.parametrize("dialect", [b"9P2000.u", b"9P2000"])
def test_listings_of_stat_records(against, dialect):
    extended = dialect == b"9P2000.u"
    record = pack_stat(Stat(name=b"fine", length=3), EXTENDED if extended else PLAIN)
    for data, wrong in (
        (record + record[:-1], "listing"),
        (pack_stat(Stat(name=b"../x"), EXTENDED if extended else PLAIN), "entry called"),
        (b"\0", "listing"),
    ):
        rules = {Twalk: walk_to(ROOT), Topen: Ropen(ROOT, 0), Tread: lambda t, data=data: Rread(data)}
        client, _ = against(rules, dialect=dialect, friendly=False)
        with pytest.raises(ProtocolError, match=wrong):
            client.listdir("/")


def test_trees_that_never_end_in_depth(against, monkeypatch):
    for module in (aio_tree, blocking_tree):
        monkeypatch.setattr(module, "MAX_DEPTH", 20)
    deeper = pack_dirents([Dirent(*ROOT, 1, 4, b"d")], 100)[0]
    rules = {Treaddir: lambda t: Rreaddir(b"" if t.offset else b"".join(deeper))}
    client, _ = against({Twalk: walk_to(ROOT), Tlopen: Rlopen(ROOT, 0), **rules})
    with refused(errno.ELOOP):
        list(client.walk("/"))


def test_entries_without_readable_attributes_stay_in_the_listing(against):
    entries = [Dirent(0, 0, n, n, 0, b"%d" % n) for n in (1, 2, 3)]
    data = b"".join(pack_dirents(entries, 1000)[0])
    rules = {
        Treaddir: lambda t: Rreaddir(b"" if t.offset else data),
        Twalk: lambda t: {b"1": Rlerror(ENOENT), b"2": Rlerror(EACCES)}.get(
            t.wnames[0] if t.wnames else b"", Rwalk([FILE] * len(t.wnames))
        ),
        Tlopen: Rlopen(ROOT, 0),
    }
    client, _ = against(rules)
    assert [(entry.name, entry.kind, entry.stat is None) for entry in client.scandir()] == [
        ("2", 0, True),
        ("3", 8, False),
    ]


def test_links_of_a_liar_end(against):
    client, server = against({Twalk: walk_to(LINK), Treadlink: Rreadlink(b"again/and/again")})
    with refused(errno.ELOOP):
        client.stat("x", follow=True)
    assert len(server.asked(Treadlink)) <= 41


def test_an_attribute_that_is_too_large_to_be_true(against):
    client, _ = against({Txattrwalk: Rxattrwalk(1 << 60)})
    with refused(errno.E2BIG, "file"):
        client.getxattr("file", "user.x")


# -- servers that lack messages


def test_servers_without_unlinkat_and_renameat(against):
    client, server = against(
        {
            Tunlinkat: Rlerror(EOPNOTSUPP),
            Tremove: Rremove(),
            Trenameat: Rlerror(EOPNOTSUPP),
            Trename: Rrename(),
        }
    )
    client.remove("file")
    client.rename("a/file", "b/other")
    assert [t.name for t in server.asked(Trename)] == [b"other"]
    assert len(server.asked(Tremove)) == 1


def test_the_error_of_a_partial_walk(against):
    def walk(t):
        if t.wnames == [b"a", b"secret", b"x"]:
            return Rwalk([ROOT, ROOT])
        return Rlerror(EACCES) if t.wnames == [b"x"] else Rwalk([ROOT] * len(t.wnames))

    client, server = against({Twalk: walk})
    with refused(errno.EACCES, "a/secret/x"):
        client.stat("a/secret/x")
    assert Tclunk(server.asked(Twalk)[0].newfid) in server.seen  # some servers keep it


# -- locks that take time


def test_a_lock_is_asked_for_until_it_is_got(against):
    answers = [LOCK_BLOCKED, LOCK_GRACE, LOCK_BLOCKED, LOCK_SUCCESS]
    client, server = against({Tlock: lambda t: Rlock(LOCK_SUCCESS if t.type == LOCK_UNLCK else answers.pop(0))})
    with client.open("file", "r+b") as file:
        file.lock(5, 6)
        file.unlock(5, 6)
    assert len(server.asked(Tlock)) == 5
    assert {(t.start, t.length) for t in server.asked(Tlock)} == {(5, 6)}


# -- silence


def test_a_silent_server_is_not_waited_for(against):
    client, server = against({Tgetattr: None})
    with hasty(Tgetattr), pytest.raises(TimeoutError) as caught:
        client.stat("x")
    assert (caught.value.errno, caught.value.filename) == (errno.ETIMEDOUT, "x")
    server.rules[Tgetattr] = Rgetattr(Attributes(mode=0o100644))
    assert client.stat("x").is_file()  # the request was flushed, the connection lives on
    assert len(server.asked(Tflush)) == 1
    assert not [call for call in client.connection.exchange.calls.values() if not isinstance(call.request, Tclunk)]


def test_a_server_that_drips_is_not_waited_for(against):
    client, server = against({Tgetattr: lambda t: server.say(b"\xa0\0\0\0\x19")})
    with hasty(Tgetattr), pytest.raises(TimeoutError):
        client.stat("x")


def test_a_server_that_ignores_the_flush_as_well_is_given_up(against):
    client, server = against({Tgetattr: None, Tflush: None})
    with hasty(Tgetattr, Tflush), pytest.raises(TimeoutError):
        client.stat("x")
    server.rules[Twalk] = None
    with hasty(Twalk, Tflush), pytest.raises((TimeoutError, ConnectionAbortedError)):
        client.stat("y")
    with hasty(Twalk, Tflush), pytest.raises(ConnectionAbortedError, match="not even a flush"):
        client.stat("z")
    assert client.connection.closed


def test_a_reply_before_the_rflush_is_undone(against):
    def walk(t):
        held.append(server.tag)

    held: list[int] = []

    def flush(t):
        server.say(Rwalk([FILE]), tag=t.oldtag)
        return Rflush()

    client, server = against({Twalk: walk, Tflush: flush})
    with hasty(Twalk), pytest.raises(TimeoutError):
        client.stat("x")
    server.rules[Twalk] = walk_to(FILE)
    client.stat("y")
    made = server.asked(Twalk)[0].newfid
    assert Tclunk(made) in server.seen


def test_plain_errors_have_the_servers_words(against):
    client, _ = against({Twalk: Rerror(b"the disk is on fire")}, dialect=b"9P2000", friendly=False)
    with refused(errno.EIO, "x"):
        client.stat("x")
    with pytest.raises(OSError, match="on fire"):
        client.stat("x")


def test_unlink_through_many_requests_reports_each(against):
    entries = [Dirent(*FILE, n, 8, b"f%d" % n) for n in range(1, 51)]
    data = b"".join(pack_dirents(entries, 10_000)[0])
    rules = {
        Twalk: walk_to(ROOT),
        Tlopen: Rlopen(ROOT, 0),
        Treaddir: lambda t: Rreaddir(b"" if t.offset else data),
        Tunlinkat: lambda t: Rlerror(EACCES) if t.name in {b"f7", b"dir"} else Runlinkat(),
    }
    client, server = against(rules)
    errors = []
    client.rmtree("dir", onerror=errors.append)
    assert [(error.errno, error.filename) for error in errors] == [(errno.EACCES, "dir/f7"), (errno.EACCES, "dir")]
    assert {t.name for t in server.asked(Tunlinkat)} == {b"dir", *(entry.name for entry in entries)}
