"""T31: attributes that are privileges: no client makes a program of the host privileged, or reads
what the host's kernel keeps for root.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from tests.serving import may_become_another_user
from tests.threats.lab import MODELS, Attacker, Lab

from ninep.drivers.local import LocalDriver
from ninep.errors import linux_errno
from ninep.layers.run_as import RunAs
from ninep.linux import Errno
from ninep.node import User
from ninep.options import BadOption
from ninep.wire import messages as m

pytestmark = pytest.mark.skipif(not may_become_another_user(), reason="these attributes are root's to set")
FILE, SPARE = 100, 101
CAPABILITY = b"security.capability"
CAP_SETUID = bytes.fromhex("0100000280000000000000000000000000000000")
NAMES = (CAPABILITY, b"security.selinux", b"security.ima", b"trusted.overlay.redirect", b"trusted.x")
RECORDING = [name for name in MODELS if name.startswith("mapped")]


def set_xattr(client: Attacker, name: bytes, value: bytes = CAP_SETUID) -> set[Errno]:
    client.walk(0, SPARE, b"program")
    said = client.errors_of(m.Txattrcreate(SPARE, name, len(value), 0))
    if not said and value:
        said = client.errors_of(m.Twrite(SPARE, 0, value))
    return said | client.errors_of(m.Tclunk(SPARE))


def served(lab: Lab) -> Attacker:
    client = lab.client()
    client.create(0, FILE, b"program", b"#!", 0o755)
    client.clunk(FILE)
    client.walk(0, FILE, b"program")
    return client


def real(lab: Lab) -> list[str]:
    """What the host's kernel would heed."""
    return [name for name in os.listxattr(lab.top / "program") if not name.startswith("user.")]


def test_not_unless_asked_for(lab: Lab) -> None:
    with served(lab) as client:
        os.setxattr(lab.top / "program", "trusted.x", b"a secret of the host")
        for name in (*NAMES, b"user.virtfs.xattr." + CAPABILITY):
            if lab.model in RECORDING or not name.startswith(b"user."):
                assert set_xattr(client, name) & {Errno.EOPNOTSUPP, Errno.EACCES}
                client.refuses(m.Txattrwalk(FILE, SPARE, name), Errno.EOPNOTSUPP, Errno.ENODATA)
        assert real(lab) == ["trusted.x"]


@pytest.mark.parametrize("model", RECORDING)
def test_what_is_recorded_is_nothing_to_the_host(labs: Callable[..., Lab], model: str) -> None:
    lab = labs(model, xattrs="all")
    with served(lab) as client:
        for name in NAMES:
            assert not set_xattr(client, name)
            client.rpc(m.Txattrwalk(FILE, SPARE, name))
            assert client.read(SPARE) == CAP_SETUID
            client.clunk(SPARE)
        assert real(lab) == []
        assert set_xattr(client, b"user.virtfs.xattr." + CAPABILITY) & {Errno.EACCES}


@pytest.mark.parametrize("model", ["passthrough", "none"])
@pytest.mark.parametrize(
    "users",
    [
        {"squash": "root"},
        {"squash": "all"},
        {"squash": "peer"},
        {"run_as_user": True},
        {"map_uids": "0:1:2", "map_gids": "0:1:2"},
    ],
    ids=str,
)
def test_real_ones_are_for_those_who_may_be_root(
    labs: Callable[..., Lab], model: str, users: dict[str, object]
) -> None:
    with pytest.raises(BadOption):
        labs(model, xattrs="all", **users)


def test_run_as_user_has_not_the_servers_capabilities(labs: Callable[..., Lab]) -> None:
    """setfsuid(2) leaves CAP_SYS_ADMIN and CAP_SETFCAP, which are what the kernel asks for here: a
    program that puts these together.
    """
    folder = labs("passthrough").top
    folder.chmod(0o777)
    driver = LocalDriver(str(folder), "passthrough", xattrs="all")
    root = driver.attach(User())
    alice = RunAs()(root, User(uid=1))
    node, file = alice.create(b"program", 2, 0o755, 1, 1)
    file.close()
    os.setxattr(folder / "program", "trusted.x", b"a secret of the host")
    for name in NAMES:
        for verb, arguments in ((node.setxattr, (CAP_SETUID, 0)), (node.removexattr, ())):
            with pytest.raises(OSError, check=lambda error: linux_errno(error) is Errno.EPERM):
                verb(name, *arguments)  # type: ignore[operator]
    with pytest.raises(OSError, check=lambda error: linux_errno(error) is Errno.ENODATA):
        node.getxattr(b"trusted.x")
    assert list(node.listxattr()) == []
    assert os.listxattr(folder / "program") == ["trusted.x"]
    for one in (node, root):
        one.release()
    driver.close()
