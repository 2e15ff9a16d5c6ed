"""Writes the corpus in the repository: ``python -m fuzz.seeds``. One short conversation for each
feature of a session.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.wire.wire_examples import EXAMPLES

from fuzz.engine import CORPUS
from fuzz.frames import KEEP, conversation_of, word
from ninep.linux import NO_ID
from ninep.wire import messages as m
from ninep.wire.messages import NOFID

LINUX: dict[str, list[m.Message | str | bytes]] = {
    "files": [
        m.Twalk(0, 1, [b"dir"]), m.Tlcreate(1, b"a", 0o102, 0o644, NO_ID), m.Twrite(1, 0, b"hello"), m.Tread(1, 0, 9),
        m.Tgetattr(1, 0x7FF), m.Tsetattr(1, 8, 0, 0, 0, 2, 0, 0, 0, 0), m.Tfsync(1, 0), m.Tclunk(1),
        m.Twalk(0, 2, [b"dir", b"a"]), m.Tlopen(2, 0o1002), m.Tremove(2),
    ],
    "names": [
        m.Tmkdir(0, b"a", 0o755, 0), m.Tsymlink(0, b"b", b"file", 0), m.Twalk(0, 1, [b"file"]), m.Tlink(0, 1, b"x"),
        m.Trenameat(0, b"b", 0, b"x"), m.Tmknod(0, b"p", 0o010644, 0, 0, 0), m.Trename(1, 0, b"y"), m.Tunlinkat(0, b"a", 0x200),
        m.Twalk(0, 2, [b"x"]), m.Treadlink(2),
    ],
    "listing": [
        m.Twalk(0, 1, []), m.Tlopen(1, 0), m.Treaddir(1, 0, 4096), m.Treaddir(1, 2, 100), m.Tfsync(1, 1), m.Tstatfs(1), m.Tclunk(1),
    ],
    "attributes": [
        m.Twalk(0, 1, [b"file"]), m.Twalk(1, 2, []), m.Txattrcreate(2, b"user.a", 5, 0), m.Twrite(2, 0, b"value"), m.Tclunk(2),
        m.Txattrwalk(1, 2, b"user.a"), m.Tread(2, 0, 9), m.Tclunk(2), m.Txattrwalk(1, 2, b""), m.Tread(2, 0, 99),
        m.Tsetattr(1, 7, 0o6755, 1, 2, 0, 0, 0, 0, 0),
    ],
    "locks": [
        m.Twalk(0, 1, [b"file"]), m.Tlopen(1, 2), m.Tlock(1, 1, 0, 0, 9, 1, b"c"), m.Tgetlock(1, 1, 0, 0, 2, b"d"),
        m.Tlock(1, 2, 0, 3, 1, 1, b"c"),
    ],
    "removed": [
        m.Twalk(0, 1, [b"file"]), m.Tlopen(1, 2), m.Tunlinkat(0, b"file", 0), m.Tgetattr(1, 0x3FFF), m.Twrite(1, 0, b"x"), m.Tremove(1),
    ],
    "lingering": [m.Twalk(0, 1, [b"dir"]), m.Tclunk(1), m.Twalk(0, 1, [b"dir"]), m.Tremove(1), m.Tmkdir(0, b"dir", 0o755, 0)],
    "failures": [
        word("fail", 1), m.Tmkdir(0, b"a", 0o755, 0), word("fail", 2), m.Trenameat(0, b"file", 0, b"dir"), word("fail", 0),
        m.Tsymlink(0, b"b", b"file", 0), m.Twalk(0, 1, [b"file"]), word("fail", 1), m.Tsetattr(1, 7, 0o600, 5, 6, 0, 0, 0, 0, 0),
    ],
    "flushes": [
        m.Twalk(0, 1, [b"file"]), m.Tlopen(1, 0), "glue", m.Tfsync(1), m.Tread(1, 0, 9), m.Tclunk(1), m.Tflush(6), m.Tflush(7),
        m.Tflush(9), "glue", "run newest", "turn", m.Tgetattr(0, 1), "run oldest", "turn",
    ],
    "full": [
        "full", "glue", m.Twalk(0, 1, []), m.Twalk(0, 2, []), m.Tfsync(1), m.Tfsync(2), "glue", "drained", m.Tversion(8192, b"9P2000.L"),
    ],
    "hang up": [m.Twalk(0, 1, [b"file"]), m.Tlopen(1, 2), m.Tfsync(1), m.Tfsync(1), m.Tclunk(1), "hang up"],
    "base in linux": [
        m.Twalk(0, 1, []), m.Tcreate(1, b"a", 0o644, 2, b""), m.Twstat(1, KEEP._replace(name=b"b")), m.Tstat(1), m.Tremove(1),
    ],
}  # fmt: skip
UNIX: dict[str, list[m.Message | str | bytes]] = {
    "files": [
        m.Twalk(0, 1, [b"dir"]), m.Tcreate(1, b"a", 0o644, 0x42, b""), m.Twrite(1, 0, b"hello"), m.Tread(1, 0, 9), m.Tstat(1), m.Tclunk(1),
        m.Twalk(0, 1, [b"file"]), m.Topen(1, 0x12), m.Twstat(1, KEEP._replace(name=b"b", mode=0o600)), m.Tremove(1),
    ],
    "kinds": [
        m.Twalk(0, 1, []), m.Tcreate(1, b"l", 0x02000000, 0, b"file"), m.Twalk(0, 2, []), m.Tcreate(2, b"p", 0x00200000, 0, b""),
        m.Twalk(0, 3, [b"file"]), m.Twalk(0, 4, []), m.Tcreate(4, b"h", 0x01000000, 0, b"3"),
    ],
    "listing": [
        m.Twalk(0, 1, []), m.Topen(1, 0), m.Tread(1, 0, 4096), m.Tread(1, 0, 100), m.Tflush(3), m.Twalk(0, 2, [b"dir"]), m.Tremove(2),
    ],
}  # fmt: skip


def conversations(anames: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """The conversations, each on one of the exports in turn."""
    exports = list(anames.items())
    for count, (name, rest) in enumerate(LINUX.items()):
        where, aname = exports[count % len(exports)]
        yield (
            f"L {name} {where}",
            conversation_of(m.Tversion(8192, b"9P2000.L"), m.Tattach(0, NOFID, b"root", aname, 0), *rest),
        )
    for count, (name, rest) in enumerate(UNIX.items()):
        for more, text, extended in ((1, b"9P2000.u", True), (2, b"9P2000", False)):
            where, aname = exports[(count + more) % len(exports)]
            begin = conversation_of(m.Tversion(8192, text)) + conversation_of(
                m.Tattach(0, NOFID, b"root", aname, 0), *rest, extended=extended
            )
            yield f"{'u' if extended else 'p'} {name} {where}", begin


def main() -> None:
    """Write the seeds; other files of the corpus are kept."""
    seeds: dict[str, list[tuple[str, bytes]]] = {
        "decoder": [(str(example), example.extended[4:]) for example in EXAMPLES],
        "memory": list(conversations({"default": b"", "waits": b"waits", "misses": b"misses"})),
        "local": list(
            conversations(
                {
                    name: name.encode()
                    for name in ("mapped-file", "passthrough", "waits", "mapped-xattr", "none", "read-only")
                }
            )
        )
        + list(conversations({"mapped-owner": b"mapped-owner"})),
    }
    for name, found in seeds.items():
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        for label, data in found:
            (folder / label.replace(" ", "-")).write_bytes(data)


if __name__ == "__main__":
    main()
