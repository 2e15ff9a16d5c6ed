"""What the Linux host says of the process: names that are reserved, rights, handles."""

from __future__ import annotations

import os

from tests.host.test_linux import linux

from ninep import host


def test_it_is_the_host_here() -> None:
    assert host.stat is linux.stat
    assert set(host._system.__all__) <= set(host.__all__)
    assert all(getattr(host, name) is getattr(linux, name) for name in linux.__all__)


def test_reserved_names() -> None:
    ours = b".virtfs_metadata"
    for name in (
        ours,
        b".VIRTFS_Metadata",
        ".virtf\u017f_metadata".encode(),  # long s folds to s
        ".v\u0131rtfs_metadata".encode(),  # dotless i, to those who fold by capitals
        ".virtfs\u200d_metadata".encode(),  # invisible to ext4 casefold and HFS+
        "\uff0evirtfs_metadata".encode(),  # a full-width dot
        b"VIRTFS~1",
        b"vi1234~12",
    ):
        assert linux.reserved_match(name, ours), name
    for name in (
        b".virtfs_metadat",
        b".virtfs_metadata2",
        b"virtfs_metadata",
        b"file~1",
        b"\xff\xfe",
        b"",
        b"backup~",
        b"v~1x",
    ):
        assert not linux.reserved_match(name, ours), name


def test_privileged() -> None:
    assert linux.privileged() is (os.geteuid() == 0)


def test_raise_handle_limit() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        assert linux.raise_handle_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
