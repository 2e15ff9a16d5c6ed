"""The Linux kernel's own client on a bucket of an object store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.s3 import BUCKET, ENVIRONMENT, client
from tests.cluster.seaweedfs import SeaweedFS
from tests.guest.combinations import Combination, check_scenario
from tests.guest.machine import Machine, Mount
from tests.serving import Server

pytestmark = [pytest.mark.guest, pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Server]:
    with SeaweedFS(tmp_path / "store") as store:
        caller = client(store.endpoint)
        caller.create_bucket(Bucket=BUCKET)
        caller.close()
        with Server(f"s3://{BUCKET}/guest", "--s3-endpoint", store.endpoint, environment=ENVIRONMENT) as server:
            yield server


def test_the_scenario(guest: Machine, gateway: Server) -> None:
    combination = Combination("objects", Mount())
    with guest.served(gateway.port, combination.mount, times=2) as folders:
        check_scenario(guest, gateway, combination, folders, root=True)


def test_a_tree_of_files(guest: Machine, gateway: Server) -> None:
    """`tar x`, and the tree is what was packed; `rm -r` leaves nothing."""
    make = (
        "mkdir -p /run/tree && cd /run/tree && for i in $(seq 1 100); do mkdir -p d$((i % 7)) && echo $i > d$((i % 7))/f$i"
        " && chmod $((600 + i % 2 * 44)) d$((i % 7))/f$i; done && ln -s d1/f1 link && tar cf /run/tree.tar ."
    )
    describe = "find . -type f | sort | xargs stat -c '%n %a %Y %s %u'"
    guest.run(make).check()
    with guest.served(gateway.port, Mount()) as (folder,):
        guest.run(f"mkdir {folder}/t && cd {folder}/t && tar xf /run/tree.tar && diff -r /run/tree .").check()
        made, found = (guest.run(f"cd {at} && {describe}").check().output for at in ("/run/tree", f"{folder}/t"))
        assert found == made
        guest.run(f'rm -r {folder}/t && test -z "$(ls -A {folder})"').check()
