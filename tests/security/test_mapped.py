"""Attributes that are written beside a file, over those of the host."""

from __future__ import annotations

import os
from typing import Any

import pytest

from ninep.linux import NO_ID, S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG
from ninep.security.mapped import VirtfsAttrs, known_id


def of_host(mode: int) -> Any:
    """A stat of the host: user 1000, group 100."""
    found = os.stat_result((mode, 1, 1, 1, 1000, 100, 0, 0, 0, 0), {"st_rdev": 0})
    assert found.st_mode == mode
    return found


def test_where_nothing_is_written_the_host_counts() -> None:
    assert VirtfsAttrs().over(of_host(S_IFREG | 0o644)) == (S_IFREG | 0o644, 1000, 100, 0)


def test_what_is_written_counts() -> None:
    attrs = VirtfsAttrs(uid=0, gid=5, mode=S_IFCHR | 0o600, rdev=0x501)
    assert attrs.over(of_host(S_IFREG | 0o600)) == (S_IFCHR | 0o600, 0, 5, 0x501)


@pytest.mark.parametrize(
    ("native", "written", "shown"),
    [
        (S_IFDIR | 0o700, S_IFREG | 0o644, S_IFDIR | 0o644),  # a directory is one
        (S_IFREG | 0o600, S_IFDIR | 0o755, S_IFREG | 0o755),
        (S_IFREG | 0o600, 0o755, S_IFREG | 0o755),  # no type at all
        (S_IFREG | 0o600, S_IFLNK | 0o777, S_IFLNK | 0o777),
        (S_IFDIR | 0o700, S_IFDIR | 0o1777, S_IFDIR | 0o1777),
    ],
)
def test_a_type_that_contradicts_the_hosts_was_not_written_by_us(native: int, written: int, shown: int) -> None:
    assert VirtfsAttrs(mode=written).over(of_host(native))[0] == shown


def test_a_change_leaves_what_it_does_not_name() -> None:
    before = VirtfsAttrs(uid=1, mode=S_IFREG | 0o600)
    assert before.changed(VirtfsAttrs(uid=2, gid=3)) == VirtfsAttrs(2, 3, S_IFREG | 0o600, None)


@pytest.mark.parametrize(("number", "known"), [(0, 0), (1000, 1000), (NO_ID, None), (-1, None)])
def test_ids_that_name_none(number: int, known: int | None) -> None:
    assert known_id(number) == known
