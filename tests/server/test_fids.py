"""An attribute that is being written, held to the bytes that were."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ninep.errors import Refused
from ninep.linux import XATTR_CREATE, XATTR_REPLACE, Errno
from ninep.node import Node
from ninep.server.fids import XattrBuffer

SIZE = 12


class Told(Node):
    """A node that notes what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def setxattr(self, name: bytes, value: bytes, flags: int) -> None:
        self.calls.append(("set", name, value, flags))

    def removexattr(self, name: bytes) -> None:
        self.calls.append(("remove", name))

    def getattr(self, mask: int) -> "object":  # type: ignore[override]
        raise NotImplementedError

    def parent(self) -> Node:
        return self


@given(st.lists(st.tuples(st.integers(0, SIZE + 3), st.binary(max_size=SIZE + 3)), max_size=8))
def test_a_value_is_whole_when_every_byte_was_written(writes: list[tuple[int, bytes]]) -> None:
    buffer = XattrBuffer(b"user.a", SIZE, 0)
    value: dict[int, int] = {}
    for offset, data in writes:
        if offset > SIZE:
            with pytest.raises(Refused, check=lambda refused: refused.code is Errno.ENOSPC):
                buffer.write(offset, data)
        elif any(at not in value for at in range(offset)):
            with pytest.raises(Refused, check=lambda refused: refused.code is Errno.EINVAL):
                buffer.write(offset, data)
        else:
            taken = min(len(data), SIZE - offset)
            assert buffer.write(offset, memoryview(data)) == taken
            value |= {offset + i: data[i] for i in range(taken)}
    node = Told()
    if len(value) == SIZE:
        buffer.commit(node)
        assert node.calls == [("set", b"user.a", bytes(value[at] for at in range(SIZE)), 0)]
    else:
        with pytest.raises(Refused, check=lambda refused: refused.code is Errno.EINVAL):
            buffer.commit(node)
        assert node.calls == []


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (0, ("set", b"user.a", b"", 0)),
        (XATTR_CREATE, ("set", b"user.a", b"", XATTR_CREATE)),
        (XATTR_REPLACE, ("remove", b"user.a")),
    ],
)
def test_nothing_at_all(flags: int, told: tuple[object, ...]) -> None:
    node = Told()
    XattrBuffer(b"user.a", 0, flags).commit(node)
    assert node.calls == [told]


def test_the_bytes_are_its_own() -> None:
    # They come in a view of a buffer that the next request is read into.
    received = bytearray(b"abc")
    buffer = XattrBuffer(b"user.a", 3, 0)
    buffer.write(0, memoryview(received))
    received[:] = b"xyz"
    node = Told()
    buffer.commit(node)
    assert node.calls == [("set", b"user.a", b"abc", 0)]
