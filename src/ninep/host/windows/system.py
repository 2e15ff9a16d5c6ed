"""The host module of Windows: ``host.NtHost`` over the system's own calls, as plain functions.

Imported on Windows only, by ``host/__init__.py``.
"""

from __future__ import annotations

from ninep.host.windows.calls import SystemCalls
from ninep.host.windows.host import NtHost

_host = NtHost(SystemCalls())

HANDLES_BLOCK_RENAME = _host.HANDLES_BLOCK_RENAME
BY_NAME = _host.BY_NAME
UNPRIVILEGED_OWNERS = _host.UNPRIVILEGED_OWNERS
SEES_MOUNTS = _host.SEES_MOUNTS
mounts = _host.mounts
open_root = _host.open_root
open_path = _host.open_path
open_path_across = _host.open_path
reopen_path = _host.reopen_path
open_path_by_id = _host.open_path_by_id
close = _host.close
open_file = _host.open_file
open_regular = _host.open_regular
open_at = _host.open_at
open_unnamed = _host.open_unnamed
open_dir = _host.open_dir
stat = _host.stat
stat_at = _host.stat_at
stat_same_mount = _host.stat_at
find_same_mount = _host.find_same_mount
stat_below = _host.stat_below
birth_time = _host.birth_time
generation = _host.generation
linux_rdev = _host.linux_rdev
statfs = _host.statfs
volume = _host.volume
read_link = _host.read_link
chmod = _host.chmod
chown = _host.chown
utimes = _host.utimes
truncate = _host.truncate
get_xattr = _host.get_xattr
list_xattrs = _host.list_xattrs
set_xattr = _host.set_xattr
remove_xattr = _host.remove_xattr
make_dir = _host.make_dir
make_node = _host.make_node
make_symlink = _host.make_symlink
make_link = _host.make_link
rename = _host.rename
remove_file = _host.remove_file
remove_dir = _host.remove_dir
reserved_match = _host.reserved_match
read = _host.read
read_into = _host.read_into
read_now = _host.read_now
read_into_now = _host.read_into_now
write = _host.write
write_from = _host.write_from
sync = _host.sync
sync_file_range = _host.sync_file_range
sync_filesystem = _host.sync_filesystem
allocate = _host.allocate
seek = _host.seek
copy_file_range = _host.copy_file_range
lock = _host.lock
test_lock = _host.test_lock
raise_handle_limit = _host.raise_handle_limit
privileged = _host.privileged

__all__ = [
    "BY_NAME",
    "HANDLES_BLOCK_RENAME",
    "SEES_MOUNTS",
    "UNPRIVILEGED_OWNERS",
    "allocate",
    "birth_time",
    "chmod",
    "chown",
    "close",
    "copy_file_range",
    "find_same_mount",
    "generation",
    "get_xattr",
    "linux_rdev",
    "list_xattrs",
    "lock",
    "make_dir",
    "make_link",
    "make_node",
    "make_symlink",
    "mounts",
    "open_at",
    "open_dir",
    "open_file",
    "open_path",
    "open_path_across",
    "open_path_by_id",
    "open_regular",
    "open_root",
    "open_unnamed",
    "privileged",
    "raise_handle_limit",
    "read",
    "read_into",
    "read_into_now",
    "read_link",
    "read_now",
    "remove_dir",
    "remove_file",
    "remove_xattr",
    "rename",
    "reopen_path",
    "reserved_match",
    "seek",
    "set_xattr",
    "stat",
    "stat_at",
    "stat_below",
    "stat_same_mount",
    "statfs",
    "sync",
    "sync_file_range",
    "sync_filesystem",
    "test_lock",
    "truncate",
    "utimes",
    "volume",
    "write",
    "write_from",
]
