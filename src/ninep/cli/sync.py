"""``sync``: makes one tree what another is, by size and time."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack
from typing import Final

import click

from ninep.cli import output
from ninep.cli.copying import directory_at, inner_name, location_of
from ninep.cli.params import complete
from ninep.cli.progress import Bar
from ninep.cli.remote import RECONNECT, Remote, remote_command
from ninep.cli.show import printable
from ninep.cli.trees import (
    HostReceiver,
    HostSender,
    Item,
    Names,
    Receiver,
    Sender,
    ServerReceiver,
    ServerSender,
    of_host,
    of_server,
)
from ninep.client.address import Location
from ninep.client.copied import Copied
from ninep.client.destination import Destination, Target, checked_name, directory_target
from ninep.client.errors import ServerPath
from ninep.client.identity import user_id
from ninep.client.overlap import INTO_ITSELF, same_time
from ninep.client.paths import join

SECOND: Final = 1_000_000_000


def place_of(text: str) -> Location | str:
    """A location if there is a colon (or a dial string's mark) in what could be an address, else a
    path of this host.
    """
    is_path = text.startswith(("/", ".", "~")) or os.path.splitdrive(text)[0]
    return text if is_path or not any(mark in text for mark in ":!") else location_of(text)


def same_content(item: Item, have: Item) -> bool:
    """By size and time; to the second where one of the sides has whole seconds only."""
    if item.size != have.size:
        return False
    if item.mtime_ns % SECOND and have.mtime_ns % SECOND:
        return item.mtime_ns == have.mtime_ns
    return item.mtime_ns // SECOND == have.mtime_ns // SECOND


def same_attributes(item: Item, have: Item, receiver: Receiver) -> bool:
    """Permissions and owners, as far as they can be set; a dialect may have no numbers of owners."""
    if (item.mode ^ have.mode) & receiver.bits:
        return False
    pairs = ((item.uid, have.uid), (item.gid, have.gid))
    return not receiver.keep.owner or all(None in pair or pair[0] == pair[1] for pair in pairs)


class Syncing:
    """One run: what is told, done and counted."""

    def __init__(
        self, remote: Remote, sender: Sender, receiver: Receiver, bar: Bar, *, delete: bool, dry: bool, verbose: bool
    ) -> None:
        self._remote = remote
        self._sender = sender
        self._receiver = receiver
        self._bar = bar
        self._delete = delete
        self._dry = dry
        self._verbose = verbose
        self._new: set[Names] = set()
        """Directories that a dry run did not make."""
        self._since: int | None = None
        """The mtime of the receiver's top at the beginning, in seconds; None in a dry run."""
        self._changed: set[Names] = set()
        """Directories in which something was made or removed: their times are to be set."""

    def run(self, top: Item, have: Item | None) -> None:
        """Make the receiver what the source is; ``top`` are the attributes of the source's top."""
        directories: list[tuple[Names, Item, Item | None]] = [((), top, have)]
        if have is None:
            self._new.add(())
        if not self._dry:
            self._since = self._receiver.mtime() // SECOND
            self._refuse_receiver((), top)
        pending: list[Names] = [()]
        while pending:
            with self._remote.below():
                self._directory(pending.pop(), pending, directories)
        for names, item, before in reversed(directories):
            with self._remote.below():
                same = before is not None and names not in self._changed and self._same_directory(item, before)
                if not same and not self._dry:
                    self._receiver.set_attributes(names, item)

    def _same_directory(self, item: Item, before: Item) -> bool:
        same_time = item.mtime_ns // SECOND == before.mtime_ns // SECOND
        return same_time and same_attributes(item, before, self._receiver)

    def _act(self, word: str, names: Names) -> bool:
        """Tell what is to be done. Whether it is done."""
        if self._verbose:
            text = f"{word} {'/'.join(names)}"
            output.line(printable(text) if output.is_terminal() else text)
        self._changed.add(names[:-1])
        return not self._dry

    def _directory(
        self, names: Names, pending: list[Names], directories: list[tuple[Names, Item, Item | None]]
    ) -> None:
        # if this fails, nothing is removed
        here = self._sender.list(names, self._remote.report)
        there = {} if self._dry and names in self._new else self._receiver.list(names)
        if self._delete:  # first: on a host without case, a new name can be one that is there
            for name in sorted(there.keys() - here.keys()):
                with self._remote.below():
                    self._remove((*names, name), there.pop(name))
        for name, item in sorted(here.items()):
            if item is not None:
                with self._remote.below():
                    self._entry((*names, name), item, there.get(name), pending, directories)

    def _remove(self, names: Names, item: Item) -> None:
        if self._act("delete", names):
            self._receiver.remove(names, item, self._remote.report)

    def _entry(
        self,
        names: Names,
        item: Item,
        have: Item | None,
        pending: list[Names],
        directories: list[tuple[Names, Item, Item | None]],
    ) -> None:
        if have is not None and have.kind != item.kind:
            if have.kind == stat.S_IFDIR and not self._delete:
                raise OSError(errno.EISDIR, "is a directory: only --delete replaces it", self._receiver.shown(names))
            self._remove(names, have)
            have = None
        if item.kind == stat.S_IFDIR:
            self._refuse_receiver(names, item)
            if have is None and self._act("mkdir", names):
                self._receiver.mkdir(names)
            elif have is None:
                self._new.add(names)
            pending.append(names)
            directories.append((names, item, have))
        elif item.kind == stat.S_IFLNK:
            self._link(names, item, have)
        elif item.kind == stat.S_IFREG:
            self._file(names, item, have)
        elif (have is None or have.rdev != item.rdev) and self._act("mknod", names):
            if have is not None:
                self._receiver.remove(names, have, self._remote.report)
            self._receiver.mknod(names, item)

    def _refuse_receiver(self, names: Names, item: Item) -> None:
        """EINVAL for the directory that is written, which would go on without end (``client.overlap``).
        Since the beginning its mtime has not become less.
        """
        if self._since is None or item.mtime_ns // SECOND < self._since:
            return
        mtime = self._receiver.mtime()
        if not same_time(mtime, self._sender.mtime(names)):
            return
        try:
            self._receiver.set_mtime(mtime + SECOND)
        except PermissionError:
            return
        try:
            seen = self._sender.mtime(names)
        finally:
            self._receiver.set_mtime(mtime)
        if same_time(mtime, seen - SECOND):
            raise OSError(errno.EINVAL, f"is where the copy goes: {INTO_ITSELF}", self._sender.shown(names))

    def _link(self, names: Names, item: Item, have: Item | None) -> None:
        target = self._sender.readlink(names)
        if have is not None and self._receiver.readlink(names) == target:
            return
        if self._act("link", names):
            if have is not None:
                self._receiver.remove(names, have, self._remote.report)
            self._receiver.symlink(names, target, item)

    def _file(self, names: Names, item: Item, have: Item | None) -> None:
        if have is None or not same_content(item, have):
            if self._act("copy", names):
                self._receiver.copy(names, self._sender, self._bar.moved)
        elif not same_attributes(item, have, self._receiver) and self._act("attributes", names):
            self._receiver.set_attributes(names, item)


@remote_command(
    "ninep sync src/ HOST:5640/project           the content of src",
    "ninep sync --delete HOST:5640/project backup    backup/project, and nothing else in it",
    "ninep sync -n --delete src/ HOST:5640/project   only say what would be done",
    reconnect=RECONNECT,
)
@click.argument("source", shell_complete=complete("dir"))
@click.argument("destination", shell_complete=complete("dir"))
@click.option("--delete", is_flag=True, help="Remove what SOURCE does not have.")
@click.option("-n", "--dry-run", "dry", is_flag=True, help="Change nothing; print what would be done.")
@click.option("-v", "--verbose", is_flag=True, help="Print what is done, a line for each file.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
def sync(remote: Remote, source: str, destination: str, delete: bool, dry: bool, verbose: bool, quiet: bool) -> None:
    """Make the directory DESTINATION what SOURCE is: with permissions, times, links, and owners and
    devices where they are permitted. Files of the same size and time are not copied.

    One of them, or both, are on a server: with a colon, HOST:PORT/PATH. Anything else is a path of
    this host. As with rsync, SOURCE/ is the content of SOURCE, without the slash it is the
    directory itself, which is made in DESTINATION. Nothing below DESTINATION is written through
    links.
    """
    given, to = place_of(source), place_of(destination)
    if isinstance(given, str) and isinstance(to, str):
        raise click.UsageError("one of SOURCE and DESTINATION has to be on a server: HOST:PORT/PATH")
    copied = Copied()
    with Bar(enabled=not (quiet or verbose or dry)) as bar, ExitStack() as stack:
        reading, top, name = _source(remote, given)
        receiver, have = _receiver(remote, to, name, copied, dry, stack)
        Syncing(remote, reading, receiver, bar, delete=delete, dry=dry, verbose=verbose or dry).run(top, have)


def _source(remote: Remote, given: Location | str) -> tuple[Sender, Item, str]:
    """The side that is read, the attributes of its top, and the name that it has at the
    destination; empty for its content.
    """
    if isinstance(given, str):
        path = os.path.realpath(given)
        item = of_host(path)
        text = given.replace(os.altsep, os.sep) if os.altsep else given
        name = "" if text.endswith(os.sep) else inner_name(text, os.sep)
        reading: Sender = HostSender(path)
    else:
        client = remote.client(given)
        path = client.realpath(given.path)
        item = of_server(client.stat(path))
        name = "" if given.path.endswith("/") else inner_name(given.path)
        reading = ServerSender(client, path, lambda one: str(Location(given.address, one)))
    if item.kind != stat.S_IFDIR:
        raise NotADirectoryError(errno.ENOTDIR, "is not a directory: cp, get and put copy files", str(given))
    return reading, item, name


def _receiver(
    remote: Remote, to: Location | str, name: str, copied: Copied, dry: bool, stack: ExitStack
) -> tuple[Receiver, Item | None]:
    """The side that is written, made if it is not there, and the attributes of its top before."""
    if isinstance(to, str):
        return _host_receiver(to, checked_name(name, to) if name else "", copied, dry, stack)
    client = remote.client(to)
    path = directory_at(client, to.path) or client.realpath(to.path)
    path = join(path, name) if name else path
    have = of_server(client.stat(path)) if client.exists(path) else None
    if have is not None and have.kind != stat.S_IFDIR:
        raise NotADirectoryError(errno.ENOTDIR, "is not a directory of the server", ServerPath(path))
    if have is None and not dry:
        client.makedirs(path, 0o777)
    uid = remote.uid if remote.uid is not None else user_id()
    return ServerReceiver(client, path, copied, owners=uid == 0), have


def _host_receiver(to: str, name: str, copied: Copied, dry: bool, stack: ExitStack) -> tuple[Receiver, Item | None]:
    """A directory of this host: ``to`` may be a link, ``name`` in it may not."""
    path = os.path.join(to, name) if name else to
    have = None
    if os.path.isdir(to) and (not name or os.path.lexists(path)):
        found = os.stat(path, follow_symlinks=not name)
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, "is not a directory of this host", path)
        have = Item(found.st_mode, found.st_size, found.st_mtime_ns, found.st_uid, found.st_gid, 0)
    if have is None and dry:
        return HostReceiver(stack.enter_context(Destination(os.curdir))), None  # of which nothing is asked
    os.makedirs(to, exist_ok=True)
    typed = stack.enter_context(Destination(to, copied))
    top = directory_target(Target(typed, name)) if name else typed
    return HostReceiver(stack.enter_context(top)), have
