"""Debian packages as a source of files: fetched and unpacked into a cache, never installed.

The machine's own apt lists say what there is, so a guest is as new as the machine that boots it.  Nothing here
needs root and nothing outside the cache is changed.  `apt-get update` is the business of whoever sets the
machine up (tools/check.py --install).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

KERNEL_METAPACKAGES = ("linux-image-amd64", "linux-image-generic")  # Debian's name, Ubuntu's name


DEBIAN_MIRROR = "http://deb.debian.org/debian"
DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")  # package debian-archive-keyring


class Unavailable(Exception):
    """The machine cannot give what a guest needs; the text says what is missing."""


@dataclass(frozen=True)
class Suites:
    """Suites of Debian that packages come from, instead of those of this machine's own lists."""

    names: tuple[str, ...]

    def options(self, scratch: Path) -> dict[str, object]:
        """apt.conf(5) of a private set of lists below `scratch`, which `apt-get update` has still
        to fetch.
        """
        if not DEBIAN_KEYRING.exists():
            raise Unavailable("Debian's keys are not here (package debian-archive-keyring)")
        sources = scratch / "sources.list"
        lines = [f"deb [signed-by={DEBIAN_KEYRING}] {_debian_mirror()} {name} main\n" for name in self.names]
        sources.write_text("".join(lines))
        (scratch / "lists/partial").mkdir(parents=True)
        return {
            "Dir::Etc::sourcelist": sources,
            "Dir::Etc::sourceparts": "-",
            "Dir::Etc::preferencesparts": "-",
            "Dir::State::lists": f"{scratch}/lists/",
            "Dir::Cache::pkgcache": "",
            "Dir::Cache::srcpkgcache": "",
            "Acquire::Languages": "none",
        }


def cache_dir() -> Path:
    """Where unpacked kernels and images are kept: $NINEP_TEST_CACHE or ~/.cache/ninep-tests."""
    path = Path(os.environ.get("NINEP_TEST_CACHE") or Path.home() / ".cache" / "ninep-tests")
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def appear_whole(target: Path) -> Iterator[Path]:
    """A scratch path that becomes `target` in one rename, so that nobody ever meets half a kernel
    or image.
    """
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        made = Path(scratch) / target.name
        yield made
        try:
            made.rename(target)
        except OSError:
            if not target.exists():  # somebody else was faster: theirs is as good
                raise


def unpacked_kernel() -> tuple[Path, str]:
    """The folder of an unpacked kernel and its version; the cached one, else the current package,
    fetched.
    """
    kept = sorted(cache_dir().glob("linux-image-*"))
    folder = kept[-1] if kept else cache_dir() / kernel_packages()[0]
    if not kept:
        packages = kernel_packages()
        with appear_whole(folder) as made, tempfile.TemporaryDirectory() as downloads:
            system(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *packages], cwd=downloads)
            unpack(Path(downloads), made)
    versions = [path.name for path in folder.glob("lib/modules/*")]
    if not versions:
        raise Unavailable(f"{packages[0]} has no modules")
    return folder, versions[0]


def kernel_packages() -> list[str]:
    """The packages that hold the kernel image and its modules, the image first."""
    for meta in KERNEL_METAPACKAGES:
        images = _depends(meta, r"linux-image-\d")
        if images:
            return images[:1] + _depends(images[0], r"linux-modules-\d")
    raise Unavailable("apt knows no kernel package (is `apt-get update` still to be run?)")


def unpacked_closure(packages: Iterable[str], root: Path, suites: Suites | None = None) -> None:
    """Unpack `packages` and all they depend on below `root`, as if nothing were installed here.

    They come from the suites of this machine unless `suites` names others.
    """
    with tempfile.TemporaryDirectory() as scratch:
        downloads = Path(scratch, "archives")
        (downloads / "partial").mkdir(parents=True)
        status = Path(scratch, "status")
        status.touch()
        options: dict[str, object] = {
            "Dir::State::status": status,  # an empty list of installed packages: apt resolves everything anew
            "Dir::Cache::archives": f"{downloads}/",
            "Debug::NoLocking": 1,
            "APT::Sandbox::User": "root",
            "APT::Install-Recommends": 0,
        }
        if suites:
            options |= suites.options(Path(scratch))
        words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
        if suites:
            system(["apt-get", "-qq", *words, "update"])
        system(["apt-get", "-qq", *words, "--download-only", "-y", "install", *packages])
        unpack(downloads, root)


def unpack(downloads: Path, root: Path) -> None:
    """The files of every .deb in `downloads`, below `root`, with /bin, /sbin and /lib merged into
    /usr.
    """
    root.mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for deb in sorted(downloads.glob("*.deb")):
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as source:
            system(["tar", "-x", "--keep-directory-symlink", "-C", str(root)], stdin=source.stdout)


def need(program: str) -> str:
    """The path of a program, also from the administrator's folders that are not on everybody's
    PATH.
    """
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        raise Unavailable(f"{program} is not installed")
    return found


def _debian_mirror() -> str:
    """The mirror of Debian that this machine uses; the public one when it is no Debian."""
    asked = [need("apt-get"), "indextargets", "--format", "$(REPO_URI)", "Origin: Debian", "Label: Debian"]
    known = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
    return known[0].rstrip("/") if known else DEBIAN_MIRROR


def _depends(package: str, pattern: str) -> list[str]:
    shown = subprocess.run([need("apt-cache"), "depends", package], capture_output=True, text=True, check=False)
    return re.findall(rf"^\s*(?:Pre)?Depends: ({pattern}\S*)", shown.stdout, re.MULTILINE)


def system(argv: list[str], **options: object) -> None:
    """Run a program of the system; what it says goes into the error when it fails."""
    done = subprocess.run([need(argv[0]), *argv[1:]], stderr=subprocess.PIPE, text=True, check=False, **options)  # type: ignore[call-overload]
    if done.returncode:
        raise Unavailable(f"{argv[0]} failed: {done.stderr.strip()[-800:]}")
