"""The Linux kernel's own client on our server: every model, cache mode and dialect, as root and as
an ordinary user.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.guest.combinations import MODELS, Combination, check_scenario, served_as, server_user
from tests.guest.machine import MAPPED, Machine, Mount
from tests.serving import Server, may_become_another_user

pytestmark = [pytest.mark.guest, pytest.mark.slow, pytest.mark.timeout(900)]

NOT_ROOT = "passthrough ownership needs a server that runs as root"


COMBINATIONS = [
    *(Combination(model, Mount()) for model in MODELS),
    *(Combination(model, Mount(cache="mmap", acl=True)) for model in MODELS),
    *(Combination(model, Mount(cache="loose"), bulk=True) for model in MODELS),  # it asks the server least often
    *(Combination(model, Mount(acl=True), ordinary_user=True) for model in MODELS),
    *(Combination(model, Mount("9P2000.u")) for model in MODELS),
    Combination("mapped-xattr", Mount("9P2000.u", "loose")),
    Combination("mapped-xattr", Mount("9P2000.u"), ordinary_user=True),
    *(Combination(model, Mount("9P2000")) for model in ("passthrough", "mapped-xattr")),
    # Of mapped-owner, which is mapped-xattr but for modes and links, what differs most from that.
    Combination("mapped-owner", Mount(acl=True), ordinary_user=True),
    Combination("mapped-owner", Mount("9P2000.u")),
    Combination("mapped-xattr", Mount(msize=1 << 20)),
    Combination("mapped-xattr", Mount(msize=8192)),
]


@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_mounted_folder(guest: Machine, export: Path, serve: Callable[..., Server], combination: Combination) -> None:
    user = server_user(combination, export)
    root = may_become_another_user() and not combination.ordinary_user
    server = serve(export, *served_as(combination.model), user=user)
    mounts = 1 if combination.mount.cache == "loose" else 2  # cache=loose is for an only client
    with guest.served(server.port, combination.mount, times=mounts) as folders:
        check_scenario(guest, server, combination, folders, root=root)


@pytest.mark.parametrize(
    "combination",
    [
        Combination("passthrough", Mount(acl=True)),
        *(Combination(model, Mount(acl=True)) for model in MAPPED),
        *(Combination(model, Mount(acl=True), ordinary_user=True) for model in (*MAPPED, "mapped-owner")),
    ],
    ids=str,
)
def test_what_the_guest_made_survives_a_restart(guest: Machine, export: Path, combination: Combination) -> None:
    if combination.model == "passthrough" and not may_become_another_user():
        pytest.skip(NOT_ROOT)
    options = served_as(combination.model)
    with Server(export, *options, user=server_user(combination, export)) as server:
        with guest.served(server.port, combination.mount) as (folder,):
            made = guest.scenario(folder, "--leave", "--acl").check().output
        server.stop()
        server.start()
        with guest.served(server.port, combination.mount) as (folder,):
            found = guest.scenario(folder, "--describe", "--acl").check().output
    assert json.loads(found) == json.loads(made)


@pytest.mark.parametrize("model", MODELS)
def test_dialects_tell_the_same(guest: Machine, export: Path, serve: Callable[..., Server], model: str) -> None:
    if model not in MAPPED and not may_become_another_user():
        pytest.skip(NOT_ROOT)
    server = serve(export, *served_as(model))
    with guest.served(server.port, Mount()) as (folder,):
        over_l = json.loads(guest.scenario(folder, "--leave").check().output)
    with guest.served(server.port, Mount("9P2000.u")) as (folder,):
        over_u = json.loads(guest.scenario(folder, "--describe").check().output)
    for told in (over_l, over_u):
        for facts in told.values():
            facts.pop("attributes", None)  # 9P2000.u has none
    assert over_u == over_l


def test_read_only_export(guest: Machine, export: Path, serve: Callable[..., Server]) -> None:
    (export / "f").write_bytes(b"contents")
    server = serve(export, "--read-only")
    with guest.served(server.port, Mount()) as (folder,):
        guest.run(f"cat {folder}/f && ls -l {folder}").check()
        for attempt in ("touch {0}/g", "echo x >> {0}/f", "rm {0}/f", "mkdir {0}/d", "chmod 0 {0}/f", "ln {0}/f {0}/g"):
            done = guest.run(attempt.format(folder))
            assert done.status != 0, attempt
            assert "Read-only file system" in done.output, done.output
    assert (export / "f").read_bytes() == b"contents"


def test_checks_hold_on_a_local_filesystem(guest: Machine) -> None:
    """The control: without any 9P, everything that is no server's business passes."""
    guest.run("mkdir /control").check()
    done = guest.scenario("/control", "--second", "/control", "--bulk", "--acl")
    assert done.status == 0, done.output
    assert [line for line in done.output.splitlines() if not line.startswith("ok ")] == [
        "na server_attributes_are_hidden: no server here",
        "na server_metadata_is_hidden: no server here",
    ]
