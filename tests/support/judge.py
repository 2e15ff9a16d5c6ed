"""What every reply of a server must be, decoded by nothing of ``ninep.wire`` (T27).

``Judge`` follows one connection: each request that is sent and each frame that comes back. A frame
that no kernel should be sent is an AssertionError on the spot: an unknown or repeated tag, a tag
whose Rflush is out, another type than asked for, the wrong dialect's error, more than msize bytes,
torn records, bits that a dialect does not have.
"""

from __future__ import annotations

from typing import Any

from tests.wire.wire_reference import LAYOUT, STAT, fields_of

RLERROR, RERROR, RVERSION, TFLUSH, RFLUSH, TVERSION, TREAD, TREADDIR, TWALK = 7, 107, 101, 108, 109, 100, 116, 40, 110
OPENS = {12, 14, 112}
DIRECTORY, LINK = 0x80, 0x02
PLAIN_MODE = 0x80000000 | 0o777
UNIX_MODE = PLAIN_MODE | 0x02000000 | 0x00800000 | 0x00200000 | 0x00100000 | 0x00080000 | 0x00040000 | 0x00010000
TYPES = {0o140000, 0o120000, 0o100000, 0o060000, 0o040000, 0o020000, 0o010000}


class Reader:
    """Numbers and strings from the front of some bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        assert self.at + count <= len(self.data), (
            f"{count} bytes wanted at {self.at} of {len(self.data)}: {self.data[:64].hex()}"
        )
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def string(self) -> bytes:
        return self.take(self.number(2))

    def qid(self) -> tuple[int, int, int]:
        return self.number(1), self.number(4), self.number(8)

    def field(self, kind: str, extended: bool) -> Any:
        match kind:
            case "s":
                return self.string()
            case "13":
                return self.qid()
            case "count[4]":
                return self.take(self.number(4))
            case "-8":
                return int.from_bytes(self.take(8), "little", signed=True)
            case "n":
                length = self.number(2)
                end = self.at + length
                record = self.stat(extended)
                assert self.at == end, "the two sizes of a stat record disagree"
                return record
        return self.number(int(kind))

    def stat(self, extended: bool) -> dict[str, Any]:
        size = self.number(2)
        end = self.at + size
        record = {name: self.field(kind, extended) for name, kind in fields_of(STAT, extended)}
        assert self.at == end, "the size of a stat record lies"
        return record


def parse(frame: bytes, extended: bool) -> tuple[int, int, dict[str, Any]]:
    """Type, tag and fields of one frame."""
    reader = Reader(frame)
    size, number, tag = reader.number(4), reader.number(1), reader.number(2)
    assert size == len(frame), f"size says {size}, there are {len(frame)} bytes"
    assert number in LAYOUT, f"no message has type {number}"
    fields: dict[str, Any] = {}
    for name, kind in fields_of("".join(LAYOUT[number][1:]), extended):
        if name.startswith("n*"):
            fields[name[2:]] = [reader.field(kind, extended) for _ in range(reader.number(2))]
        else:
            fields[name] = reader.field(kind, extended)
    assert reader.at == size, f"{size - reader.at} bytes behind the body of type {number}"
    return number, tag, fields


def dirents(data: bytes) -> list[tuple[tuple[int, int, int], int, int, bytes]]:
    """The entries of an Rreaddir: qid, offset, type, name."""
    reader = Reader(data)
    entries = []
    while reader.at < len(data):
        entries.append((reader.qid(), reader.number(8), reader.number(1), reader.string()))
    return entries


def stats(data: bytes, extended: bool) -> list[dict[str, Any]]:
    """The records of a directory that was read with Tread."""
    reader = Reader(data)
    records = []
    while reader.at < len(data):
        records.append(reader.stat(extended))
    return records


class Judge:
    """One connection as an honest witness sees it."""

    def __init__(self) -> None:
        self.dialect = b"unknown"
        self.msize = 1 << 22
        self.pending: dict[int, tuple[int, dict[str, Any]]] = {}
        self.reading: set[int] = set()
        """Fids whose Tread gives stat records: opened with a directory's qid in a base dialect."""

    @property
    def extended(self) -> bool:
        return self.dialect in {b"9P2000.L", b"9P2000.u"}

    def sent(self, frame: bytes) -> None:
        """A request that the server will understand."""
        number, tag, fields = parse(frame, self.extended)
        if number == TVERSION:
            self.pending.clear()  # whatever went on before is forgotten, and not answered any more
            self.reading.clear()
        assert tag not in self.pending, f"the test itself used tag {tag} twice"
        self.pending[tag] = number, fields

    def received(self, frame: bytes) -> dict[str, Any]:
        """A reply: its fields, once it has passed."""
        assert len(frame) <= self.msize, f"{len(frame)} bytes; msize is {self.msize}"
        number, tag, fields = parse(frame, self.extended)
        assert tag in self.pending, f"a reply of type {number} to tag {tag}, which is not in flight"
        asked, request = self.pending.pop(tag)
        if number != asked + 1:
            expected = RLERROR if self.dialect == b"9P2000.L" else RERROR
            assert number == expected, f"type {number} as the reply to {asked} in {self.dialect!r}"
            self._error(fields)
            return fields
        if asked == TVERSION:
            self._version(request, fields)
        if asked == TFLUSH:
            self.pending.pop(request["oldtag"], None)  # from now on nothing may be said about it
        self._qids(asked, request, fields)
        self._sizes(asked, request, fields)
        self._modes(fields)
        return fields

    def _error(self, fields: dict[str, Any]) -> None:
        if "ecode" in fields:
            assert 0 < fields["ecode"] < 200, f"{fields['ecode']} is no Linux errno"
        else:
            assert fields["ename"].isascii()
            assert fields["ename"], "an error without words"
            assert not self.extended or 0 < fields["errno"] < 200

    def _version(self, request: dict[str, Any], fields: dict[str, Any]) -> None:
        assert fields["msize"] <= request["msize"], "msize may only shrink"
        self.dialect = fields["version"]
        self.msize = fields["msize"]

    def _qids(self, asked: int, request: dict[str, Any], fields: dict[str, Any]) -> None:
        for qid in [*fields.get("qids", ()), *([fields["qid"]] if "qid" in fields else ())]:
            assert qid[0] in {0, DIRECTORY, LINK}, f"a qid of type {qid[0]:#x}"
        if asked == TWALK:
            assert len(fields["qids"]) <= len(request["wnames"]), "more qids than names"
        if "iounit" in fields:
            assert fields["iounit"] <= self.msize - 24, "an iounit that no message carries"
            opened_directory = fields["qid"][0] == DIRECTORY
            assert not opened_directory or fields["iounit"] == 0
            assert asked not in OPENS or opened_directory or fields["iounit"], "FreeBSD would ask for more than fits"
            if opened_directory and self.dialect != b"9P2000.L":
                self.reading.add(request["fid"])
            else:
                self.reading.discard(request.get("fid", -1))

    def _sizes(self, asked: int, request: dict[str, Any], fields: dict[str, Any]) -> None:
        if asked == TREAD:
            assert len(fields["data"]) <= request["count"], "more data than was asked for"
            if request["fid"] in self.reading:
                for record in stats(fields["data"], self.extended):
                    self._record(record)
        if asked == TREADDIR:
            assert len(fields["data"]) <= request["count"], "more entries than were asked for"
            offsets = []
            for qid, offset, kind, name in dirents(fields["data"]):
                assert name
                assert b"/" not in name
                assert b"\0" not in name
                assert 0 < offset < 1 << 63
                assert kind in {0, 1, 2, 4, 6, 8, 10, 12}
                assert qid[0] in {0, DIRECTORY, LINK}
                offsets.append(offset)
            assert len(set(offsets)) == len(offsets), "two entries with one cookie"

    def _modes(self, fields: dict[str, Any]) -> None:
        if "stat" in fields:
            self._record(fields["stat"])
        if "valid" in fields:
            assert fields["valid"] & 0x7FF == 0x7FF, "Linux takes a reply in one go only if it has all of BASIC"
            assert fields["mode"] & 0o170000 in TYPES
            assert fields["mode"] < 1 << 16
            assert (fields["mode"] & 0o170000 == 0o040000) == (fields["qid"][0] == DIRECTORY)
            assert (fields["mode"] & 0o170000 == 0o120000) == (fields["qid"][0] == LINK)
            for which in ("atime", "mtime", "ctime", "btime"):
                assert 0 <= fields[which + "_nsec"] < 1_000_000_000
            assert fields["blksize"]

    def _record(self, record: dict[str, Any]) -> None:
        legal = UNIX_MODE if self.extended else PLAIN_MODE
        assert not record["mode"] & ~legal, f"mode {record['mode']:#x} in {self.dialect!r}"
        assert bool(record["mode"] & 0x80000000) == (record["qid"][0] == DIRECTORY)
        assert record["name"] == b"/" or b"/" not in record["name"]
        assert record["qid"][0] != DIRECTORY or record["length"] == 0
