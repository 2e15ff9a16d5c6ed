"""What a guest boots from: an initramfs written anew for each boot, and a root disk made once and
kept.

The initramfs holds busybox and the modules, no more, and is not compressed: under software
emulation unpacking
costs more than reading.  The root disk is an ext4 image of unpacked packages, read through virtio on demand, so
its size costs nothing at boot.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import BinaryIO

from tests.guest.cpio import CpioWriter
from tests.guest.debs import Unavailable, appear_whole, cache_dir, need, system, unpacked_closure

BASE = ("busybox-static", "python3", "acl", "attr", "tar", "git")
FULL = (*BASE, "bash", "coreutils", "findutils", "make", "gcc", "libc6-dev")
IMAGES = {
    "base": BASE,  # what the checks need
    "full": FULL,  # what a developer does
    "bench": (*FULL, "fio"),  # what bench/guest_job.py measures
}
IMAGE_MIB = {"base": 320, "full": 768, "bench": 1024}
RECIPE = 2  # raise it when `root_disk` puts other things in: the cached images are then made again

MODULES = (
    "virtio_pci", "virtio_console", "virtio_rng", "virtio_net", "virtio_blk",
    "crc32c_generic", "ext4", "9pnet_fd", "9pnet_virtio", "9p", "virtiofs",
)  # fmt: skip
XZ_MAGIC = b"\xfd7zXZ\0"
USELESS = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/perl")
INIT = Path(__file__).with_name("init.sh")
AGENT = Path(__file__).with_name("agent.py")


def kernel_image(folder: Path, version: str) -> Path:
    """The kernel inside an unpacked package, decompressed once where that is possible.

    QEMU enters a plain ELF kernel directly; decompressing takes the emulated processor three
    seconds at every boot. Layout of the compressed form: the kernel's
    Documentation/arch/x86/boot.rst.
    """
    places = [*folder.glob("boot/vmlinuz*"), *folder.glob(f"lib/modules/{version}/vmlinuz")]
    if not places:
        raise Unavailable(f"no kernel image below {folder}")
    compressed = places[0].read_bytes()
    (offset, length) = struct.unpack_from("<II", compressed, 0x248)
    payload = compressed[(compressed[0x1F1] + 1) * 512 + offset :][:length]
    if not payload.startswith(XZ_MAGIC):
        return places[0]
    plain = folder / f"vmlinux-{version}"
    if not plain.exists():
        with appear_whole(plain) as made:
            made.write_bytes(lzma.decompress(payload[:-4]))  # its size follows the payload
    return plain


def write_initramfs(out: BinaryIO, kernel: Path, version: str) -> None:
    """The first root: loads the modules, mounts the disk and hands over to agent.py on it."""
    archive = CpioWriter(out)
    for folder in ("bin", "dev", "proc", "sys", "new", "boot", "boot/ko"):
        archive.directory(folder)
    archive.character_device("dev/console", 5, 1)
    archive.file("bin/busybox", Path(need("busybox")).read_bytes(), 0o755)
    archive.file("init", INIT.read_bytes(), 0o755)
    archive.file("boot/agent.py", AGENT.read_bytes())
    modules = module_files(kernel, version)
    for position, path in enumerate(modules):
        archive.file(f"boot/ko/{position:02}-{path.name.split('.ko')[0]}.ko", plain_module(path))
    archive.end()


def module_files(kernel: Path, version: str) -> list[Path]:
    """The modules to load, dependencies first; one that is built in needs no file."""
    if not (kernel / "lib/modules" / version / "modules.dep.bin").exists():
        subprocess.run([need("depmod"), "-b", kernel, version], check=True, stderr=subprocess.DEVNULL)
    ask = [need("modprobe"), "-d", str(kernel), "-S", version, "--show-depends"]
    order: dict[Path, None] = {}
    for module in MODULES:
        shown = subprocess.run([*ask, module], capture_output=True, text=True, check=False).stdout
        order.update((Path(line.split()[1]), None) for line in shown.splitlines() if line.startswith("insmod "))
    if not any(path.name.startswith("9p.") for path in order):
        raise Unavailable(f"the kernel {version} has no 9p module")
    return list(order)


def plain_module(path: Path) -> bytes:
    """The bytes of a module; distributions compress them in different ways."""
    if path.suffix == ".xz":
        return lzma.decompress(path.read_bytes())
    if path.suffix == ".zst":
        return subprocess.run([need("zstd"), "-dc", path], check=True, capture_output=True).stdout
    return path.read_bytes()


def root_disk(name: str) -> Path:
    """The ext4 image `name` of IMAGES; built at first use (some seconds and a download)."""
    packages = IMAGES[name]
    recipe = hashlib.sha256(repr((RECIPE, packages, IMAGE_MIB[name])).encode()).hexdigest()[:12]
    target = cache_dir() / f"{name}-{recipe}.ext4"
    if not target.exists():
        with appear_whole(target) as made, tempfile.TemporaryDirectory() as scratch:
            tree = Path(scratch, "tree")
            unpacked_closure(packages, tree)
            furnish(tree)
            options = ["-q", "-t", "ext4", "-b", "4096", "-O", "^has_journal", "-E", "root_owner=0:0", "-d", str(tree)]
            system(["mke2fs", *options, str(made), f"{IMAGE_MIB[name]}M"])
    return target


def furnish(tree: Path) -> None:
    """What package scripts would have made, as far as the checks need it."""
    for path in USELESS:
        shutil.rmtree(tree / path, ignore_errors=True)
    for folder in ("dev", "proc", "sys", "run", "tmp", "mnt", "root", "boot", "etc"):
        (tree / folder).mkdir(exist_ok=True)
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n")
    (tree / "etc/group").write_text("root:x:0:\nuser:x:1000:\n")
    (tree / "etc/hosts").write_text("127.0.0.1 localhost\n10.0.2.2 host\n")
    applets = subprocess.run([need("busybox"), "--list"], check=True, capture_output=True, text=True).stdout
    for applet in applets.split():
        if not any(os.path.lexists(tree / folder / applet) for folder in ("usr/bin", "usr/sbin")):
            (tree / "usr/bin" / applet).symlink_to("busybox")
