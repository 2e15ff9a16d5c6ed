"""``trusted.*`` and ``security.*``: not served, recorded under other names, or the host's own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.security.conftest import ME, NEW

from ninep.drivers.local import LocalDriver, LocalNode
from ninep.errors import linux_errno
from ninep.linux import (
    DT_BLK,
    DT_CHR,
    DT_DIR,
    DT_FIFO,
    DT_REG,
    DT_UNKNOWN,
    NO_ID,
    O_RDWR,
    XATTR_CREATE,
    XATTR_REPLACE,
    Errno,
)
from ninep.node import Changes

RECORDING = ("mapped-owner", "mapped-xattr", "mapped-file")
REAL = ("passthrough", "none")
OPAQUE, CAPABILITY = b"trusted.overlay.opaque", b"security.capability"
CAP_NET_RAW = bytes.fromhex("0100000200200000000000000000000000000000")
"""``cap_net_raw=ep`` (include/uapi/linux/capability.h, struct vfs_cap_data): a value that the
kernel takes.
"""
PREFIX = b"user.virtfs.xattr."
Attach = Callable[..., LocalNode]
needs_root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="these attributes are root's to set")


def refusal(verb: Callable[..., object], *arguments: object) -> Errno:
    with pytest.raises(OSError) as error:  # noqa: PT011 - the errno is looked at by the caller
        verb(*arguments)
    return linux_errno(error.value)


def make(root: LocalNode) -> LocalNode:
    node, file = root.create(b"f", NEW, 0o755, *ME)
    file.close()
    return node


def stored(folder: Path, name: str = "f") -> dict[str, bytes]:
    return {key: os.getxattr(folder / name, key) for key in os.listxattr(folder / name)}


@pytest.mark.parametrize("model", RECORDING)
class TestRecorded:
    def test_there_and_back(self, attach: Attach, folder: Path, model: str) -> None:
        node = make(attach(model, xattrs="all"))
        for name, value in ((OPAQUE, b"y"), (CAPABILITY, CAP_NET_RAW), (b"user.own", b"x")):
            node.setxattr(name, value, XATTR_CREATE)
            assert refusal(node.setxattr, name, value, XATTR_CREATE) is Errno.EEXIST
            node.setxattr(name, value, XATTR_REPLACE)
            assert node.getxattr(name) == value
        assert sorted(node.listxattr()) == sorted([OPAQUE, CAPABILITY, b"user.own"])
        on_disk = stored(folder)
        assert on_disk["user.virtfs.xattr.trusted.overlay.opaque"] == b"y"
        assert on_disk["user.virtfs.xattr.security.capability"] == CAP_NET_RAW
        assert not [name for name in on_disk if not name.startswith("user.")]
        node.removexattr(CAPABILITY)
        assert refusal(node.getxattr, CAPABILITY) is Errno.ENODATA
        assert refusal(node.removexattr, CAPABILITY) is Errno.ENODATA
        node.release()

    def test_on_what_only_clients_see(self, attach: Attach, model: str) -> None:
        """Directories, devices."""
        root = attach(model, xattrs="all")
        root.mkdir(b"d", 0o755, *ME)
        root.mknod(b"n", 0o020644, 0x0103, *ME)
        for name in (b"d", b"n"):
            node = root.walk(name)
            node.setxattr(OPAQUE, b"y", 0)
            assert list(node.listxattr()) == [OPAQUE]
            node.release()

    def test_the_owner_stays(self, attach: Attach, model: str) -> None:
        node = make(attach(model, xattrs="all"))
        before = node.getattr(0)
        node.setxattr(b"trusted.uid", b"\x05\0\0\0", 0)
        assert node.getattr(0)[4:7] == before[4:7]
        node.release()

    @pytest.mark.parametrize("xattrs", ["user", "all"])
    def test_the_names_they_are_under_are_hidden(self, attach: Attach, folder: Path, model: str, xattrs: str) -> None:
        node = make(attach(model, xattrs=xattrs))
        raw = PREFIX + CAPABILITY
        assert refusal(node.setxattr, raw, b"x", 0) is Errno.EACCES
        os.setxattr(folder / "f", raw.decode(), CAP_NET_RAW)
        assert refusal(node.getxattr, raw) is Errno.ENODATA
        assert refusal(node.removexattr, raw) is Errno.EACCES
        assert list(node.listxattr()) == ([CAPABILITY] if xattrs == "all" else [])
        node.release()

    def test_other_names_below_the_prefix_are_nothing(self, attach: Attach, folder: Path, model: str) -> None:
        node = make(attach(model, xattrs="all"))
        for name in ("user.x", "system.posix_acl_access", "trusted.", "virtfs.uid", ""):
            if name:
                os.setxattr(folder / "f", PREFIX.decode() + name, b"x")
        assert list(node.listxattr()) == []
        node.release()

    def test_names_have_an_end(self, attach: Attach, model: str) -> None:
        node = make(attach(model, xattrs="all"))
        longest = b"trusted." + b"x" * (255 - len(PREFIX) - len(b"trusted."))
        node.setxattr(longest, b"value", 0)
        assert list(node.listxattr()) == [longest]
        for verb, arguments in ((node.getxattr, ()), (node.setxattr, (b"value", 0)), (node.removexattr, ())):
            assert refusal(verb, longest + b"x", *arguments) is Errno.ERANGE
            for name in (b"trusted.", b"security.", b"system.x", b"trusted"):
                assert refusal(verb, name, *arguments) is Errno.EOPNOTSUPP
        node.release()

    def test_a_capability_goes_where_suid_goes(self, attach: Attach, model: str) -> None:
        node = make(attach(model, xattrs="all"))
        file = node.open(O_RDWR, 5)
        changes = {
            "write": lambda by: file.write(0, b"x", by),
            "truncate": lambda by: file.truncate(0, by),
            "size": lambda by: node.setattr(Changes(size=1, by=by)),
            "chown": lambda by: node.setattr(Changes(gid=7, by=by)),
        }
        for what, change in changes.items():
            for by in (0, 5, 5, NO_ID):
                if by != NO_ID:
                    node.setxattr(CAPABILITY, CAP_NET_RAW, 0)
                node.setxattr(OPAQUE, b"y", 0)
                change(by)
                left = [OPAQUE] if by else [CAPABILITY, OPAQUE]
                assert sorted(node.listxattr()) == sorted(left), (what, by)
        file.close()
        node.release()

    def test_listings_tell_devices(self, attach: Attach, model: str) -> None:
        """overlayfs takes a character device for a whiteout by its type in the listing."""
        root = attach(model, xattrs="all")
        for name, mode in ((b"whiteout", 0o020000), (b"fifo", 0o010644), (b"block", 0o060644), (b"empty", 0o100644)):
            root.mknod(name, mode, 0, *ME)
        root.mkdir(b"d", 0o755, *ME)
        node, file = root.create(b"full", NEW, 0o755, *ME)
        file.write(0, b"content")
        file.close()
        node.release()
        listing = root.opendir()
        kinds = {entry[5]: entry[4] for entry in listing.read(0, 10000)}
        listing.close()
        assert [kinds[name] for name in (b"whiteout", b"fifo", b"block", b"empty", b"d")] == [
            DT_CHR,
            DT_FIFO,
            DT_BLK,
            DT_REG,
            DT_DIR,
        ]
        assert kinds[b"full"] == DT_UNKNOWN

    @needs_root
    def test_the_hosts_own_are_not_shown(self, attach: Attach, folder: Path, model: str) -> None:
        node = make(attach(model, xattrs="all"))
        os.setxattr(folder / "f", OPAQUE.decode(), b"host")
        os.setxattr(folder / "f", CAPABILITY.decode(), CAP_NET_RAW)
        assert list(node.listxattr()) == []
        assert refusal(node.getxattr, OPAQUE) is refusal(node.getxattr, CAPABILITY) is Errno.ENODATA
        node.release()


@needs_root
@pytest.mark.parametrize("model", REAL)
class TestReal:
    def test_there_and_back(self, attach: Attach, folder: Path, model: str) -> None:
        node = make(attach(model, xattrs="all"))
        for name, value in ((OPAQUE, b"y"), (CAPABILITY, CAP_NET_RAW)):
            node.setxattr(name, value, 0)
            assert node.getxattr(name) == os.getxattr(folder / "f", name.decode()) == value
        assert sorted(node.listxattr()) == sorted([OPAQUE, CAPABILITY])
        node.removexattr(OPAQUE)
        assert os.listxattr(folder / "f") == [CAPABILITY.decode()]
        assert refusal(node.getxattr, b"system.nfs4_acl") is Errno.EOPNOTSUPP
        node.release()

    def test_not_unless_asked_for(self, attach: Attach, folder: Path, model: str) -> None:
        node = make(attach(model))
        os.setxattr(folder / "f", CAPABILITY.decode(), CAP_NET_RAW)
        for verb, arguments in ((node.getxattr, ()), (node.setxattr, (b"", 0)), (node.removexattr, ())):
            assert refusal(verb, CAPABILITY, *arguments) is Errno.EOPNOTSUPP
        assert list(node.listxattr()) == []
        node.release()


def test_words(folder: Path) -> None:
    with pytest.raises(ValueError, match="user, all"):
        LocalDriver(str(folder), xattrs="trusted")
