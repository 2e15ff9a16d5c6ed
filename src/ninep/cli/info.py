"""``stat``, ``df`` and ``xattr``."""

from __future__ import annotations

import json
import stat as modes
from typing import TYPE_CHECKING, Any, Final

import click

from ninep.cli import output
from ninep.cli.listing import resolved
from ninep.cli.params import LOCATION
from ninep.cli.remote import Remote, remote_command
from ninep.cli.show import exactly, human, mode_text, printable
from ninep.client.address import Location
from ninep.wire.modes import major, minor

if TYPE_CHECKING:
    from ninep.client.stat import FileStat

KINDS: Final = {
    modes.S_IFREG: "regular file",
    modes.S_IFDIR: "directory",
    modes.S_IFLNK: "symbolic link",
    modes.S_IFCHR: "character device",
    modes.S_IFBLK: "block device",
    modes.S_IFIFO: "fifo",
    modes.S_IFSOCK: "socket",
}


def _fields(location: Location, found: FileStat, target: str | None) -> dict[str, Any]:
    """The fields of ``stat --json`` for one file."""
    fields: dict[str, Any] = {
        "location": str(location),
        "type": KINDS.get(modes.S_IFMT(found.st_mode), "unknown"),
        "mode": f"{modes.S_IMODE(found.st_mode):04o}",
        "uid": found.st_uid,
        "gid": found.st_gid,
        "user": found.user,
        "group": found.group,
        "size": found.st_size,
        "blocks": found.st_blocks,
        "links": found.st_nlink,
        "qid": {"type": found.qid.type, "version": found.qid.version, "path": found.qid.path},
        "atime_ns": found.st_atime_ns,
        "mtime_ns": found.st_mtime_ns,
        "ctime_ns": found.st_ctime_ns,
        "btime_ns": found.st_birthtime_ns,
    }
    if target is not None:
        fields["target"] = target
    if found.st_rdev:
        fields["device"] = [major(found.st_rdev), minor(found.st_rdev)]
    return fields


def _print_stat(location: Location, found: FileStat, target: str | None) -> None:
    fields = _fields(location, found, target)
    qid = found.qid
    output.line(f"  File: {printable(str(location))}{f' -> {printable(target)}' if target is not None else ''}")
    output.line(f"  Type: {fields['type']}{', device {} {}'.format(*fields['device']) if 'device' in fields else ''}")
    output.line(f"  Size: {found.st_size}  Blocks: {found.st_blocks}  Links: {found.st_nlink}")
    owner = f"{'-' if found.st_uid is None else found.st_uid} {printable(found.user)}".rstrip()
    group = f"{'-' if found.st_gid is None else found.st_gid} {printable(found.group)}".rstrip()
    output.line(f"  Mode: {fields['mode']} {mode_text(found.st_mode)}  Uid: {owner}  Gid: {group}")
    output.line(f"   Qid: path {qid.path}  version {qid.version}  type {qid.type:#04x}")
    for label, time in (
        ("Access", found.st_atime_ns),
        ("Modify", found.st_mtime_ns),
        ("Change", found.st_ctime_ns),
        (" Birth", found.st_birthtime_ns),
    ):
        output.line(f"{label}: {'-' if time is None else exactly(time)}")


@remote_command(
    "ninep stat HOST:5640/dir/file",
    "ninep stat --json unix:/run/files.sock:/file",
)
@click.argument("locations", nargs=-1, required=True, type=LOCATION, metavar="LOCATION...")
@click.option("-L", "--follow", is_flag=True, help="Follow symbolic links.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line for each file; times in nanoseconds.")
def stat(remote: Remote, locations: tuple[Location, ...], follow: bool, as_json: bool) -> None:
    """Show the attributes of files."""
    for location in remote.expand(locations):
        with remote.each(location):
            client = remote.client(location)
            path = client.realpath(location.path) if follow else resolved(client, location.path)
            found = client.stat(path)
            target = client.readlink(path) if found.is_symlink() else None
            if as_json:
                output.line(json.dumps(_fields(location, found, target)))
            else:
                _print_stat(location, found, target)


@remote_command(
    "ninep df -h HOST:5640",
)
@click.argument("locations", nargs=-1, required=True, type=LOCATION, metavar="LOCATION...")
@click.option("-h", "--human", "short", is_flag=True, help="Sizes as 1.5G instead of KiB.")
def df(remote: Remote, locations: tuple[Location, ...], short: bool) -> None:
    """Show the free space of the filesystem of a path (9P2000.L only)."""
    rows = [("Size" if short else "1K-blocks", "Used", "Avail", "Use%", "Location")]

    def size(bytes_: int) -> str:
        return human(bytes_) if short else str(bytes_ // 1024)

    for location in remote.expand(locations):
        with remote.each(location):
            client = remote.client(location)
            found = client.statfs(client.realpath(location.path))
            used = found.f_blocks - found.f_bfree
            usable = used + found.f_bavail
            percent = f"{-(-100 * used // usable)}%" if usable > 0 else "-"
            unit = found.f_bsize
            rows.append(
                (
                    size(found.f_blocks * unit),
                    size(used * unit),
                    size(found.f_bavail * unit),
                    percent,
                    printable(str(location)),
                )
            )
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    if len(rows) > 1:
        for row in rows:
            output.line(" ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=False)) + f" {row[4]}")


@remote_command(
    "ninep xattr HOST:5640/file",
    "ninep xattr HOST:5640/file user.comment",
    'ninep xattr HOST:5640/file user.comment --set "as printed"',
    "ninep xattr HOST:5640/file user.comment --remove",
)
@click.argument("location", type=LOCATION)
@click.argument("name", required=False)
@click.option("--set", "value", metavar="VALUE", help="Set the attribute NAME.")
@click.option("--remove", is_flag=True, help="Remove the attribute NAME.")
def xattr(remote: Remote, location: Location, name: str | None, value: str | None, remove: bool) -> None:
    """List the extended attributes of a file, or show, set or remove one (9P2000.L only).

    The value of an attribute is written without an end of line.
    """
    if value is not None and remove:
        raise click.UsageError("--set and --remove cannot be used together")
    if name is None and (value is not None or remove):
        raise click.UsageError("--set and --remove need the NAME of an attribute")
    client = remote.client(location)
    path = resolved(client, location.path)
    with remote.each(location):
        if name is None:
            tty = output.is_terminal()
            for found in client.listxattr(path):
                output.line(printable(found) if tty else found)
        elif value is not None:
            client.setxattr(path, name, value.encode("utf-8", "surrogateescape"))
        elif remove:
            client.removexattr(path, name)
        else:
            output.raw(client.getxattr(path, name))
