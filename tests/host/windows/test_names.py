"""The bytes of a 9P name and the UTF-16 of an NTFS name: one to one, whatever a client sends."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ninep.errors import Refused
from ninep.host.windows import names
from ninep.linux import Errno

ROWS = [
    (b"plain.txt", "plain.txt"),
    (b".hidden", ".hidden"),
    ("größe 漢字 😀".encode(), "größe 漢字 😀"),
    # Reserved characters, as WSL and Cygwin place them: none of them reaches NT, so no stream and
    # no second component can be named.
    (b"file:stream", "file\uf03astream"),
    (b"f::$DATA", "f\uf03a\uf03a$DATA"),
    (b"a\\b", "a\uf05cb"),
    (b"..\\x", "..\uf05cx"),
    (b"C:x", "C\uf03ax"),
    (b"\\\\?\\C:", "\uf05c\uf05c\uf03f\uf05cC\uf03a"),
    (b'<>"|?*', "\uf03c\uf03e\uf022\uf07c\uf03f\uf02a"),
    (b"tab\tbell\x07", "tab\uf009bell\uf007"),
    # What Win32 would strip or take for a device.
    (b"end.", "end\uf02e"),
    (b"end ", "end\uf020"),
    (b"...", "..\uf02e"),
    (b"CON", "\uf043ON"),
    (b"nul.txt", "\uf06eul.txt"),
    (b"Aux .tar.gz", "\uf041ux .tar.gz"),
    ("COM¹".encode(), "\uf043OM¹"),
    (b"lpt9", "\uf06cpt9"),
    (b"CONIN$", "\uf043ONIN$"),
    (b"CONSOLE", "CONSOLE"),
    (b"com10", "com10"),
    # Bytes that are no UTF-8, surrogates, and the mapping's own targets.
    (b"caf\xe9", "caf\udce9"),
    (b"\xed\xa0\x80", "\ud800"),
    (b"\xed\xbf\xbf", "\udfff"),
    (b"\xed\xb2\x80", "\udced\udcb2\udc80"),
    (b"\xed\xa0\xbd\xed\xb8\x80", "\udced\udca0\udcbd\ude00"),
    ("\uf03a".encode(), "\udcef\udc80\udcba"),
    # The plain forms of what is swapped, as another program may have made them.
    ("end\uf02e".encode(), "end."),
    ("\uf043ON".encode(), "CON"),
]


@pytest.mark.parametrize(("client", "host"), ROWS, ids=ascii)
def test_a_name_and_its_host_name(client: bytes, host: str) -> None:
    assert names.host_name(client) == host
    assert names.client_name(host) == client


# Names that look alike to one rule or another, so that random ones meet the corners.
_PIECES = st.sampled_from([
    b"CON", b"con", b"NUL", b"COM1", b".", b" ", b"..", b":", b"\\", b"~1", b"\x01", b"a", b"Z", b"\xff", b"\xed", b"\xa0", b"\x80",
    b"\xed\xa0\x80", b"\xed\xb0\x80", b"\xed\xb2\x80", b"\xed\xa0\xbd", b"\xc3\xa9", b"\xf0\x9f\x98\x80",
    "\uf03a".encode(), "\uf02e".encode(), "\uf020".encode(), "\uf043".encode(), "¹".encode(),
])  # fmt: skip
_CLIENT = st.one_of(st.binary(min_size=1, max_size=40), st.lists(_PIECES, min_size=1, max_size=8).map(b"".join)).filter(
    lambda name: b"\0" not in name and b"/" not in name and name not in {b".", b".."}
)
_HOST = st.text(
    st.one_of(st.sampled_from("CONUL. a1\uf043\uf02e\uf020\uf03a\udc80\udcc3\udca9\ud800\udc00"), st.characters()),
    min_size=1,
)


@given(_CLIENT)
@example(b"\xed\xa0\xbd\xff")
@example(b"\xed\xa0\x80\xed\xa0\xbd\xed\xb0\x80")
def test_every_client_name_comes_back(name: bytes) -> None:
    """And so no two client names share a host name."""
    host = names.host_name(name)
    assert names.from_units(names.units(host)) == host
    assert names.client_name(host) == name


@given(_CLIENT)
def test_no_host_name_has_what_nt_would_read_otherwise(name: bytes) -> None:
    host = names.host_name(name)
    assert not set(host) & set('\0/\\:*?"<>|')
    assert not any(c < " " for c in host)


@given(_HOST)
def test_a_listed_name_leads_back_to_its_entry(host: str) -> None:
    host = names.from_units(names.units(host))
    client = names.client_name(host)
    assert client is None or names.host_name(client) == host


@given(
    st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters='/\\:*?"<>|'), min_size=1, max_size=60)
)
def test_nothing_that_a_windows_program_can_name_is_left_out(host: str) -> None:
    """Only lone surrogates and characters that NTFS refuses may make a name unreachable."""
    if host not in {".", ".."}:
        assert names.client_name(host) is not None


def test_the_longest_name_is_255_units() -> None:
    assert names.host_name(b"x" * 255) == "x" * 255
    assert names.host_name("漢".encode() * 255)
    assert names.host_name("😀".encode() * 127)
    for long in (b"x" * 256, "漢".encode() * 256, "😀".encode() * 128, b"y" * 65535):
        with pytest.raises(Refused) as refused:
            names.host_name(long)
        assert refused.value.code == Errno.ENAMETOOLONG


@pytest.mark.parametrize(
    ("name", "code"),
    [
        (b"", Errno.ENOENT),
        (b"a/b", Errno.ENOENT),
        (b"a\0b", Errno.ENOENT),
        (b"\0", Errno.ENOENT),
        (b".", Errno.EINVAL),
        (b"..", Errno.EINVAL),
    ],
)
def test_what_is_no_name(name: bytes, code: Errno) -> None:
    with pytest.raises(Refused) as refused:
        names.host_name(name)
    assert refused.value.code == code


@pytest.mark.parametrize("spelling", ["end\uf02e", "end\uf020", "\uf043ON", "\uf06eul.txt"])
def test_no_name_is_made_that_windows_programs_misread(spelling: str) -> None:
    """It can be looked up and removed (another program may have made it), not made."""
    assert names.host_name(spelling.encode())
    with pytest.raises(Refused) as refused:
        names.new_name(spelling.encode())
    assert refused.value.code == Errno.EINVAL


def test_a_new_name_is_otherwise_the_host_name() -> None:
    for name in (b"CON", b"end.", b"end ", b"a:b", b"\xff", b"plain"):
        assert names.new_name(name) == names.host_name(name)


@pytest.mark.parametrize(
    ("attribute", "stream"),
    [
        (b"user.virtfs.uid", "user.virtfs.uid"),
        (b"user.virtfs.system.posix_acl_access", "user.virtfs.system.posix_acl_access"),
        (b"user.VIRTFS.uid", "user.\uf056\uf049\uf052\uf054\uf046\uf053.uid"),
        (b"user.a:b/c", "user.a\uf03ab\uf02fc"),
        ("user.é".encode(), "user.\udcc3\udca9"),
        ("user.\uf041".encode(), "user.\udcef\udc81\udc81"),
    ],
    ids=ascii,
)
def test_attributes_and_their_streams(attribute: bytes, stream: str) -> None:
    assert names.stream_name(attribute) == stream
    assert names.attribute_name(stream) == attribute


@given(st.binary(min_size=1, max_size=60).filter(lambda name: b"\0" not in name))
def test_every_attribute_name_comes_back(attribute: bytes) -> None:
    stream = names.stream_name(attribute)
    assert names.attribute_name(stream) == attribute
    # Streams ignore case: no two attributes may differ in that only.
    assert stream == stream.lower()
    assert not set(stream) & set("\0/\\:")


def test_a_stream_of_another_program_is_no_attribute() -> None:
    assert names.attribute_name("Zone.Identifier") is None
    assert names.attribute_name("") is None
    assert names.attribute_name("ключ") is None


@pytest.mark.parametrize(
    "spelling",
    [
        ".virtfs_metadata", ".VIRTFS_METADATA", ".Virtfs_Metadata", ".virtfs_metadata.", ".virtfs_metadata ", ".v\u0131rtfs_metadata",
        ".virtf\u017f_metadata", ".virtfs_\uff4detadata", ".vi\u200brtfs_metadata", ".virtfs\u00ad_metadata", ".virtfs_metadata\u0301",
    ],
    ids=ascii,
)  # fmt: skip
def test_a_reserved_name_is_known_in_every_spelling(spelling: str) -> None:
    assert names.folds_to(spelling.encode(), b".virtfs_metadata")


@pytest.mark.parametrize(
    "other", [b"virtfs_metadata", b".virtfs_metadata_root", b".virtfs_metadat", b".virtfs-metadata", b"\xff"]
)
def test_other_names_are_not_reserved(other: bytes) -> None:
    assert not names.folds_to(other, b".virtfs_metadata")


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        (".ninep-removed", True), (".NINEP-x", True), (".n\u0131nep-removed", True), ("\uff0eninep-x", True), (".ni\u200bnep-x", True),
        (".ninep", False), ("ninep-x", False), (".n\u00e4nep-x", False), ("x.ninep-", False),
    ],
    ids=ascii,
)  # fmt: skip
def test_names_of_the_hosts_own_are_known_in_every_spelling(name: str, ours: bool) -> None:
    assert names.folds_below(name.encode(), b".ninep-") is ours


@pytest.mark.parametrize(("name", "short"), [(b"VIRTFS~1", True), (b"a~1.txt", True), (b"A~123456.T", True), (b"a~b", False), (b"a", False),
                                             (b"toolong7~1", False), (b"a~1.html", False)])  # fmt: skip
def test_what_may_be_a_short_alias(name: bytes, short: bool) -> None:
    assert names.looks_short(name) is short
