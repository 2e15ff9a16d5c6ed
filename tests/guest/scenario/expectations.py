"""What cannot work in which setting, one row per fact, each with its reason.

A row names checks by pattern and holds where every condition given matches.  A check that no row excuses must pass.
Checks of ``FAILING`` are run, and must fail: what a file system below the server does otherwise by itself.
Sources: lx = Linux 6.1 fs/9p, read for what its client does; the rest is the nature of a dialect or
a model.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass

from .registry import Setting

LEGACY = ("9P2000", "9P2000.u")
NINEP = ("9P2000.L", *LEGACY)
PLAIN = ("passthrough", "none")


@dataclass(frozen=True)
class Row:
    """The checks that do not apply, where, and why."""

    checks: tuple[str, ...]
    reason: str
    dialect: tuple[str, ...] = ()  # empty: whatever it is
    cache: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    server: tuple[str, ...] = ()
    acl: tuple[bool, ...] = ()
    storage: tuple[str, ...] = ()

    def excuses(self, name: str, setting: Setting) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.checks) and all(
            not allowed or getattr(setting, field) in allowed
            for field, allowed in (
                ("dialect", self.dialect),
                ("cache", self.cache),
                ("model", self.model),
                ("server", self.server),
                ("acl", self.acl),
                ("storage", self.storage),
            )
        )


ROWS = (
    Row(("server_*",), "no server here", dialect=("local",)),
    # --- what the kernel's client does not do
    Row(
        ("map_shared*",),
        "cache=none has no writable shared mappings (lx v9fs_file_operations: EINVAL)",
        dialect=NINEP,
        cache=("none",),
    ),
    Row(
        ("link_counts", "write_through_a_link*"),
        "with a cache the client gives each name of a file an inode of its own (lx v9fs_vfs_link)",
        dialect=("9P2000.u",),
        cache=("loose",),
    ),
    Row(("xattr*", "acl*", "server_attributes*"), "the client has no extended attributes here", dialect=LEGACY),
    Row(
        ("flock*", "byte_ranges*", "range_to_the_end*", "lock_in_the_way*", "locks_*"),
        "the client grants every lock and asks nobody (lx v9fs_file_lock)",
        dialect=LEGACY,
    ),
    Row(("statfs",), "the client answers statfs itself (lx simple_statfs)", dialect=LEGACY),
    Row(("fsync_of_a_folder",), "the client has no fsync for folders (lx v9fs_dir_operations)", dialect=LEGACY),
    Row(("rename_to_another_folder",), "Twstat renames within a folder: the client says EXDEV", dialect=LEGACY),
    Row(("chmod_moves_ctime",), "stat records carry no ctime: the client shows mtime", dialect=LEGACY),
    Row(
        ("set_group_id*", "*_users_groups"),
        "Tcreate carries no group: the server's filesystem decides",
        dialect=LEGACY,
    ),
    Row(("acl*",), "mounted without posixacl", dialect=NINEP, acl=(False,)),
    # --- what the dialect cannot say
    Row(
        ("symlink*", "link_counts", "write_through_a_link*", "*_link_itself", "tar*", "a_users_link*"),
        "9P2000 knows no links",
        dialect=("9P2000",),
    ),
    Row(
        ("mknod_devices", "mknod_fifo*", "devices*", "fifo*", "unix_socket*", "chmod_of_a_fifo*"),
        "9P2000 knows no special files",
        dialect=("9P2000",),
    ),
    Row(
        ("chown*", "made_by*", "others_are*", "set_group_id*"),
        "9P2000 has no numeric owners",
        dialect=("9P2000",),
    ),
    Row(("set_id*", "chmod_keeps*", "chmod_by_d*"), "9P2000 has no set-id and sticky bits", dialect=("9P2000",)),
    Row(("rename_over*",), "9P2000 renames over nothing: the name must be free (stat(5))", dialect=("9P2000",)),
    Row(("rename_errors",), "9P2000 has one error for every name that is taken", dialect=("9P2000",)),
    Row(("append_from*",), "9P2000 has no append: the client seeks to the end it knows", dialect=("9P2000",)),
    Row(
        ("range_reserved*", "range_of*", "rename2*", "unnamed*", "sync_of*"), "9P has no message for it", dialect=NINEP
    ),
    # --- what a model does not do
    Row(
        ("rename2_exchanges*", "unnamed*"),
        "owners stand under names: nothing exchanges both at once, and without a name there is no place",
        model=("mapped-file",),
    ),
    Row(
        ("server_attributes*",),
        "only mapped-xattr and mapped-owner have attributes of their own",
        model=("passthrough", "none", "mapped-file"),
    ),
    Row(
        ("server_metadata*",),
        "only mapped-file has files of its own",
        model=("passthrough", "none", "mapped-owner", "mapped-xattr"),
    ),
    Row(
        ("chown_of_a_link_itself", "a_users_link*", "tar_with_owners"),
        "a real link has nowhere to keep an owner (xattr(7)): it is shown with its directory's",
        model=("mapped-owner",),
    ),
    Row(("acl*",), "the model none has no ACLs", dialect=NINEP, model=("none",)),
    # --- what an object store does not do (docs/object-stores.md)
    Row(
        ("write_through_a_link*", "link_counts", "tar*"),
        "an object has one name: hard links are EOPNOTSUPP",
        model=("objects",),
    ),
    Row(("odd_names",), "keys are UTF-8", model=("objects",)),
    Row(("path_of_path_max", "deeper*"), "a key has 1,024 bytes", model=("objects",)),
    Row(("holes_and_large*",), "a file is no larger than the spool", model=("objects",)),
    Row(("server_*_hidden",), "it has no files and attributes of its own", model=("objects",)),
    # --- what an ordinary user on the host may not do
    Row(
        ("chown*", "made_by*", "tar_with_owners", "a_users_link*", "set_group_id*", "set_id*", "others_are*"),
        "an ordinary user of the host cannot give files away",
        dialect=NINEP,
        model=PLAIN,
        server=("user",),
    ),
    Row(
        ("mknod_devices", "devices*"),
        "an ordinary user of the host cannot make devices",
        dialect=NINEP,
        model=PLAIN,
        server=("user",),
    ),
)

FAILING = (
    Row(
        ("xattr_by_descriptor_of_an_unlinked_file",),
        "a file that is removed has no attributes any more",
        storage=("juicefs",),
    ),
    Row(("chmod_moves_ctime",), "setxattr(2) and chown(2) of nothing do not move ctime", storage=("juicefs",)),
    Row(("folder_link_count",), "subdirectories are not counted: 2", storage=("seaweedfs",)),
    Row(("odd_names",), "names that are no UTF-8 get other bytes", storage=("seaweedfs",)),
    Row(("tar_extracted_and_compared", "tar_with_owners"), "link(2) moves mtime", storage=("seaweedfs",)),
)


def excuse(name: str, setting: Setting) -> str | None:
    """Why the check need not hold in this setting, or None: then it must."""
    return next((row.reason for row in ROWS if row.excuses(name, setting)), None)


def failing(name: str, setting: Setting) -> str | None:
    """Why the check fails in this setting, or None: then it must hold."""
    return next((row.reason for row in FAILING if row.excuses(name, setting)), None)
