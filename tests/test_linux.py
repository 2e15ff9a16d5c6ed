"""The numbers of the protocol are x86 Linux numbers on every host."""

import errno
import os
import stat
import sys

import pytest

from ninep import linux
from ninep.linux import Errno

X86_LINUX = pytest.mark.skipif(
    sys.platform != "linux" or os.uname().machine not in {"x86_64", "i686"},
    reason="only an x86 Linux host has the protocol's own numbers to compare with",
)


@X86_LINUX
def test_errno_values_are_those_of_linux() -> None:
    assert {member.name: member.value for member in Errno} == {
        member.name: getattr(errno, member.name) for member in Errno
    }


def test_every_name_has_a_number_of_its_own() -> None:
    assert len({member.value for member in Errno}) == len(list(Errno)) == len(Errno.__members__)


@X86_LINUX
@pytest.mark.parametrize(
    "name", [name for name in vars(linux) if name.startswith("O_") and name not in {"O_SYNC", "O_FASYNC"}]
)
def test_open_flags_are_those_of_linux(name: str) -> None:
    if name == "O_LARGEFILE":  # glibc hides it on 64-bit systems, where every file is large
        assert linux.O_LARGEFILE == 0o100000
    else:
        assert getattr(linux, name) == getattr(os, name)


@X86_LINUX
def test_linux_o_sync_is_two_bits_of_the_protocol() -> None:
    assert linux.O_SYNC | linux.O_DSYNC == os.O_SYNC


@pytest.mark.parametrize("kind", ["SOCK", "LNK", "REG", "BLK", "DIR", "CHR", "FIFO"])
def test_file_types_and_their_directory_entry_types(kind: str) -> None:
    prefix = "S_I" if kind == "FIFO" else "S_IF"
    s_if = getattr(linux, prefix + kind)
    assert s_if == getattr(stat, prefix + kind)
    assert getattr(linux, f"DT_{kind}") == s_if >> 12


def test_permission_bits() -> None:
    assert linux.PERMISSIONS == stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX | 0o777
    assert linux.S_IFMT & linux.PERMISSIONS == 0


def test_getattr_masks() -> None:
    bits = [
        value for name, value in vars(linux).items() if name.startswith("GETATTR_") and name[8:] not in {"BASIC", "ALL"}
    ]
    assert bits == [1 << i for i in range(14)]
    assert sum(bits[:11]) == linux.GETATTR_BASIC
    assert sum(bits) == linux.GETATTR_ALL


def test_setattr_masks() -> None:
    assert [value for name, value in vars(linux).items() if name.startswith("SETATTR_")] == [1 << i for i in range(9)]
