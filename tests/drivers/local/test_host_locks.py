"""Who keeps the locks of clients, besides the server's own table."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.drivers.local.conftest import make, refusal

from ninep import host
from ninep.drivers.local import LocalDriver, LocalNode
from ninep.drivers.local.host_locks import AUTO, HOST, SERVER, HostLocks
from ninep.errors import Refused
from ninep.linux import LOCK_WRLCK, NO_ID, O_RDWR, Errno
from ninep.node import User
from ninep.options import BadOption

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
RULES = (AUTO, HOST, SERVER)


def root_of(folder: Path, rule: str) -> LocalNode:
    return LocalDriver(str(folder), "none", locks=rule).attach(User(b"", NO_ID, "test"))


@pytest.mark.parametrize("rule", RULES)
def test_two_servers_exclude_each_other_unless_the_host_is_not_asked(tmp_path: Path, rule: str) -> None:
    one, two = root_of(tmp_path, rule), root_of(tmp_path, AUTO)
    make(one, b"file")
    here, there = one.walk(b"file").open(O_RDWR), two.walk(b"file").open(O_RDWR)
    here.lock(LOCK_WRLCK, 0, 8)
    if rule == SERVER:
        there.lock(LOCK_WRLCK, 0, 8)
        assert here.test_lock(LOCK_WRLCK, 0, 8) is None
    else:
        assert refusal(there.lock, LOCK_WRLCK, 4, 8) is Errno.EAGAIN
        assert there.test_lock(LOCK_WRLCK, 4, 8) is not None
        here.close()
        there.lock(LOCK_WRLCK, 4, 8)  # it ended with the file


@pytest.mark.parametrize(("rule", "says"), [(AUTO, Errno.EOPNOTSUPP), (HOST, Errno.ENOLCK)])
def test_what_the_host_cannot_lock_is_an_error_where_it_has_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str, says: Errno
) -> None:
    def fail(*_: object) -> None:
        raise Refused(Errno.EOPNOTSUPP)

    root = root_of(tmp_path, rule)
    make(root, b"file")
    file = root.walk(b"file").open(O_RDWR)
    monkeypatch.setattr(host, "lock", fail)
    assert refusal(file.lock, LOCK_WRLCK, 0, 8) is says


def test_a_device_without_locks_is_not_asked() -> None:
    rules = {rule: HostLocks(rule) for rule in RULES}
    for rule in rules.values():
        rule.learn(7, there=False)
    assert not rules[AUTO].asks(7)
    assert rules[AUTO].asks(8)
    assert not rules[SERVER].asks(8)
    assert refusal(rules[HOST].asks, 7) is Errno.ENOLCK
    rules[HOST].learn(7, there=True)
    assert rules[HOST].asks(7)


def test_another_word_is_no_rule(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="locks"):
        LocalDriver(str(tmp_path), "none", locks="kernel")
