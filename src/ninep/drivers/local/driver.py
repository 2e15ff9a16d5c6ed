"""A folder of the host, exported."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import PurePath
from typing import Final

from ninep import host
from ninep.drivers.local.devices import DeviceTable
from ninep.drivers.local.handle_cache import HandleCache, self_closing
from ninep.drivers.local.host_locks import AUTO as AUTO_LOCKS
from ninep.drivers.local.host_locks import LOCKS, HostLocks
from ninep.drivers.local.node import LocalNode
from ninep.drivers.local.node_table import NodeTable
from ninep.drivers.local.per_call_handles import shared_handle_cache
from ninep.drivers.local.probe import lines, probe
from ninep.drivers.local.qids import MULTIDEVS
from ninep.drivers.local.slow import SlowNode
from ninep.drivers.local.writeout import SlowWriteoutNode, WriteoutNode
from ninep.errors import Refused, linux_errno
from ninep.host import Handle, Stat, Volume
from ninep.host._mounts import areas, lineage
from ninep.linux import S_IFDIR, S_IFMT, Errno
from ninep.node import Driver, Source, User
from ninep.options import BadOption
from ninep.security import AUTO, Choice, SecurityModel, Unsuitable
from ninep.security.filesystems import Coherence

log = logging.getLogger("ninep.drivers")


class ExportError(OSError):
    """The folder cannot be exported; the text is one sentence for the person who starts
    the server.
    """


WRITEOUT: Final = ("immediate",)

_WHY = {
    Errno.ENOENT: "there is no such folder",
    Errno.ENOTDIR: "it is not a folder",
    Errno.EACCES: "permission denied",
    Errno.ELOOP: "too many symbolic links in its path",
}


class LocalDriver(Driver):
    """Serves the folder ``path``.

    Args:
        path: the folder. security_model: a name of ``ninep.security.MODELS``; ``auto`` (what suits
        an ordinary user on the folder's filesystem); a
            ``SecurityModel``; or a ``ninep.security.Choice``.
        multidevs: ``remap``, ``forbid`` or ``warn``: what to do about other filesystems mounted
        below. pseudo_filesystems: serve procfs, sysfs and their kind too, below the folder or as
        the folder itself (EACCES otherwise). path handles: how many handles the nodes may keep;
        exports of one process share them unless told otherwise. model_options: options of the
        security model, by name: ``fmode`` and ``dmode`` (host permissions of files and directories
        that a mapped model
            makes), ``devices`` (clients of passthrough and none may make device nodes that are ones
            for the host too; EPERM otherwise).
        writeout: ``immediate``: the host begins to write data back after each write (``writeout``).
        coherence: what may be kept of a file system that other computers write, too
            (``ninep.security.filesystems.Coherence``). locks: ``auto``, ``host`` or ``server``: who
            keeps byte-range locks (``host_locks``).

    Raises:
        ExportError: the folder is missing or its filesystem unfit for the model.
        BadOption: words or options that there are not.

    The process's umask takes away from what clients ask for and has to be put right by a second
    call for each file: set it to 0.
    """

    threadsafe = True

    def __init__(
        self,
        path: str,
        security_model: str | SecurityModel | Choice = AUTO,
        multidevs: str = "remap",
        handles: HandleCache | None = None,
        *,
        pseudo_filesystems: bool = False,
        writeout: str | None = None,
        coherence: Coherence | None = None,
        locks: str = AUTO_LOCKS,
        **model_options: object,
    ) -> None:
        choose = security_model if isinstance(security_model, Choice) else Choice(security_model, model_options)
        if locks not in LOCKS:
            raise BadOption(f"locks: {locks!r} is not one of {', '.join(LOCKS)}")
        if multidevs not in MULTIDEVS:
            raise BadOption(f"multidevs: {multidevs!r} is not one of {', '.join(MULTIDEVS)}")
        opened, self.volume = _open(path)
        """What the filesystem of the folder can do."""
        root = self_closing(opened)
        if self.volume.pseudo and not pseudo_filesystems:
            raise ExportError(
                f"cannot export {path}: it is on {self.volume.kind}, which shows the secrets of processes and whose files may wait or change the "
                "system; --pseudo-filesystems serves it all the same"
            )
        try:
            model = choose(self.volume)
        except Unsuitable as error:
            raise ExportError(f"cannot export {path}: {error}") from error
        self.security_model = model.name
        if coherence is not None:
            model.filesystems.rule_by(coherence)
        found = host.stat(root)
        self._path = path
        self._real = PurePath(os.path.realpath(path))
        self._choose = choose
        if writeout is not None:
            _check_writeout(writeout, root)
        kinds: tuple[type[LocalNode], type[LocalNode]]
        kinds = (LocalNode, SlowNode) if writeout is None else (WriteoutNode, SlowWriteoutNode)
        devices = DeviceTable[LocalNode](model.filesystems, *kinds, pseudo=pseudo_filesystems, locks=HostLocks(locks))
        self._table = table = NodeTable(
            model, MULTIDEVS[multidevs](found.st_dev), handles or shared_handle_cache(), devices
        )
        table.begin(self._root(found, self.volume), root)

    def _root(self, found: Stat, volume: Volume) -> LocalNode:
        table, device = self._table, found.st_dev
        kind = table.devices.register(device, volume)
        return kind(table, None, b"/", device, found, table.qids.path(device, found.st_ino))

    def prepare(self, *, writable: bool) -> None:
        """Try what the file system can do, if every call may wait there. An ordinary one is known
        by its kind, and not written to.
        """
        volume, root = self.volume, self._table.root
        if not volume.slow or volume.read_only or not writable:
            return
        try:
            found = probe(root.get_path_handle())
        except OSError as error:
            log.info("%s: cannot try what its file system can do: %s", self._path, error)
            return
        self._table.devices.learn(root.dev, volume, found)
        for line in lines(found):
            log.info("%s (%s): %s", self._path, volume.kind, line)

    def attach(self, user: User) -> LocalNode:  # noqa: ARG002 - who may attach is decided above, and as whom here below
        host.mounts.watch()
        root = self._table.root
        found: Stat = host.stat(root.get_path_handle())
        if not found.st_nlink:
            root, found = self._made_again(root)
        return root.update_qid(found).clone()

    def _made_again(self, removed: LocalNode) -> tuple[LocalNode, Stat]:
        """The folder was removed: the one that is under its path now is the export from here on.
        ENOENT if there is none.

        What clients hold of the old one stays what it is. The path is that of the start with its
        links resolved, and no link is followed now: by one, a user who may write in a folder above
        could lead the server anywhere.
        """
        table, suitable = self._table, False
        with suppress(OSError, Unsuitable):
            path_handle = _folder(self._real)
            found, volume = host.stat(path_handle), host.volume(path_handle)
            suitable = bool(found.st_nlink) and self._choose(volume).name == self.security_model
        if not suitable:
            raise Refused(Errno.ENOENT, "the exported folder was removed")
        root = self._root(found, volume)
        with table.lock:
            if table.root is removed:
                table.replace_root(root, path_handle)
                self.volume = volume
            root = table.root
        return root, host.stat(root.get_path_handle())

    def tidy(self) -> None:
        self._table.tidy()

    def source(self) -> Source:
        return Source(os.path.abspath(self._path), self._table.model.name, lineage(self._path), areas(self._path))

    def storage(self) -> dict[str, str]:
        """The kind of file system, and the answers of ``probe``."""
        table = self._table
        found = table.devices.found.get(table.root.dev, ())
        return {"file system": self.volume.kind, **{one.name: one.answer for one in found}}

    def close(self) -> None:
        self._table.close()


def _folder(path: PurePath) -> Handle:
    """A folder by its absolute path, in which no link is followed."""
    handle = self_closing(host.open_root(path.parts[0]))
    for name in path.parts[1:]:
        handle = self_closing(host.open_path_across(handle, os.fsencode(name)))
    if host.stat(handle).st_mode & S_IFMT != S_IFDIR:
        raise Refused(Errno.ENOTDIR)
    return handle


def _check_writeout(word: str, root: Handle) -> None:
    """``BadOption`` for another word, or where the system cannot do it."""
    if word not in WRITEOUT:
        raise BadOption(f"writeout: {word!r} is not one of {', '.join(WRITEOUT)}")
    try:
        host.sync_file_range(root, 0, 0)
    except OSError as error:  # EBADF of a path handle, where there is the call
        if linux_errno(error) in (Errno.EOPNOTSUPP, Errno.ENOSYS):
            raise BadOption("writeout: this system cannot begin to write back a range of a file") from error


def _open(path: str) -> tuple[Handle, Volume]:
    try:
        root = host.open_root(path)
        try:
            return root, host.volume(root)
        except OSError:
            host.close(root)
            raise
    except OSError as error:
        why = _WHY.get(linux_errno(error)) or getattr(error, "strerror", None) or str(error)
        raise ExportError(f"cannot export {path}: {why}") from error
