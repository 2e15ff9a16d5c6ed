"""Linux: what is known of filesystems by their kind (statfs(2), f_type; include/uapi/linux/magic.h
and the filesystems' own headers).
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Kind(NamedTuple):
    """One kind of filesystem."""

    name: str
    slow: bool = False
    pseudo: bool = False
    ctime: bool = True


_ON_DISK: Final = {
    0xEF53: "ext4",
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0xF2F52010: "f2fs",
    0x2FC12FC1: "zfs",
    0xCA451A4E: "bcachefs",
    0x3434: "nilfs2",
    0x3153464A: "jfs",
    0x52654973: "reiserfs",
    0x01021994: "tmpfs",
    0x858458F6: "ramfs",
    0x958458F6: "hugetlbfs",
    0x794C7630: "overlayfs",
    0xF15F: "ecryptfs",
    0x7366746E: "ntfs3",
    0x9660: "iso9660",
    0x15013346: "udf",
    0x73717368: "squashfs",
    0xE0F5E1E2: "erofs",
    0x28CD3D45: "cramfs",
}
_WITHOUT_CTIME: Final = {0x4D44: "vfat", 0x2011BAB0: "exfat", 0x482B: "hfsplus", 0x4244: "hfs"}
"""A change of attributes does not move ctime, or not by more than the last one did: it is the time
of the last write (fs/fat/misc.c, fat_truncate_time; fs/exfat/misc.c)."""
_SLOW: Final = {
    0x6969: "nfs",
    0x517B: "smb",
    0xFF534D42: "cifs",
    0xFE534D42: "smb2",
    0x65735546: "fuse",
    0x0187: "autofs",
    0x01021997: "9p",
    0x00C36400: "ceph",
    0x5346414F: "afs",
    0x6B414653: "kafs",
    0x73757245: "coda",
    0x564C: "ncpfs",
    0x47504653: "gpfs",
    0x0BD00BD0: "lustre",
    0x19830326: "beegfs",
    0xAAD7AAEA: "panfs",
    0x20030528: "orangefs",
    0x01161970: "gfs2",
    0x7461636F: "ocfs2",
    0x786F4256: "vboxsf",
    0xBACBACBC: "vmhgfs",
    0x7C7C6673: "prl_fs",
}
_CLUSTERS: Final = frozenset({"nfs", "ceph", "lustre", "gpfs", "gfs2", "ocfs2", "beegfs", "panfs", "orangefs"})
"""Those of the slow ones whose ctime is the real one. FUSE shows what its program says, SMB what
its server has.
"""
_PSEUDO: Final = {
    0x9FA0: "procfs",
    0x62656572: "sysfs",
    0x64626720: "debugfs",
    0x74726163: "tracefs",
    0x27E0EB: "cgroup",
    0x63677270: "cgroup2",
    0x62656570: "configfs",
    0x73636673: "securityfs",
    0xF97CFF8C: "selinuxfs",
    0x43415D53: "smackfs",
    0x5A3C69F0: "apparmorfs",
    0x1CD1: "devpts",
    0x19800202: "mqueue",
    0xCAFE4A11: "bpf",
    0xDE5E81E4: "efivarfs",
    0x6165676C: "pstore",
    0x6E736673: "nsfs",
    0x50494446: "pidfs",
    0x50495045: "pipefs",
    0x534F434B: "sockfs",
    0x09041934: "anon_inodefs",
    0x42494E4D: "binfmt_misc",
    0x65735543: "fusectl",
    0x67596969: "rpc_pipefs",
    0x6E667364: "nfsd",
    0x07655821: "resctrl",
    0x6C6F6F70: "binderfs",
    0xABBA1974: "xenfs",
    0x9FA1: "openpromfs",
    0x9FA2: "usbdevfs",
    0xAEE71EE7: "gadgetfs",
    0x0A647361: "functionfs",
    0x23C9B64E: "spufs",
    0x687A73FD: "s390_hypfs",
    0x013661: "ibmasmfs",
}
"""What the kernel shows and takes in the form of files: secrets of other processes, reads that
wait, writes that reboot.
"""

KINDS: Final[dict[int, Kind]] = {
    **{number: Kind(name) for number, name in _ON_DISK.items()},
    **{number: Kind(name, ctime=False) for number, name in _WITHOUT_CTIME.items()},
    **{number: Kind(name, slow=True, ctime=name in _CLUSTERS) for number, name in _SLOW.items()},
    **{number: Kind(name, pseudo=True, ctime=False) for number, name in _PSEUDO.items()},
}
WITHOUT_OWNERS: Final = frozenset({"vfat", "exfat", "iso9660", "vboxsf"})


def kind_of(number: int) -> Kind:
    """What is known of a filesystem; of one that is in no table here, that it is an
    ordinary one.
    """
    return KINDS.get(number) or Kind(f"0x{number:x}")
