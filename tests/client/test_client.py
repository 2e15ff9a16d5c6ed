"""The client as a whole: connecting, closing, and what it leaves behind."""

from __future__ import annotations

import pytest


def test_the_first_dialect_that_the_server_has_is_taken(connect):
    assert connect().dialect.value == b"9P2000.L"
    assert connect("9P2000").dialect.value == b"9P2000"


def test_msize_is_what_both_take(connect):
    assert connect(msize=8192).msize == 8192


def test_attaching_again_over_the_same_connection(linux):
    linux.write_bytes("file", b"shared")
    other = linux.attach(uname="somebody", n_uname=77)
    other.write_bytes("theirs", b"")
    assert other.read_bytes("file") == b"shared"
    other.close()
    assert linux.stat("theirs").st_uid == 77


def test_nothing_is_left_in_use(client):
    client.mkdir("dir")
    client.write_bytes("dir/file", b"x" * 100_000)
    client.read_bytes("dir/file")
    list(client.scandir("dir", stat=True))
    for path in ("missing", "dir/missing", "dir/missing/too", "dir/file/x"):
        assert not client.exists(path)
    client.rmtree("dir")
    client.stat("/")
    assert client.connection.exchange.fids.in_use <= 2  # the root, and a clunk that is on its way


def test_after_the_end_nothing_can_be_asked(client):
    client.close()
    client.close()
    with pytest.raises(ConnectionError):
        client.stat("/")
