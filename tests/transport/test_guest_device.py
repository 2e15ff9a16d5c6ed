"""What the addresses of devices for virtual machines have in common."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ninep.options import BadOption, OptionSet
from ninep.transport import guest_device


@dataclass(frozen=True, kw_only=True)
class Options(OptionSet):
    tag: str = guest_device.tag(4, "The tag.")


@pytest.mark.parametrize("tag", ["a", "abcd", "ää"])
def test_tags(tag: str) -> None:
    assert Options(tag=tag).tag == tag


@pytest.mark.parametrize("tag", ["", "abcde", "äää"])
def test_tags_that_are_too_long_in_bytes_or_empty(tag: str) -> None:
    with pytest.raises(BadOption):
        Options(tag=tag)


def test_qemus_arguments() -> None:
    memory, device = guest_device.qemu("QEMU 8", "virtiofs", "/run/a,b", "my tag", "vhost-user-fs-pci,tag='my tag'")
    assert memory.where == "QEMU 8, with the guest's memory in place of 4G twice, once for all devices"
    assert "share=on" in memory.line
    assert device.where == "QEMU, for the tag my tag"
    assert "socket,id=virtiofs.my_20tag,path=/run/a,,b" in device.line


def test_two_tags_never_have_one_name() -> None:
    ids = {guest_device._identifier("t", tag) for tag in ("a b", "a_b", "a_20b", "a-b", "a.b", "ab")}
    assert len(ids) == 6
