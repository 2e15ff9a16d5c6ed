"""Modes and device numbers between Linux and 9P2000."""

from __future__ import annotations

import pytest

from ninep.wire.modes import (
    DMDEVICE,
    DMDIR,
    DMNAMEDPIPE,
    DMSETGID,
    DMSETUID,
    DMSETVTX,
    DMSOCKET,
    DMSYMLINK,
    EXTENDED,
    PLAIN,
    major,
    makedev,
    minor,
    mode_from_wire,
    mode_to_wire,
    permissions_from_wire,
)


@pytest.mark.parametrize(
    ("mode", "bits", "extension"),
    [
        (0o100644, 0o644, b""),
        (0o040755, DMDIR | 0o755, b""),
        (0o041777, DMDIR | DMSETVTX | 0o777, b""),
        (0o106755, DMSETUID | DMSETGID | 0o755, b""),
        (0o120777, DMSYMLINK | 0o777, b"target"),
        (0o020600, DMDEVICE | 0o600, b"c 1 3"),
        (0o060600, DMDEVICE | 0o600, b"b 8 1"),
        (0o010600, DMNAMEDPIPE | 0o600, b""),
        (0o140600, DMSOCKET | 0o600, b""),
    ],
)
def test_modes_of_the_extended_encoding(mode, bits, extension):
    assert mode_to_wire(mode, EXTENDED) == bits
    assert mode_from_wire(bits, extension, EXTENDED) == mode
    assert permissions_from_wire(bits, EXTENDED) == mode & 0o7777


@pytest.mark.parametrize("mode", [0o100644, 0o040755])
def test_modes_of_plain_9p2000(mode):
    assert mode_from_wire(mode_to_wire(mode, PLAIN), b"", PLAIN) == mode


def test_plain_9p2000_carries_nothing_else():
    assert mode_to_wire(0o106755, PLAIN) == 0o755
    assert mode_to_wire(0o120777, PLAIN) == 0o777
    assert mode_from_wire(DMSETUID | DMSYMLINK | 0o755, b"", PLAIN) == 0o100755


@pytest.mark.parametrize(
    ("rdev", "numbers"),
    [
        (0x103, (1, 3)),
        (0x801, (8, 1)),
        (0x12345678, (0x456, 0x12378)),  # glibc's sysmacros.h: minor in bits 0-7 and 20-31, major in 8-19
        (0xFFFFF00000000000, (0xFFFFF000, 0)),
    ],
)
def test_devices(rdev, numbers):
    assert (major(rdev), minor(rdev)) == numbers
    assert makedev(*numbers) == rdev
