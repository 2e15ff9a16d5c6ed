r"""Links, FIFOs, sockets and devices on Windows: reparse points that are read and made, never
followed.

Read: NT symbolic links and mount points [MS-FSCC 2.1.2.4, 2.1.2.5], and WSL's own (openvmm,
``lxutil`` fs.rs and util.rs): a symbolic link is a u32 version and, in version 2, the target in
UTF-8 (version 1 keeps it in the file's data); FIFOs and sockets have empty data; a device has its
numbers in the extended attribute ``$LXDEV``, two u32.

Made: WSL's. They need no privilege, and a Linux client's target is kept byte for byte. Windows
programs show them as links and do not follow them, which is right: a target means something to the
client only.

An NT target is shown with slashes. The client resolves it, in its own tree.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError  # noqa: N812 - struct names its exception like a function
from typing import Final

from ninep import linux
from ninep.errors import Refused
from ninep.host._api import Handle
from ninep.host.windows import info
from ninep.host.windows.api import Access, Attribute, Control, Info, NtCalls, Options, Tag
from ninep.host.windows.names import client_name
from ninep.host.windows.open import LOOK, closing, make_entry, scratch
from ninep.host.windows.remove import discard
from ninep.host.windows.status import NtError
from ninep.linux import Errno

_REPARSE_MAX: Final = 16384  # MAXIMUM_REPARSE_DATA_BUFFER_SIZE
_VERSION: Final = Struct("<I")
_DEVICE: Final = Struct("<II")
_LXDEV: Final = b"$LXDEV"
_NT_PREFIX: Final = "\\??\\"
_NODES: Final = {linux.S_IFIFO: Tag.LX_FIFO, linux.S_IFSOCK: Tag.AF_UNIX}
_MAKE: Final = Access.DELETE | Access.WRITE_DATA | Access.WRITE_ATTRIBUTES | Access.READ_ATTRIBUTES


def target_of(calls: NtCalls, handle: Handle) -> bytes:
    """The target of a link. EINVAL if this is none, EIO for data that cannot be understood."""
    basic = info.BASIC.unpack(calls.query(handle, Info.BASIC, info.BASIC.size))
    if not basic[4] & Attribute.REPARSE_POINT:
        raise Refused(Errno.EINVAL)
    tag, data = info.reparse_of(calls.control(handle, Control.GET_REPARSE_POINT, b"", _REPARSE_MAX))
    try:
        if tag == Tag.LX_SYMLINK:
            return _wsl_target(calls, handle, data)
        if tag in {Tag.SYMLINK, Tag.MOUNT_POINT}:
            substitute, shown = info.link_names(data, 4 if tag == Tag.SYMLINK else 0)
            return _with_slashes(shown or substitute.removeprefix(_NT_PREFIX))
    except (StructError, ValueError):
        raise Refused(Errno.EIO, "the link's data is damaged") from None
    raise Refused(Errno.EINVAL)


def _wsl_target(calls: NtCalls, handle: Handle, data: bytes) -> bytes:
    (version,) = _VERSION.unpack_from(data)
    if version == 1:
        with scratch(calls, handle, "", Access.READ_DATA) as again:
            return calls.read(again, linux.PATH_MAX, 0)
    return data[_VERSION.size :]


def _with_slashes(target: str) -> bytes:
    parts = target.split("\\")
    names = [None if part in {".", ".."} else client_name(part) for part in parts]
    return b"/".join(
        part.encode("utf-8", "surrogatepass") if name is None else name for part, name in zip(parts, names, strict=True)
    )


def rdev_of(calls: NtCalls, handle: Handle) -> int:
    """Device numbers in the Linux layout; 0 if WSL wrote none."""
    try:
        _, value = info.ea_of(calls.query_ea(handle, info.get_ea(_LXDEV), 256))
        major, minor = _DEVICE.unpack(value)
    except (NtError, StructError):
        return 0
    return int((major & 0xFFF) << 8 | (major & ~0xFFF) << 32 | minor & 0xFF | (minor & ~0xFF) << 12)


def make_symlink(calls: NtCalls, dir: Handle, name: bytes, target: bytes) -> None:
    """A WSL symbolic link. EOPNOTSUPP where the filesystem has no reparse points."""
    _make(calls, dir, name, Tag.LX_SYMLINK, _VERSION.pack(2) + target)


def make_node(calls: NtCalls, dir: Handle, name: bytes, mode: int) -> None:
    """An empty file, a FIFO or a socket. EPERM for a device, as mknod(2) answers those without
    privilege.
    """
    kind = mode & linux.S_IFMT
    if kind in {linux.S_IFREG, 0}:
        calls.close(make_entry(calls, dir, name, LOOK, Options.NON_DIRECTORY_FILE)[0])
    elif kind in _NODES:
        _make(calls, dir, name, _NODES[kind], b"")
    else:
        raise Refused(Errno.EPERM, "Windows has no devices to make")


def _make(calls: NtCalls, dir: Handle, name: bytes, tag: Tag, data: bytes) -> None:
    """Shares nothing until it is done: the empty file that it is for a moment cannot be opened."""
    opened, _ = make_entry(calls, dir, name, _MAKE, Options.NON_DIRECTORY_FILE, share=0)
    with closing(calls, opened) as handle:
        try:
            calls.control(handle, Control.SET_REPARSE_POINT, info.reparse(tag, data), 0)
        except NtError:
            discard(calls, handle)
            raise
