"""Ids inside ACLs."""

import pytest

from ninep.errors import Refused
from ninep.layers.acl import translate
from ninep.linux import Errno

# version 2; user::rw- user:1000:r-- group::r-- group:5:rw- mask::rw- other::---
ACL = bytes.fromhex(
    "02000000"
    "0100 0600 ffffffff"
    "0200 0400 e8030000"
    "0400 0400 ffffffff"
    "0800 0600 05000000"
    "1000 0600 ffffffff"
    "2000 0000 ffffffff".replace(" ", "")
)


def test_named_users_and_groups_are_translated() -> None:
    assert translate(ACL, lambda uid: uid + 1, lambda gid: gid + 2) == (
        ACL.replace(b"\xe8\x03\0\0", b"\xe9\x03\0\0").replace(b"\x05\0\0\0", b"\x07\0\0\0")
    )


def test_an_acl_without_entries() -> None:
    assert translate(ACL[:4], lambda uid: uid, lambda gid: gid) == ACL[:4]


@pytest.mark.parametrize("value", [b"", b"\2", ACL[1:], b"\1" + ACL[1:], ACL[:-1], ACL + b"\0", b"text"])
def test_what_is_no_acl(value: bytes) -> None:
    with pytest.raises(Refused) as refusal:
        translate(value, lambda uid: uid, lambda gid: gid)
    assert refusal.value.code is Errno.EINVAL
