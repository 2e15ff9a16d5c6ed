"""The answers of a node that has none of its own: which error a client gets, and what is left out."""

from __future__ import annotations

import pytest

from ninep.errors import Refused
from ninep.linux import O_RDONLY, O_RDWR, Errno
from ninep.node import Changes, Node
from ninep.wire.types import Attributes, Qid


class Bare(Node):
    """What a node must have, and nothing else."""

    @property
    def qid(self) -> Qid:
        return Qid(0, 0, 1)

    def parent(self) -> Node:
        return self

    def getattr(self, mask: int) -> Attributes:
        raise Refused(Errno.EIO)


@pytest.fixture
def node() -> Node:
    return Bare()


@pytest.mark.parametrize(
    ("code", "verb", "arguments"),
    [
        (Errno.ENOTDIR, "walk", (b"a",)),
        (Errno.ENOTDIR, "opendir", ()),
        (Errno.EINVAL, "readlink", ()),  # readlink(2)
        (Errno.EOPNOTSUPP, "open", (O_RDONLY,)),
        (Errno.EOPNOTSUPP, "tmpfile", (O_RDWR, 0o644, 0, 0)),
        (Errno.EOPNOTSUPP, "getxattr", (b"user.a",)),
        (Errno.EOPNOTSUPP, "setxattr", (b"user.a", b"", 0)),
        (Errno.EOPNOTSUPP, "removexattr", (b"user.a",)),
        (Errno.EROFS, "setattr", (Changes(mode=0o600),)),
        (Errno.EROFS, "create", (b"a", O_RDWR, 0o644, 0, 0)),
        (Errno.EROFS, "mkdir", (b"a", 0o755, 0, 0)),
        (Errno.EROFS, "symlink", (b"a", b"b", 0, 0)),
        (Errno.EROFS, "mknod", (b"a", 0o644, 0, 0, 0)),
        (Errno.EROFS, "link", (Bare(), b"a")),
        (Errno.EROFS, "unlink", (b"a", False)),
        (Errno.EROFS, "rename", (b"a", Bare(), b"b")),
        (Errno.EROFS, "remove", ()),
        (Errno.EROFS, "check_remove", ()),
        (Errno.EROFS, "move", (None, b"b")),
    ],
)
def test_what_a_node_cannot_do(node: Node, code: Errno, verb: str, arguments: tuple[object, ...]) -> None:
    with pytest.raises(Refused) as caught:
        getattr(node, verb)(*arguments)
    assert caught.value.code is code


def test_a_walk_of_several_names_is_left_to_the_server(node: Node) -> None:
    assert node.through([b"a", b"b"]) == (node, [])


def test_a_driver_without_state_hands_the_node_itself_out(node: Node) -> None:
    assert node.clone() is node
    assert node.name == b"/"
    assert node.listxattr() == ()
    node.release()
