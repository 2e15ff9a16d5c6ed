"""The Linux kernel's own client on our server: every model, cache mode and dialect, as root and as
an ordinary user.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.guest.machine import MAPPED, Machine, Mount
from tests.serving import ORDINARY_USER, Server, may_become_another_user

pytestmark = [pytest.mark.guest, pytest.mark.slow, pytest.mark.timeout(900)]

MODELS = ("passthrough", "none", *MAPPED)
NOT_ROOT = "passthrough ownership needs a server that runs as root"


@dataclass(frozen=True)
class Combination:
    """One way to serve and to mount."""

    model: str
    mount: Mount
    ordinary_user: bool = False
    bulk: bool = False

    def __str__(self) -> str:
        words = [self.model, self.mount.dialect, self.mount.cache]
        return "-".join(words + ["acl"] * self.mount.acl + ["user"] * self.ordinary_user + ["bulk"] * self.bulk)

    def scenario_arguments(self, *, root: bool) -> list[str]:
        words = ["--dialect", self.mount.dialect, "--cache", self.mount.cache, "--model", self.model]
        words += ["--server", "root" if root else "user"]
        return words + ["--acl"] * self.mount.acl + ["--bulk"] * self.bulk


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


def served_as(model: str) -> tuple[str, ...]:
    """The server's options. Devices of the mapped models are files, which need no leave."""
    return ("--security-model", model, *(() if model == "mapped-owner" or model in MAPPED else ("--devices",)))


def server_user(combination: Combination, export: Path) -> int | None:
    """The uid to serve as, when it is another one; the export becomes that user's."""
    if not combination.ordinary_user:
        return None
    if not may_become_another_user():
        return None  # the server is an ordinary user's anyway
    os.chown(export, ORDINARY_USER, ORDINARY_USER)
    return ORDINARY_USER


@pytest.mark.parametrize("combination", COMBINATIONS, ids=str)
def test_mounted_folder(guest: Machine, export: Path, serve: Callable[..., Server], combination: Combination) -> None:
    user = server_user(combination, export)
    root = may_become_another_user() and not combination.ordinary_user
    server = serve(export, *served_as(combination.model), user=user)
    mounts = 1 if combination.mount.cache == "loose" else 2  # cache=loose is for an only client
    with guest.served(server.port, combination.mount, times=mounts) as folders:
        seconds = [word for folder in folders[1:] for word in ("--second", folder)]
        done = guest.scenario(folders[0], *seconds, *combination.scenario_arguments(root=root))
    lines = done.output.splitlines()
    failures = [line for line in lines if not line.startswith(("ok ", "na "))]
    assert not failures, "\n".join(failures) + f"\n--- the server\n{server.said()}"
    assert done.status == 0
    assert sum(line.startswith("ok ") for line in lines) > 20, done.output


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
