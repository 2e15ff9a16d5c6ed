"""Types of directory entries, as the host says them and as clients are shown them."""

import pytest

from ninep.drivers.local.entry_types import QID_TYPES, shown_types, types_to_stat
from ninep.linux import DT_CHR, DT_DIR, DT_LNK, DT_REG, DT_SOCK, DT_UNKNOWN, S_IFDIR, S_IFLNK, S_IFREG
from ninep.security import security_model


@pytest.mark.parametrize(
    ("kind", "qid_type"), [(S_IFDIR >> 12, 0x80), (S_IFLNK >> 12, 0x02), (S_IFREG >> 12, 0), (DT_CHR, 0)]
)
def test_types_of_qids(kind: int, qid_type: int) -> None:
    assert QID_TYPES[kind] == qid_type


def test_a_regular_file_of_a_mapped_model_may_be_anything() -> None:
    types = shown_types(False)
    assert types[DT_REG] == DT_UNKNOWN
    assert [types[kind] for kind in (DT_DIR, DT_LNK, DT_SOCK)] == [DT_DIR, DT_LNK, DT_SOCK]
    assert shown_types(True) == tuple(range(16))


@pytest.mark.parametrize(
    ("model", "xattrs", "looked_at"),
    [
        ("passthrough", "user", {DT_DIR, DT_UNKNOWN}),
        ("passthrough", "all", {DT_DIR, DT_UNKNOWN}),
        ("mapped-xattr", "user", {DT_DIR, DT_UNKNOWN}),
        ("mapped-xattr", "all", {DT_DIR, DT_UNKNOWN, DT_REG}),
    ],
)
def test_of_which_a_listing_does_not_say_enough(model: str, xattrs: str, looked_at: set[int]) -> None:
    assert types_to_stat(security_model(model, xattrs=xattrs)) == looked_at
