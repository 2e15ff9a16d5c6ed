"""Errors of servers as Python exceptions."""

from __future__ import annotations

import errno

import pytest

from ninep.client.errors import about, can_mean_missing, errno_of_words, refusal, refusal_in_words
from ninep.errors import TEXTS
from ninep.linux import Errno


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (Errno.ENOENT, FileNotFoundError),
        (Errno.EEXIST, FileExistsError),
        (Errno.EACCES, PermissionError),
        (Errno.EPERM, PermissionError),
        (Errno.ENOTDIR, NotADirectoryError),
        (Errno.EISDIR, IsADirectoryError),
        (Errno.EAGAIN, BlockingIOError),
        (Errno.ENOSPC, OSError),
    ],
)
def test_kinds(code, kind):
    error = refusal(code)
    assert type(error) is kind
    assert error.errno == getattr(errno, code.name)


@pytest.mark.parametrize("code", list(Errno))
def test_every_linux_errno_becomes_the_hosts_number_of_that_name(code):
    assert refusal(code).errno == getattr(errno, code.name, errno.EIO)


def test_an_unknown_errno():
    error = refusal(526)
    assert error.errno == errno.EIO
    assert "526" in str(error)


@pytest.mark.parametrize("code", list(TEXTS))
def test_the_words_of_our_own_server_come_back(code):
    assert TEXTS[errno_of_words(TEXTS[code])] == TEXTS[code]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("file does not exist", Errno.ENOENT),
        ("'/x/y' file does not exist", Errno.ENOENT),
        ("No such file or directory", Errno.ENOENT),
        ("file not found", Errno.ENOENT),
        ("permission denied", Errno.EACCES),
        ("Operation not permitted", Errno.EPERM),
        ("wstat prohibited", Errno.EPERM),
        ("File exists", Errno.EEXIST),
        ("Directory not empty", Errno.ENOTEMPTY),
        ("not a directory", Errno.ENOTDIR),
        ("Read-only file system", Errno.EROFS),
        ("an unknown text", Errno.EIO),
        ("ENOENT: nothing there", Errno.ENOENT),
        ("'x' doesn't exist", Errno.ENOENT),
        ("no such entry", Errno.ENOENT),
    ],
)
def test_words_of_other_servers(words, code):
    assert errno_of_words(words) is code


def test_words_are_kept_where_there_is_no_number():
    error = refusal_in_words(b"the dog ate it")
    assert (error.errno, error.strerror) == (errno.EIO, "the dog ate it")
    assert refusal_in_words(b"whatever", 2).errno == errno.ENOENT
    assert refusal_in_words(b"file not found", 5).errno == errno.ENOENT
    assert refusal_in_words(b"file not found", 13).errno == errno.EACCES
    assert refusal_in_words(b"Input/output error", 5).errno == errno.EIO


def test_what_may_be_missing():
    """Unknown texts can mean a missing file; a number or a known text with another meaning
    cannot.
    """
    for words, code in ((b"file not found", 0), (b"nichts da", 0), (b"whatever", 2)):
        assert can_mean_missing(refusal_in_words(words, code)), words
    for words, code in ((b"permission denied", 0), (b"i/o error", 0), (b"nichts da", 5), (b"nichts da", 13)):
        assert not can_mean_missing(refusal_in_words(words, code)), words


def test_the_path_is_named():
    with pytest.raises(FileNotFoundError) as caught, about("dir/file"):
        raise refusal(Errno.ENOENT)
    assert str(caught.value) == "[Errno 2] No such file or directory: 'dir/file'"
    with pytest.raises(FileNotFoundError) as caught, about("outer"), about("inner", "other"):
        raise refusal(Errno.ENOENT)
    assert (caught.value.filename, caught.value.filename2) == ("inner", "other")
    with pytest.raises(ConnectionResetError) as broken, about("x"):
        raise ConnectionResetError(errno.ECONNRESET, "gone")
    assert broken.value.filename is None
