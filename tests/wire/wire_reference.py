"""A second, slow encoder, written from the manual pages' own notation and from nothing of
``ninep.wire``.

``name[4]`` is a number of so many bytes, ``name[s]`` a string, ``n*name[s]`` and ``n*name[13]`` a
counted list, ``data[count[4]]`` a payload, ``stat[n]`` a stat record behind its length. What stands
after ``+`` travels in 9P2000.u and 9P2000.L only. Sources: intro(5); protocol(5) of 9P2000.u;
diod's protocol.md for 9P2000.L (fields and their order, checked against the kernel's format strings
in net/9p/client.c).
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

LAYOUTS = """
7 Rlerror ecode[4]
8 Tstatfs fid[4]
9 Rstatfs type[4] bsize[4] blocks[8] bfree[8] bavail[8] files[8] ffree[8] fsid[8] namelen[4]
12 Tlopen fid[4] flags[4]
13 Rlopen qid[13] iounit[4]
14 Tlcreate fid[4] name[s] flags[4] mode[4] gid[4]
15 Rlcreate qid[13] iounit[4]
16 Tsymlink dfid[4] name[s] target[s] gid[4]
17 Rsymlink qid[13]
18 Tmknod dfid[4] name[s] mode[4] major[4] minor[4] gid[4]
19 Rmknod qid[13]
20 Trename fid[4] dfid[4] name[s]
21 Rrename
22 Treadlink fid[4]
23 Rreadlink target[s]
24 Tgetattr fid[4] mask[8]
25 Rgetattr valid[8] qid[13] mode[4] uid[4] gid[4] nlink[8] rdev[8] size[8] blksize[8] blocks[8] atime_sec[-8] atime_nsec[8] \
mtime_sec[-8] mtime_nsec[8] ctime_sec[-8] ctime_nsec[8] btime_sec[-8] btime_nsec[8] gen[8] data_version[8]
26 Tsetattr fid[4] valid[4] mode[4] uid[4] gid[4] size[8] atime_sec[-8] atime_nsec[8] mtime_sec[-8] mtime_nsec[8]
27 Rsetattr
30 Txattrwalk fid[4] newfid[4] name[s]
31 Rxattrwalk size[8]
32 Txattrcreate fid[4] name[s] size[8] flags[4]
33 Rxattrcreate
40 Treaddir fid[4] offset[8] count[4]
41 Rreaddir data[count[4]]
50 Tfsync fid[4] datasync[4]
51 Rfsync
52 Tlock fid[4] type[1] flags[4] start[8] length[8] proc_id[4] client_id[s]
53 Rlock status[1]
54 Tgetlock fid[4] type[1] start[8] length[8] proc_id[4] client_id[s]
55 Rgetlock type[1] start[8] length[8] proc_id[4] client_id[s]
70 Tlink dfid[4] fid[4] name[s]
71 Rlink
72 Tmkdir dfid[4] name[s] mode[4] gid[4]
73 Rmkdir qid[13]
74 Trenameat olddirfid[4] oldname[s] newdirfid[4] newname[s]
75 Rrenameat
76 Tunlinkat dirfid[4] name[s] flags[4]
77 Runlinkat
100 Tversion msize[4] version[s]
101 Rversion msize[4] version[s]
102 Tauth afid[4] uname[s] aname[s] + n_uname[4]
103 Rauth aqid[13]
104 Tattach fid[4] afid[4] uname[s] aname[s] + n_uname[4]
105 Rattach qid[13]
107 Rerror ename[s] + errno[4]
108 Tflush oldtag[2]
109 Rflush
110 Twalk fid[4] newfid[4] n*wnames[s]
111 Rwalk n*qids[13]
112 Topen fid[4] mode[1]
113 Ropen qid[13] iounit[4]
114 Tcreate fid[4] name[s] perm[4] mode[1] + extension[s]
115 Rcreate qid[13] iounit[4]
116 Tread fid[4] offset[8] count[4]
117 Rread data[count[4]]
118 Twrite fid[4] offset[8] data[count[4]]
119 Rwrite count[4]
120 Tclunk fid[4]
121 Rclunk
122 Tremove fid[4]
123 Rremove
124 Tstat fid[4]
125 Rstat stat[n]
126 Twstat fid[4] stat[n]
127 Rwstat
"""
STAT = (
    "type[2] dev[4] qid[13] mode[4] atime[4] mtime[4] length[8] name[s] uid[s] gid[s] muid[s]"
    " + extension[s] n_uid[4] n_gid[4] n_muid[4]"
)


@cache
def fields_of(layout: str, extended: bool) -> list[tuple[str, str]]:
    common, _, more = layout.partition("+")
    text = f"{common} {more}" if extended else common
    return re.findall(r"(\S*?)\[(count\[4\]|[-\w]+)\](?:\s|$)", text)


LAYOUT = {int(line.split()[0]): line.split(None, 2)[1:] for line in LAYOUTS.strip().splitlines()}


def names_of(number: int, extended: bool) -> list[str]:
    """The fields of a message as they travel."""
    return [name.removeprefix("n*") for name, _ in fields_of("".join(LAYOUT[number][1:]), extended)]


def _field(kind: str, value: Any) -> bytes:
    match kind:
        case "s":
            return len(value).to_bytes(2, "little") + value
        case "13":
            return _field("1", value[0]) + _field("4", value[1]) + _field("8", value[2])
        case "count[4]":
            return len(value).to_bytes(4, "little") + bytes(value)
        case "-8":
            return value.to_bytes(8, "little", signed=True)
    return value.to_bytes(int(kind), "little")


def stat_record(stat: Any, extended: bool) -> bytes:
    """A stat record with its own size[2]."""
    record = b"".join(_field(kind, getattr(stat, name)) for name, kind in fields_of(STAT, extended))
    return len(record).to_bytes(2, "little") + record


def _value(message: Any, name: str) -> Any:
    """A field of a message; those of Rgetattr and Rstatfs stand in a record."""
    for record in ("attributes", "statfs"):
        if hasattr(message, record):
            inner = getattr(message, record)
            if name == "qid":
                return (inner.qid_type, inner.qid_version, inner.qid_path)
            return getattr(inner, name)
    return getattr(message, name)


def frame(number: int, tag: int, message: Any, extended: bool) -> bytes:
    """The bytes of a message."""
    body = b""
    for name, kind in fields_of("".join(LAYOUT[number][1:]), extended):
        if name.startswith("n*"):
            items = _value(message, name[2:])
            body += len(items).to_bytes(2, "little") + b"".join(_field(kind, item) for item in items)
        elif kind == "n":
            record = stat_record(_value(message, name), extended)
            body += len(record).to_bytes(2, "little") + record
        else:
            body += _field(kind, _value(message, name))
    return (7 + len(body)).to_bytes(4, "little") + number.to_bytes(1, "little") + tag.to_bytes(2, "little") + body
