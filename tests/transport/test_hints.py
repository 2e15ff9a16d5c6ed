"""Lines to type where an export can be reached."""

from ninep.transport.hints import GUEST, Mount, bridge


def test_over_tcp() -> None:
    assert (
        Mount("data", 131072).tcp("10.0.2.2", 564)
        == "mount -t 9p -o trans=tcp,port=564,version=9p2000.L,msize=131072,aname=data 10.0.2.2 /mnt"
    )


def test_the_only_export_needs_no_name_and_msize_has_an_upper_end() -> None:
    assert (
        Mount("", 1 << 24).unix("/run/a b.sock")
        == "mount -t 9p -o trans=unix,version=9p2000.L,msize=1048576 '/run/a b.sock' /mnt"
    )


def test_a_name_that_mount_cannot_say() -> None:
    assert Mount("a,b", 8192).tcp("h", 1) == ""


def test_a_kernel_reaches_vsock_by_socat() -> None:
    mount, listing = bridge(Mount("data", 8192), 564)
    assert mount.where == GUEST
    assert mount.line.startswith("socat UNIX-LISTEN:/run/ninep.sock VSOCK-CONNECT:2:564 & sleep 1; mount -t 9p")
    assert listing.line == "ninep ls vsock:2:564/"
    assert bridge(Mount("a,b", 8192), 564)[0].line == ""
