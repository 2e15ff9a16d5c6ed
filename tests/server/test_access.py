"""Who may connect, and who may attach: rules against peers."""

from ipaddress import ip_address

import pytest

from ninep.server.access import Access, BadRule, parse_rule
from ninep.transport.peers import Peer

HERE = Peer("here", ip_address("127.0.0.9"))
HERE6 = Peer("here", ip_address("::1"))
NEAR = Peer("near", ip_address("192.168.7.5"))
FAR = Peer("far", ip_address("203.0.113.1"))
USER = Peer("user", uid=1000, gid=100)
UNKNOWN = Peer("unknown")
VM = Peer("vm", cid=3)
ALICE = Peer("alice", ip_address("203.0.113.7"), certificate=("alice", "alice@example.org"))
NEAR_BOB = Peer("bob", ip_address("192.168.7.6"), certificate=("bob",))
COMING = Peer("no certificate yet", ip_address("203.0.113.8"), certificate=())
ALL = (HERE, HERE6, NEAR, FAR, USER, UNKNOWN, VM)
CERTIFIED = (ALICE, NEAR_BOB, COMING)


def admitted(*rules: str, closed: bool = False) -> set[Peer]:
    access = Access(tuple(map(parse_rule, rules)), closed)
    return {peer for peer in ALL if not access.refusal(peer)}


def test_without_a_list_only_other_computers_are_kept_out() -> None:
    assert admitted() == {HERE, HERE6, USER, UNKNOWN, VM}


@pytest.mark.parametrize(
    ("rules", "admits"),
    [
        (["192.168.0.0/16"], {HERE, HERE6, NEAR, USER, UNKNOWN, VM}),
        (["any"], {HERE, HERE6, NEAR, FAR, USER, UNKNOWN, VM}),
        (["203.0.113.1"], {HERE, HERE6, FAR, USER, UNKNOWN, VM}),
        (["uid:1000"], {HERE, HERE6, USER, VM}),
        (["uid:1001"], {HERE, HERE6, VM}),
        (["gid:100", "uid:5"], {HERE, HERE6, USER, VM}),
        (["cid:3"], {HERE, HERE6, USER, UNKNOWN, VM}),
        (["cid:4"], {HERE, HERE6, USER, UNKNOWN}),
        (["loopback"], {HERE, HERE6, USER, UNKNOWN, VM}),
    ],
)
def test_admission_is_narrowed_for_the_kind_that_a_rule_names(rules: list[str], admits: set[Peer]) -> None:
    assert admitted(*rules) == admits


@pytest.mark.parametrize(
    ("rules", "named"),
    [([], set(ALL)), (["uid:1000"], {USER}), (["192.168.7.0/24"], {NEAR}), (["loopback", "cid:3"], {HERE, HERE6, VM})],
)
def test_the_list_of_an_export_lets_in_no_other(rules: list[str], named: set[Peer]) -> None:
    assert admitted(*rules, closed=True) == named


@pytest.mark.parametrize(
    "text",
    [
        "",
        "me",
        "cert:",
        "any=ro+rw",
        "=ro",
        "any=",
        "any=rx",
        "uid:",
        "uid:root",
        "uid:-1",
        "gid:4294967296",
        "192.168.1.5/16",
        "300.0.0.1",
        "host.example",
    ],
)
def test_what_names_no_peer_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(BadRule, match=r"."):
        parse_rule(text)


def test_a_list_knows_whether_other_computers_may_come() -> None:
    assert not Access().remote
    assert not Access((parse_rule("loopback"), parse_rule("uid:1"))).remote
    assert Access((parse_rule("10.0.0.0/8"),)).remote


@pytest.mark.parametrize(
    ("rules", "admits"),
    [
        ([], {ALICE, NEAR_BOB, COMING}),
        (["uid:5"], {ALICE, NEAR_BOB, COMING}),
        (["192.168.0.0/16"], {NEAR_BOB}),
        (["cert:alice"], {ALICE, COMING}),
        (["cert:alice@example.org"], {ALICE, COMING}),
        (["cert:alice", "192.168.0.0/16"], set()),
        (["cert:alice", "cert:bob", "any"], {ALICE, NEAR_BOB, COMING}),
    ],
)
def test_who_has_to_show_a_certificate_needs_no_network(rules: list[str], admits: set[Peer]) -> None:
    """One that has shown none yet is asked again when it has."""
    access = Access(tuple(map(parse_rule, rules)))
    assert {peer for peer in CERTIFIED if not access.refusal(peer)} == admits


@pytest.mark.parametrize(
    ("rules", "rights"),
    [
        ([], {}),
        (["any=ro"], {FAR: ("ro",), ALICE: ("ro",), NEAR_BOB: ("ro",)}),
        (["cert:alice=rw+nodev", "any=ro"], {FAR: ("ro",), ALICE: ("rw", "nodev"), NEAR_BOB: ("ro",)}),
        (["any=ro", "cert:alice=rw"], {FAR: ("ro",), ALICE: ("ro",), NEAR_BOB: ("ro",)}),
        (["cert:alice", "cert:bob=ro"], {NEAR_BOB: ("ro",)}),
        (["uid:1000=nodev", "cid:3=ro"], {USER: ("nodev",), VM: ("ro",)}),
    ],
)
def test_the_first_rule_that_names_a_peer_says_what_it_may_do(
    rules: list[str], rights: dict[Peer, tuple[str, ...]]
) -> None:
    access = Access(tuple(map(parse_rule, rules)), closed=True)
    assert [str(rule) for rule in access.rules] == rules
    for peer in (FAR, ALICE, NEAR_BOB, USER, VM):
        assert access.rights(peer) == rights.get(peer, ())


def test_a_name_may_have_an_equals_sign() -> None:
    assert parse_rule("cert:urn:a=b").name == "urn:a=b"
    assert parse_rule("cert:urn:a=b=ro") == parse_rule("cert:urn:a=b")._replace(rights=("ro",))


def test_a_certificate_is_named_in_the_list_of_an_export() -> None:
    access = Access((parse_rule("cert:alice"),), closed=True)
    assert {peer for peer in (*ALL, *CERTIFIED) if not access.refusal(peer)} == {ALICE}
    assert str(parse_rule("cert:alice")) == "cert:alice"
