"""Open files, with both clients, in each dialect."""

from __future__ import annotations

import errno
import io
import os
import stat

import pytest
from tests.client.expect import refused


def test_what_is_written_is_read(client):
    assert client.write_bytes("file", b"some bytes\0and more") == 19
    assert client.read_bytes("/file") == b"some bytes\0and more"
    client.write_bytes("file", b"less")
    assert client.read_bytes("file") == b"less"
    client.write_bytes("file", b"")
    assert client.read_bytes("file") == b""


def test_large_files_go_in_pieces(connect):
    client = connect(msize=4096)
    data = os.urandom(1_000_003)
    client.write_bytes("large", data)
    assert client.read_bytes("large") == data
    with client.open("large") as file:
        assert file.pread(100_000, 450_000) == data[450_000:550_000]
        assert file.pread(100_000, 999_999) == data[999_999:]
        assert b"".join(file.chunks(10, 20_000)) == data[10:20_010]
        assert file.tell() == 0
        assert b"".join(file.chunks()) == data
        assert file.tell() == len(data)


def test_positions(client):
    with client.open("file", "w+b") as file:
        assert file.write(b"0123456789") == 10
        assert file.tell() == 10
        assert file.seek(-4, os.SEEK_END) == 6
        assert file.read(2) == b"67"
        assert file.seek(-1, os.SEEK_CUR) == 7
        assert file.read() == b"789"
        assert file.read() == b""
        assert file.read(5) == b""
        file.seek(12)
        file.write(b"x")
        assert file.pread(20, 8) == b"89\0\0x"
        assert file.pwrite(b"AB", 1) == 2
        assert file.tell() == 13
        file.seek(0)
        assert file.read(4) == b"0AB3"
        with refused(errno.EINVAL):
            file.seek(-1)


def test_appending(client):
    client.write_bytes("log", b"one\n")
    with client.open("log", "ab") as file:
        file.write(b"two\n")
        client.truncate("log", 4)
        file.write(b"three\n")
    assert client.read_bytes("log") == b"one\nthree\n"


def test_lines(client):
    client.write_bytes("text", b"first\n\nthird\nrest")
    with client.open("text") as file:
        assert list(file) == [b"first\n", b"\n", b"third\n", b"rest"]
        file.seek(2)
        for line in file:
            assert line == b"rst\n"
            break
        assert file.tell() == 6


def test_exclusive_creation(client):
    with client.open("new", "xb", permissions=0o600) as file:
        file.write(b"1")
    assert stat.S_IMODE(client.stat("new").st_mode) == 0o600
    with pytest.raises(FileExistsError) as caught:
        client.open("new", "xb")
    assert caught.value.filename == "new"


def test_opening_keeps_what_is_there(client):
    client.write_bytes("file", b"content", permissions=0o640)
    with client.open("file", "r+b") as file:
        file.write(b"C")
    assert client.read_bytes("file") == b"Content"
    client.write_bytes("file", b"x", permissions=0o777)
    assert stat.S_IMODE(client.stat("file").st_mode) == 0o640


def test_truncation_and_sync(client):
    with client.open("file", "w+b") as file:
        file.write(b"0123456789")
        assert file.truncate(4) == 4
        assert file.stat().st_size == 4
        file.seek(2)
        assert file.truncate() == 2
        file.fsync()
    assert client.read_bytes("file") == b"01"
    client.truncate("file", 5)
    assert client.read_bytes("file") == b"01\0\0\0"


def test_a_removed_file_that_is_open_goes_on(linux):
    with linux.open("file", "w+b") as file:
        file.write(b"still here")
        linux.remove("file")
        assert not linux.exists("file")
        assert file.pread(20, 0) == b"still here"
        assert file.stat().st_size == 10


def test_a_closed_file_is_closed(client):
    file = client.open("file", "wb")
    file.close()
    file.close()
    assert file.closed
    with pytest.raises(ValueError, match="closed"):
        file.write(b"x")


def test_files_that_cannot_be_opened(client):
    client.mkdir("dir")
    with pytest.raises(IsADirectoryError) as caught:
        client.open("dir")
    assert caught.value.filename == "dir"
    with pytest.raises(IsADirectoryError):
        client.open("/", "wb")
    with pytest.raises(FileNotFoundError):
        client.open("missing")
    with pytest.raises(FileNotFoundError):
        client.open("missing/file", "wb")
    with pytest.raises(ValueError, match="binary"):
        client.open("file", "w")


def test_a_raw_file_for_io(memory):
    from ninep.client.blocking import connect, raw

    with connect(memory.socket()) as client:
        with io.TextIOWrapper(io.BufferedRandom(raw(client.open("text", "w+b"))), "utf-8") as text:
            text.write("grün\nblau\n")
            text.seek(0)
            assert text.readlines() == ["grün\n", "blau\n"]
        assert client.read_bytes("text") == "grün\nblau\n".encode()
