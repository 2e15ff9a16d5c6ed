"""Writes the corpus in the repository: ``python -m fuzz.seeds``. One short conversation for each
feature of a session.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.wire.wire_examples import EXAMPLES

from fuzz.engine import CORPUS
from fuzz.frames import KEEP, conversation_of, word
from fuzz.ring import step
from fuzz.vhost_user import ask, do
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
    "walked again": [m.Twalk(0, 1, [b"dir"]), m.Tclunk(1), m.Twalk(0, 1, [b"dir"]), m.Tremove(1), m.Tmkdir(0, b"dir", 0o755, 0)],
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


ROUND = step("pop") + step("push", 0, 9) + step("publish")
RING: dict[str, bytes] = {
    # options: bit 0 EVENT_IDX, 1 INDIRECT_DESC, 2 regions known, 3 in-flight region, 4 and 5 the size, 6 and 7 the first index
    "direct": b"\x30" + step("describe", 0, 0, 1, 1, 1) + step("describe", 1, 1, 2, 2, 0) + step("offer", 0) + ROUND,
    "direct loop": b"\x34" + step("describe", 0, 0, 1, 1, 1) + step("describe", 1, 1, 2, 1, 0) + step("offer", 0) + ROUND,
    "two": b"\x37" + step("fill", 2, 1, 8, 0) + ROUND + step("kicks", 1),
    "many": b"\xf7" + step("fill", 66, 1, 8, 3) + ROUND + step("fill", 66, 65, 2, 4) + ROUND,
    "adjacent": b"\x36" + step("fill", 130, 2, 2, 0) + ROUND,
    "too many": b"\x36" + step("describe", 0, 0, 1, 1, 1) + step("describe", 1, 2, 12, 4, 0) + step("offer", 0) + ROUND,
    "regions": b"\x36" + step("describe", 128, 4, 1, 1, 1) + step("describe", 129, 5, 2, 1, 2)
    + step("describe", 130, 7, 6, 2, 0) + step("describe", 0, 2, 3, 4, 0) + step("offer", 0) + ROUND,
    "across": b"\x36" + step("describe", 128, 4, 2, 1, 1) + step("describe", 0, 2, 2, 4, 0) + step("offer", 0) + ROUND,
    "nested": b"\x32" + step("describe", 128, 2, 2, 4, 0) + step("describe", 0, 2, 1, 4, 0) + step("offer", 0) + ROUND,
    "empty": b"\x32" + step("describe", 128, 10, 4, 3, 1) + step("describe", 129, 0, 1, 0, 0) + step("describe", 0, 2, 2, 4, 0)
    + step("offer", 0) + ROUND,
    "order": b"\x36" + step("describe", 128, 0, 1, 3, 1) + step("describe", 129, 0, 1, 0, 0) + step("describe", 0, 2, 2, 4, 0)
    + step("offer", 0) + ROUND,
    "meanwhile": b"\x36" + step("fill", 3, 1, 8, 0) + step("arm", 128, 10, 14, 7, 200) + ROUND + step("fill", 2, 1, 8, 1)
    + step("arm", 0, 10, 14, 7, 200) + ROUND,
    "again": b"\x36" + step("fill", 2, 1, 8, 0) + step("pop") + step("offer", 0) + step("pop") + step("push", 0, 0) + step("pop")
    + step("publish") + step("pop"),
    "restart": b"\x3f" + step("fill", 2, 1, 8, 0) + step("fill", 2, 1, 8, 1) + step("fill", 2, 1, 8, 2) + step("pop") * 3
    + step("push", 1, 0) + step("publish") + step("push", 1, 0) + step("restart") + ROUND * 2 + step("restart"),
    "restart poked": b"\x3f" + step("fill", 2, 1, 8, 0) + step("pop") + step("poke_region", 14, 3) + step("restart") + ROUND,
    "index": b"\x36" + step("index", 255) + step("pop") + step("index", 8) + ROUND * 8,
    "flags": b"\x30" + step("kicks", 0) + step("poke", 128, 0, 1, 0) + step("fill", 1, 0, 1, 0) + ROUND + step("kicks", 1),
}  # fmt: skip


NONE = 255  # of the steps of a set-up, left out
STARTED = b"\x3e" + do("setup", NONE, 0)
VHOST_USER: dict[str, bytes] = {
    # options: bit 0 memory that could shrink is taken, the rest the size of pieces
    "boot": STARTED + do("chain", 0, 8) + do("serve"),
    "pieces": b"\0" + do("setup", NONE, 0) + do("chain", 0, 8) + do("serve"),
    "resume": STARTED + do("stop", 0) + do("setup", 0, 0) + do("chain", 2, 8) + do("serve"),
    "reset": STARTED + do("chain", 0, 8) + do("serve") + do("stop", 0) + ask("SET_VRING_BASE", 0, 0, 0, 0) + do("setup", 1, 0),
    "held": STARTED + do("hold") + do("chain", 0, 8) + do("serve") + do("stop", 0) + do("hold") + do("setup", 0, 0),
    "two rings": STARTED + do("setup", 2, 1) + do("chain", 0, 8) + do("serve") + do("stop", 0) + do("stop", 1),
    "in flight": b"\x3e" + do("setup", 7, 0) + ask("GET_INFLIGHT_FD", 0, 0, 0, 0, 1, 2, 4)
    + ask("SET_INFLIGHT_FD", 0, 0, 9, 24, 0, 1, 2, 4) + ask("SET_VRING_ENABLE", 0, 0, 0, 1) + do("chain", 0, 8) + do("serve"),
    "regions": b"\x3e" + do("setup", 2, 0) + ask("ADD_MEM_REG", 0, 0, 0, 5, 6, 2, 0) + ask("REM_MEM_REG", 1, 0, 0, 5, 6, 2, 0)
    + ask("ADD_MEM_REG", 1, 0, 0, 5, 6, 2, 0),
    "unsealed": b"\x3f" + do("setup", 2, 0) + ask("ADD_MEM_REG", 1, 0, 3, 5, 6, 2, 0) + do("chain", 0, 8) + do("serve"),
    "config": STARTED + ask("GET_CONFIG", 0, 0, 5, 0, 0) + do("stop", 0) + ask("GET_CONFIG", 0, 0, 5, 0, 0) + ask("SET_CONFIG", 1, 0, 3, 4, 0),
    "status": STARTED + ask("GET_STATUS", 0, 0) + ask("SET_STATUS", 1, 0, 0) + ask("RESET_DEVICE", 1, 0) + ask("RESET_OWNER", 1, 0),
    "broken": STARTED + do("poke", 0, 131, 9) + do("serve") + ask("SET_VRING_ENABLE", 1, 0, 0, 1) + do("stop", 0) + do("setup", 0, 0),
    "raw": b"\x3e" + do("raw", 1, 1, 0, 0) + do("raw", 6, 1, 8) + bytes(9) + do("noise", 12) + bytes(13),
}  # fmt: skip


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
        "ring": list(RING.items()),
        "vhost_user": list(VHOST_USER.items()),
    }
    for name, found in seeds.items():
        folder = CORPUS / name
        folder.mkdir(parents=True, exist_ok=True)
        for label, data in found:
            (folder / label.replace(" ", "-")).write_bytes(data)


if __name__ == "__main__":
    main()
