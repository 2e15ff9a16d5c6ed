"""What the addresses of devices for virtual machines have in common: the tag, whose memory is taken,
and QEMU's arguments.
"""

from __future__ import annotations

import os
import re
import shlex
from typing import Any, Final

from ninep.options import FLAG, BadOption, Kind, option, text
from ninep.transport.hints import Hint

_TEXT: Final = text()
ONCE: Final = "with the guest's memory in place of 4G twice, once for all devices"
_MEMORY: Final = "-m 4G -object memory-backend-memfd,id=mem,size=4G,share=on -machine memory-backend=mem"


def tag(longest: int, meaning: str) -> Any:
    """The option ``tag``, of at most so many bytes: a field of a set of options."""

    def check(given: str) -> str:
        size = len(os.fsencode(given))
        if not 0 < size <= longest:
            raise BadOption(f"a tag has 1 to {longest} bytes, not {size}")
        return given

    kind = Kind("TAG", check, lambda given: check(_TEXT.check(given)), str, {"type": "string", "minLength": 1})
    return option("ninep", kind, meaning)


def unsealed_memory() -> Any:
    """The option ``unsealed-memory``: a field of a set of options."""
    return option(
        False,
        FLAG,
        "Take guest memory in a file that could shrink (memory-backend-file), which would end the "
        "server: only where no other user can write the file.",
    )


def qemu(needs: str, transport: str, path: str, mount_tag: str, device: str) -> list[Hint]:
    """QEMU's arguments for a device at a socket: those that a virtual machine has once, and those
    of the device. ``needs``: which QEMU. ``device``: its front end, and the properties of that beside
    the chardev, which is named after the transport and the tag.
    """
    name = _identifier(transport, mount_tag)
    path = os.path.abspath(path).replace(",", ",,")
    driver, _, properties = device.partition(",")
    words = ["-chardev", f"socket,id={name},path={path}", "-device", f"{driver},chardev={name},{properties}"]
    return [Hint(f"{needs}, {ONCE}", _MEMORY), Hint(f"QEMU, for the tag {mount_tag}", shlex.join(words))]


def _identifier(transport: str, mount_tag: str) -> str:
    """QEMU's name for the chardev: a letter, then letters, digits, ``-``, ``.`` and ``_``; not the
    same for two tags.
    """
    escaped = re.sub("[^A-Za-z0-9-]", lambda found: "".join(f"_{b:02x}" for b in os.fsencode(found[0])), mount_tag)
    return f"{transport}.{escaped}"
