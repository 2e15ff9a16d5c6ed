"""The options of the local driver, and its row in the registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ninep.drivers import DriverType
from ninep.drivers.local.driver import WRITEOUT, LocalDriver
from ninep.drivers.local.host_locks import AUTO, LOCKS
from ninep.drivers.local.qids import MULTIDEVS
from ninep.options import FLAG, OptionSet, choice, option, parsed
from ninep.security import Choice
from ninep.security.filesystems import Coherence


@dataclass(frozen=True, kw_only=True)
class LocalOptions(OptionSet):
    """See ``LocalDriver``; the security model and its options are ``ninep.security.Choice``."""

    multidevs: str = option(
        "remap",
        choice(MULTIDEVS),
        "A folder with several filesystems in it: remap keeps their inode numbers apart, forbid refuses all but the first, warn serves them as "
        "they are.",
        group="Exports",
    )
    pseudo_filesystems: bool = option(
        False,
        FLAG,
        "Serve procfs, sysfs and their kind too, where they are mounted in the folder: they show secrets of other processes (/proc/PID/environ), and "
        "writing to them changes the system.",
        group="Exports",
    )
    writeout: str | None = option(
        None,
        choice(WRITEOUT),
        "immediate: after each write the host begins to write the data back, so that few dirty pages are in its cache (sync_file_range, as QEMU's "
        "option of the same name). Linux only. It is no fsync.",
        group="Exports",
    )
    coherence: Coherence = option(
        Coherence(),
        parsed("auto|strict|close-to-open|SECONDS", Coherence.parse, Coherence),
        "What may be kept of owners, modes and listings where other computers write too (FUSE, NFS, CephFS and so on). strict: nothing. "
        "close-to-open: for as long as ctime stands, if it moves with each change there. SECONDS: besides, for so long, whatever others do. auto: "
        "close-to-open on file systems whose kind has such a ctime (NFS, CephFS), else strict.",
        group="Exports",
    )
    locks: str = option(
        AUTO,
        choice(LOCKS),
        "Who keeps byte-range locks beside the server's own table. host: its file system, which on a cluster excludes clients of other servers; "
        "what it cannot lock is ENOLCK. server: that table alone. auto: the host where it can.",
        group="Exports",
    )


def open_folder(target: str, options: LocalOptions, model: Choice) -> LocalDriver:
    """``ExportError`` if the folder is missing or unfit."""
    return LocalDriver(
        target,
        model,
        options.multidevs,
        pseudo_filesystems=options.pseudo_filesystems,
        writeout=options.writeout,
        coherence=options.coherence,
        locks=options.locks,
    )


DRIVER: Final = DriverType("a folder of this computer", LocalOptions, open_folder, models=True)
