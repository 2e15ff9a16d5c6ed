"""Who did what to which path, and what was refused."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from ninep import audit, linux
from ninep.drivers.memory import MemoryDriver
from ninep.errors import Refused
from ninep.layers.audit import Audit
from ninep.layers.read_only import read_only
from ninep.node import Changes, Node, User

ANN = User(b"ann", 1000, "192.0.2.1:900")


@pytest.fixture
def records() -> Iterator[list[dict[str, Any]]]:
    """The fields of each record, without those of the user."""
    found: list[dict[str, Any]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            fields = dict(record.fields)  # type: ignore[attr-defined]
            who = tuple(fields.pop(key, None) for key in ("export", "peer", "uid", "uname"))
            assert who == ("src", "192.0.2.1:900", 1000, "ann")
            found.append(fields)

    keep, level = Keep(), audit.log.level
    audit.log.addHandler(keep)
    audit.log.setLevel(logging.INFO)
    yield found
    audit.log.removeHandler(keep)
    audit.log.setLevel(level)


def use(root: Node) -> None:
    """A change of each kind."""
    root.mkdir(b"d", 0o750, 1000, 100)
    directory = root.walk(b"d")
    node, file = directory.create(b"f\xff", linux.O_RDWR, 0o640, 1000, 100)
    file.write(0, b"data")
    node.setattr(Changes(mode=0o600, size=0, by=1000))
    node.setxattr(b"user.a", b"value", 0)
    node.removexattr(b"user.a")
    directory.symlink(b"l", b"f", 1000, 100)
    directory.link(node, b"hard")
    directory.rename(b"hard", root, b"moved")
    root.unlink(b"moved", False)
    node.move(root, b"g")
    node.remove()
    file.close()
    root.opendir().close()


def ok(action: str, path: str, **fields: Any) -> dict[str, Any]:
    return {"action": action, "result": "ok", "path": path, **fields}


CHANGES = [
    {"action": "attach", "result": "ok"},
    ok("mkdir", "/d", mode="750", by=1000),
    ok("create", "/d/f\\xff", mode="640", by=1000),
    ok("setattr", "/d/f\\xff", by=1000, set={"mode": "600", "size": 0}),
    ok("setxattr", "/d/f\\xff", attribute="user.a"),
    ok("removexattr", "/d/f\\xff", attribute="user.a"),
    ok("symlink", "/d/l", to="f", by=1000),
    ok("link", "/d/hard", to="/d/f\\xff"),
    ok("rename", "/d/hard", to="/moved"),
    ok("remove", "/moved"),
    ok("rename", "/d/f\\xff", to="/g"),
    ok("remove", "/g"),
]


def test_each_change_is_one_record(records: list[dict[str, Any]]) -> None:
    use(Audit("changes", "src")(MemoryDriver().attach(ANN), ANN))
    assert records == CHANGES


def test_opens(records: list[dict[str, Any]]) -> None:
    use(Audit("opens", "src")(MemoryDriver().attach(ANN), ANN))
    assert records == [*CHANGES, ok("opendir", "/")]


def test_denials_are_records_and_other_failures_are_none(records: list[dict[str, Any]]) -> None:
    root = Audit("denials", "src")(read_only(MemoryDriver().attach(ANN), ANN), ANN)
    with pytest.raises(Refused):
        root.mkdir(b"d", 0o755, 1000, 100)
    with pytest.raises(Refused):
        root.walk(b"nothing")
    assert records == [{"action": "mkdir", "result": "EROFS", "path": "/d", "mode": "755", "by": 1000}]


def test_nothing_is_made_of_a_record_without_a_handler() -> None:
    assert audit.log.getEffectiveLevel() > logging.INFO
    audit.record("attach", path=object())
