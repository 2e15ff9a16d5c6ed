"""One exception with a Linux errno, and the translation of the host's errors."""

import errno
import os
import runpy

import pytest

from ninep import errors
from ninep.errors import Refused, linux_errno, text_of
from ninep.linux import Errno


class TestRefused:
    def test_carries_a_linux_number_and_the_reason(self) -> None:
        refused = Refused(Errno.ELOOP, "a link in the way")
        assert refused.code is Errno.ELOOP
        assert str(refused) == "ELOOP: a link in the way"

    def test_needs_no_reason(self) -> None:
        assert str(Refused(Errno.EROFS)) == "EROFS"

    def test_is_an_oserror_that_the_hosts_numbers_do_not_touch(self) -> None:
        # OSError(2, ...) would become FileNotFoundError by the host's number, whatever the Linux
        # errno is.
        assert type(Refused(Errno.ENOENT)) is Refused
        assert isinstance(Refused(Errno.ENOENT), OSError)
        assert Refused(Errno.ENOENT).errno is None


class TestLinuxErrno:
    def test_of_a_refusal_is_its_own(self) -> None:
        assert linux_errno(Refused(Errno.ENODATA)) is Errno.ENODATA

    def test_of_what_the_host_raised(self) -> None:
        with pytest.raises(FileNotFoundError) as raised:
            os.stat("/nonexistent")
        assert linux_errno(raised.value) is Errno.ENOENT

    @pytest.mark.parametrize(
        "name", ["ENOENT", "ENOTEMPTY", "ELOOP", "ENAMETOOLONG", "EDQUOT", "ESTALE", "EXDEV", "EAGAIN"]
    )
    def test_by_name(self, name: str) -> None:
        assert linux_errno(OSError(getattr(errno, name), "")) is Errno[name]

    @pytest.mark.parametrize(
        "error", [OSError(), OSError("words only"), OSError(0, ""), OSError(99999, ""), OSError(-1, "")]
    )
    def test_what_linux_has_no_name_for_is_eio(self, error: OSError) -> None:
        assert linux_errno(error) is Errno.EIO

    def test_no_number_of_this_host_that_linux_knows_is_forgotten(self) -> None:
        known = {number for number, name in errno.errorcode.items() if name in Errno.__members__}
        assert known <= set(errors.FROM_HOST)


# macOS sys/errno.h; servers that pass on the host's numbers send each of these.
MACOS = {
    "ENOENT": (2, Errno.ENOENT),
    "EDEADLK": (11, Errno.EDEADLK),
    "EAGAIN": (35, Errno.EAGAIN),
    "EOPNOTSUPP": (102, Errno.EOPNOTSUPP),
    "ELOOP": (62, Errno.ELOOP),
    "ENAMETOOLONG": (63, Errno.ENAMETOOLONG),
    "ENOTEMPTY": (66, Errno.ENOTEMPTY),
    "EDQUOT": (69, Errno.EDQUOT),
    "ESTALE": (70, Errno.ESTALE),
    "ENOTSUP": (45, Errno.EOPNOTSUPP),
    "ENOATTR": (93, Errno.ENODATA),
    "EFTYPE": (79, Errno.EINVAL),
    "EPROCLIM": (67, Errno.EAGAIN),
}


@pytest.fixture
def macos(monkeypatch: pytest.MonkeyPatch) -> dict[int, Errno]:
    """``FROM_HOST`` as it is built on macOS."""
    for name in dir(errno):
        if name.startswith("E") and name not in MACOS:
            monkeypatch.delattr(errno, name)
    for name, (number, _) in MACOS.items():
        monkeypatch.setattr(errno, name, number, raising=False)
    monkeypatch.setattr(errno, "errorcode", {number: name for name, (number, _) in MACOS.items() if name != "ENOATTR"})
    return runpy.run_path(errors.__file__)["FROM_HOST"]


@pytest.mark.parametrize("name", MACOS)
def test_macos_numbers_become_linux_numbers(macos: dict[int, Errno], name: str) -> None:
    number, code = MACOS[name]
    assert macos[number] is code


class TestTexts:
    @pytest.mark.parametrize(
        ("code", "text"),
        [
            (Errno.ENOENT, b"file does not exist"),
            (Errno.EPERM, b"permission denied"),
            (Errno.EEXIST, b"file already exists"),
            (Errno.EROFS, b"read only file system"),
        ],
    )
    def test_the_customary_words_of_plan_9(self, code: Errno, text: bytes) -> None:
        assert text_of(code) == text

    def test_every_errno_has_words(self) -> None:
        assert all(text_of(code) for code in Errno)
        assert text_of(Errno.EOWNERDEAD) == b"EOWNERDEAD"
