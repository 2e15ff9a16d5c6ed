"""The rules of extended attributes that drivers keep themselves."""

import pytest

from ninep.drivers.xattrs import check_name, check_set
from ninep.errors import Refused
from ninep.linux import S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG, XATTR_CREATE, XATTR_REPLACE, Errno


@pytest.mark.parametrize("name", [b"user.a", b"trusted.overlay.opaque", b"security.capability"])
def test_names_that_are_served(name: bytes) -> None:
    for kind in (S_IFREG, S_IFDIR):
        check_name(name, kind, change=True)


@pytest.mark.parametrize("name", [b"", b"user", b"user.", b"system.posix_acl_access", b"other.a"])
def test_other_namespaces(name: bytes) -> None:
    with pytest.raises(Refused) as caught:
        check_name(name, S_IFREG, change=False)
    assert caught.value.code is Errno.EOPNOTSUPP


@pytest.mark.parametrize(("change", "code"), [(False, Errno.ENODATA), (True, Errno.EPERM)])
@pytest.mark.parametrize("kind", [S_IFLNK, S_IFCHR])
def test_user_attributes_are_for_files_and_directories(kind: int, change: bool, code: Errno) -> None:
    with pytest.raises(Refused) as caught:
        check_name(b"user.a", kind, change=change)
    assert caught.value.code is code
    check_name(b"trusted.a", kind, change=change)


@pytest.mark.parametrize(
    ("name", "flags", "code"),
    [
        (b"user.there", 0, None),
        (b"user.there", XATTR_REPLACE, None),
        (b"user.there", XATTR_CREATE, Errno.EEXIST),
        (b"user.new", 0, None),
        (b"user.new", XATTR_CREATE, None),
        (b"user.new", XATTR_REPLACE, Errno.ENODATA),
        (b"user.new", 4, Errno.EINVAL),
        (b"user." + b"n" * 250, 0, None),
        (b"user." + b"n" * 251, 0, Errno.ERANGE),
    ],
)
def test_setting(name: bytes, flags: int, code: Errno | None) -> None:
    if code is None:
        check_set(name, flags, {b"user.there"})
    else:
        with pytest.raises(Refused) as caught:
            check_set(name, flags, {b"user.there"})
        assert caught.value.code is code
