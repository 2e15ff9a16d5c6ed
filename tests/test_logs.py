"""Log records that are safe with hostile clients."""

import logging
import sys
from dataclasses import replace
from ipaddress import ip_address

import pytest

from ninep.logs import ASKED_FOR, BURST, EVERY, SHARES, Plain, RateLimit, plain
from ninep.transport.peers import Peer


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain words, 100 %, naïve 文", "plain words, 100 %, naïve 文"),
        ("a\nb\r", "a\\nb\\r"),
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("\x9b2J", "\\x9b2J"),
        ("txt.\u202eexe", "txt.\\u202eexe"),
        ("a\u2028b", "a\\u2028b"),
        ("\udcff", "\\udcff"),
        ("tab\tstays", "tab\tstays"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, shown: str) -> None:
    assert plain(text) == shown
    assert Plain("%(message)s").format(record(text)) == shown


def test_a_traceback_keeps_its_lines_and_none_can_pass_for_a_record() -> None:
    try:
        int("first\nninep: forged\x1b[m")
    except ValueError:
        made = record("failed", exc_info=sys.exc_info())
    first, *rest = Plain("ninep: %(message)s").format(made).splitlines()
    assert first == "ninep: failed"
    assert all(line.startswith("    ") for line in rest)
    assert "\x1b" not in "".join(rest)


def record(message: str, *args: object, level: int = logging.WARNING, exc_info: object = None) -> logging.LogRecord:
    return logging.LogRecord("ninep.server", level, "", 0, message, args, exc_info)  # type: ignore[arg-type]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_flood_leaves_a_few_lines_and_a_count() -> None:
    clock = Clock()
    limit = RateLimit(clock=clock)
    passed = [limit.filter(record("refused %s", number)) for number in range(100_000)]
    assert sum(passed) == BURST
    clock.now = EVERY
    late = record("refused %s", "100 %s")
    assert limit.filter(late)
    assert late.getMessage() == f"refused 100 %s (and {100_000 - BURST} more like this)"


def test_one_kind_of_line_does_not_swallow_another() -> None:
    limit = RateLimit(clock=Clock())
    for _ in range(100):
        limit.filter(record("refused %s", "x"))
    assert limit.filter(record("closing %s", "y"))


def test_a_flood_of_one_peer_does_not_swallow_the_lines_of_another() -> None:
    limit = RateLimit(clock=Clock())
    flooding = Peer("10.0.0.1:700", ip_address("10.0.0.1"))
    for number in range(1000):
        limit.filter(record("refused %s: %s", replace(flooding, shown=f"10.0.0.1:{number}"), number))
    assert not limit.filter(record("refused %s: %s", flooding, "again"))
    others = [Peer(f"10.0.1.{number}:700", ip_address(f"10.0.1.{number}")) for number in range(200)]
    heard = [peer for peer in others if limit.filter(record("refused %s: %s", peer, "x"))]
    assert len(heard) > 150  # 63 of 64 have another count than the one that is flooded; 10 of each share pass


def test_machines_of_one_user_have_their_own_lines() -> None:
    limit = RateLimit(clock=Clock())
    heard = [
        sum(limit.filter(record("%s: reset", Peer("virtiofs", uid=107, device=f"vm{tag}"))) for _ in range(100))
        for tag in range(20)
    ]
    assert heard[0] == BURST
    assert sum(heard) > 10 * BURST
    processes = [limit.filter(record("malformed from %s", Peer(f"unix uid=1 pid={pid}", uid=1))) for pid in range(100)]
    assert sum(processes) == BURST, "another process is no other peer"


def test_many_peers_do_not_fill_the_memory_or_the_disk() -> None:
    limit = RateLimit(clock=Clock())
    passed = [limit.filter(record("refused %s", Peer(f"pipe {number}"))) for number in range(20_000)]
    assert SHARES * BURST / 2 < sum(passed) <= SHARES * BURST
    assert sum(len(counts) for counts in limit._kinds.values()) <= SHARES


def test_a_trace_is_not_thinned() -> None:
    limit = RateLimit(clock=Clock())
    assert all(limit.filter(record("message", level=logging.DEBUG)) for _ in range(1000))


def test_made_up_kinds_do_not_fill_the_memory() -> None:
    limit = RateLimit(clock=Clock())
    for number in range(10_000):
        limit.filter(record(f"made up {number}"))
    assert len(limit._kinds) <= 256


def test_what_the_operator_asked_for_is_never_left_out() -> None:
    limit = RateLimit(clock=Clock())
    record = logging.makeLogRecord({"msg": "not reloaded: %s", "levelno": logging.ERROR, **ASKED_FOR})
    assert all(limit.filter(record) for _ in range(100))
