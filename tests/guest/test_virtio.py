"""The Linux kernel's client on our server as a virtio device of QEMU's, over vhost-user: what is right
over TCP is right there, and what becomes of a device when one of its two sides stops, begins anew or
is killed.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest
from tests.guest.combinations import Combination, check_scenario
from tests.guest.debs import unpacked_kernel
from tests.guest.devices import ORDINARY, ROOT, SECOND, WITH_TWO, Devices, tag_of
from tests.guest.image import module_files, plain_module
from tests.guest.machine import Machine, Mount
from tests.serving import Server

pytestmark = [pytest.mark.guest, pytest.mark.slow, pytest.mark.timeout(600)]

PROMPT = 60.0  # seconds in which what must not hang is done, on a busy machine
SOME = "mapped-xattr"  # the tag of a device for what no security model has a part in
# Appends numbered lines to a file it holds open, each when the server has the one before, and says
# what went wrong.
WRITER = """
import os, sys
name, lines = sys.argv[1], int(sys.argv[2])
try:
    held = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for number in range(lines):
        os.write(held, b"%d\\n" % number)
        os.fstat(held)
    print("written")
except OSError as error:
    print("failed", error)
"""


@pytest.mark.parametrize("combination", [*ROOT, *ORDINARY], ids=str)
def test_mounted_folder(virtio: Devices, combination: Combination) -> None:
    """The scenario on the device; its other mount is the same export by TCP."""
    served = virtio.served[tag_of(combination)]
    with (
        virtio.guest.attached(tag_of(combination), combination.mount) as device,
        virtio.guest.served(served.server.port, combination.mount) as (by_tcp,),
    ):
        check_scenario(virtio.guest, served.server, combination, [device, by_tcp], root=served.by_root)


def test_msize_of_one_page_and_more_than_the_ring_has(virtio: Devices) -> None:
    """4096 is the least that Linux takes; beyond 125 pages it asks for 125."""
    guest = virtio.guest
    for msize in (4096, 512_000, 1 << 20):
        with guest.attached(SOME, Mount(msize=msize)) as folder:
            guest.run(
                f"dd if=/dev/urandom of=/tmp/data bs=1M count=5 2>/dev/null && cp /tmp/data {folder}/data"
            ).check()
            guest.run(f"cmp /tmp/data {folder}/data && rm {folder}/data").check()


def test_several_devices_at_once(virtio: Devices) -> None:
    """Two of one server and one of another are busy at the same time, with what they were given."""
    guest = virtio.guest
    with (
        guest.attached(WITH_TWO, Mount()) as one,
        guest.attached(SECOND, Mount()) as two,
        guest.attached(SOME, Mount()) as three,
    ):
        folders = [f"{one}/one", f"{two}/two", f"{three}/three"]
        work = "mkdir {0} && for n in $(seq 40); do head -c 70000 /dev/urandom >{0}/$n && cp {0}/$n {0}/copy$n; done"
        jobs = " ".join(f"({work.format(folder)}; echo $? >>/tmp/statuses) &" for folder in folders)
        guest.run(f"rm -f /tmp/statuses; {jobs} wait; cat /tmp/statuses", limit=PROMPT * 3).check()
        assert guest.run("cat /tmp/statuses").output.split() == ["0"] * 3
        for folder in folders:
            compare = f"cd {folder} && for n in $(seq 40); do cmp $n copy$n || exit 1; done"
            guest.run(compare, limit=PROMPT).check()
        assert sorted(guest.run(f"ls {one}").check().output.split()) == ["one", "two"]  # one export
        guest.run("rm -r " + " ".join(folders), limit=PROMPT).check()


def test_a_device_is_mounted_once_at_a_time(virtio: Devices) -> None:
    """So says the driver; unmounted, it is there again at once."""
    for _ in range(3):
        with virtio.guest.attached(SOME, Mount()):
            refused = virtio.guest.run(
                f"mkdir -p /mnt/twice; mount -t 9p -o trans=virtio,version=9p2000.L {SOME} /mnt/twice"
            )
            assert refused.status != 0


def test_the_guest_is_reset(virtio: Devices) -> None:
    """In the middle of writing: what was written is there, and a session begins."""
    guest, folder = virtio.guest, virtio.served[SOME].folder
    mounted(guest, SOME, "/mnt/before")
    guest.run("echo before >/mnt/before/kept").check()
    begin(guest, "/mnt/before/cut", 1_000_000)
    guest.reset()
    assert guest.kernel_complaints() == []
    with guest.attached(SOME, Mount()) as again:
        assert guest.run(f"cat {again}/kept").check().output == "before\n"
        lines = guest.run(f"cat {again}/cut; rm {again}/cut {again}/kept").check().output.splitlines()
        assert lines == [str(number) for number in range(len(lines))]
    assert lines
    assert not list(folder.glob("cut"))


def test_the_driver_is_loaded_anew(virtio: Devices) -> None:
    """It resets every device, and each can be mounted again."""
    guest = virtio.guest
    kernel, version = unpacked_kernel()
    (module,) = (path for path in module_files(kernel, version) if path.name.startswith("9pnet_virtio."))
    plain = virtio.scratch / "9pnet_virtio.ko"
    plain.write_bytes(plain_module(module))
    guest.put(plain, "/tmp/9pnet_virtio.ko")
    for number in range(3):
        with guest.attached(SOME, Mount()) as folder:
            guest.run(f"echo {number} >>{folder}/loads").check()
        guest.run("rmmod 9pnet_virtio && insmod /tmp/9pnet_virtio.ko", limit=PROMPT).check()
    for tag in (*virtio.served, SECOND):
        with guest.attached(tag, Mount()) as folder:
            guest.run(f"ls {folder}").check()
    with guest.attached(SOME, Mount()) as folder:
        assert guest.run(f"cat {folder}/loads; rm {folder}/loads").check().output == "0\n1\n2\n"


def test_the_machine_is_stopped_and_goes_on(virtio: Devices) -> None:
    """With a file open and requests outstanding: the session lives on."""
    guest = virtio.guest
    with guest.attached(SOME, Mount()) as folder:
        begin(guest, f"{folder}/held", 3000)
        for _ in range(5):
            guest.qmp.execute("stop")
            assert guest.qmp.execute("query-status")["status"] == "paused"
            guest.qmp.execute("cont")
            guest.run(f"stat {folder}/held", limit=PROMPT).check()
        assert ended(guest) == "written\n"
        assert guest.run(f"wc -l <{folder}/held; rm {folder}/held").check().output == "3000\n"


@pytest.mark.parametrize("end", [Server.stop, Server.kill], ids=["stopped", "killed"])
def test_a_server_is_restarted_behind_its_devices(virtio: Devices, end: Callable[[Server], None]) -> None:
    """With a service manager that stores its front ends: what a mount had open is lost, a new one
    finds what was written, and a device that was not mounted noticed nothing.
    """
    guest = virtio.guest
    mounted(guest, WITH_TWO, "/mnt/restarted")
    begin(guest, "/mnt/restarted/cut", 1_000_000)
    virtio.restart(end)
    assert ended(guest).startswith("failed")
    guest.run("umount /mnt/restarted", limit=PROMPT).check()
    guest.kernel_complaints()  # it may say that requests failed
    with guest.attached(WITH_TWO, Mount()) as one, guest.attached(SECOND, Mount()) as two:
        lines = guest.run(f"cat {two}/cut; rm {one}/cut", limit=PROMPT).check().output.splitlines()
    assert lines
    assert lines == [str(number) for number in range(len(lines))]


def test_a_server_is_killed_and_then_qemu(virtio: Devices) -> None:
    """The guest goes on without the server, on its other devices too; the other servers live on
    without QEMU; and the next machine finds what was written.

    Without a service manager there is no way back for the device: what waits for it waits.
    """
    guest, server = virtio.guest, virtio.served[SOME].server
    mounted(guest, SOME, "/mnt/lost")
    guest.run("echo left >/mnt/lost/left").check()
    begin(guest, "/mnt/lost/cut", 1_000_000)
    server.kill()
    guest.run("echo alive", limit=PROMPT).check()
    mounted(guest, WITH_TWO, "/mnt/other")
    begin(guest, "/mnt/other/cut", 1_000_000)

    os.kill(guest.pid, signal.SIGKILL)
    guest.stop()
    assert all(one.server.running for tag, one in virtio.served.items() if tag != SOME)
    virtio.served[WITH_TWO].server.wait_for("the front end is gone")
    virtio.serve()
    guest.start()
    guest.kernel_complaints()
    for tag in (SOME, WITH_TWO):
        with guest.attached(tag, Mount()) as folder:
            lines = guest.run(f"cat {folder}/cut && rm {folder}/cut").check().output.splitlines()
            assert lines
            assert lines == [str(number) for number in range(len(lines))]
    with guest.attached(SOME, Mount()) as folder:
        assert guest.run(f"cat {folder}/left && rm {folder}/left").check().output == "left\n"


def mounted(guest: Machine, tag: str, at: str) -> None:
    """Mount a device where it stays mounted."""
    guest.run(f"mkdir -p {at} && mount -t 9p -o trans=virtio,{Mount().options()} {tag} {at}", limit=PROMPT).check()


def begin(guest: Machine, name: str, lines: int) -> None:
    """Start WRITER in the guest, and wait until it has written something."""
    guest.run(["/bin/sh", "-c", 'cat >/tmp/writer.py <<"END"\n' + WRITER + "END"]).check()
    guest.run(f"rm -f /tmp/said {name}").check()
    guest.run(
        f"(python3 /tmp/writer.py {name} {lines} >/tmp/saying 2>&1; mv /tmp/saying /tmp/said) >/dev/null 2>&1 &"
    ).check()
    guest.run(f"until [ -s {name} ]; do sleep 0.1; done", limit=PROMPT).check()


def ended(guest: Machine) -> str:
    """What WRITER said; waits until its process has ended, and with it what it held open."""
    guest.run("until [ -e /tmp/said ]; do sleep 0.1; done", limit=PROMPT).check()
    return guest.run("cat /tmp/said").check().output
