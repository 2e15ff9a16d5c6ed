"""POSIX ACLs as bytes: the layout of include/uapi/linux/posix_acl_xattr.h."""

import pytest

from ninep.wire.posix_acl import GROUP_OBJ, MASK, OTHER, USER, USER_OBJ, AclEntry, pack, unpack

NO_ID = 0xFFFFFFFF
ACL = [
    AclEntry(USER_OBJ, 6, NO_ID),
    AclEntry(USER, 4, 1000),
    AclEntry(GROUP_OBJ, 4, NO_ID),
    AclEntry(MASK, 4, NO_ID),
    AclEntry(OTHER, 0, NO_ID),
]
BYTES = bytes.fromhex("02000000 01000600ffffffff 02000400e8030000 04000400ffffffff 10000400ffffffff 20000000ffffffff")


def test_the_bytes_of_an_acl() -> None:
    assert pack(ACL) == BYTES
    assert unpack(BYTES) == ACL


def test_an_acl_without_entries() -> None:
    assert unpack(pack([])) == []


@pytest.mark.parametrize("value", [b"", b"\2\0\0", b"\1\0\0\0" + BYTES[4:], BYTES[4:]])
def test_another_version(value: bytes) -> None:
    with pytest.raises(ValueError, match="not an ACL of version 2"):
        unpack(value)


@pytest.mark.parametrize("end", [5, 11, len(BYTES) - 1])
def test_an_entry_that_is_cut_off(end: int) -> None:
    with pytest.raises(ValueError, match="cut off"):
        unpack(BYTES[:end])
