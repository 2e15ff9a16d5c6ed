"""What Linux's client does when its server is gone and back: it does not connect again."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.cluster.service import free_ports
from tests.guest.machine import HOST, Machine, Mount
from tests.serving import Server

pytestmark = [pytest.mark.guest, pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_mount_whose_connection_was_lost_has_to_be_made_anew(guest: Machine, export: Path) -> None:
    (export / "f").write_text("content")
    (port,) = free_ports(1)
    with Server(export, listen=(f"127.0.0.1:{port}",)) as server:
        options = f"trans=tcp,port={server.port},{Mount().options()}"
        mount = f"mkdir -p /mnt/lost && mount -t 9p -o {options} {HOST} /mnt/lost"
        guest.run(mount).check()
        assert guest.run("cat /mnt/lost/f").check().output == "content"
        server.stop()
        server.start()
        for _ in range(2):
            lost = guest.run("cat /mnt/lost/f 2>&1")
            assert lost.status
            assert "Input/output error" in lost.output
        guest.run(f"umount -l /mnt/lost && {mount}").check()
        assert guest.run("cat /mnt/lost/f").check().output == "content"
        guest.run("umount /mnt/lost").check()
