"""Windows: a file that is not on this computer is fetched while other clients are answered, and its
reader alone waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from tests.threats.lab import Attacker
from tests.threats.windows import WindowsLab

from ninep.linux import GETATTR_BASIC
from ninep.wire import messages as m

ROOT, FAR = 0, 9
CONTENTS = b"contents in the cloud"
LIMIT = 60.0
VERBS: dict[str, Callable[[Attacker], object]] = {
    "read": lambda client: client.read(FAR),
    "write": lambda client: client.rpc(m.Twrite(FAR, 0, b"C")),
    "truncate": lambda client: client.rpc(m.Tsetattr(FAR, 8, 0, 0, 0, 4, 0, 0, 0, 0)),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("tagged", ["folder", "file"])
def test_fetching_stops_no_other_client(monkeypatch: pytest.MonkeyPatch, verb: str, tagged: str) -> None:
    """In a folder whose own tag says that it is the cloud's, and in one that holds such a file."""
    with WindowsLab(monkeypatch, "ntfs", "mapped-xattr") as lab:
        lab.volume.add_placeholder("share\\far", CONTENTS)
        if tagged == "folder":
            lab.volume.add("share\\cloud", None, reparse=(0x9000701A, b"\1"))
            lab.volume.move("share\\far", "share\\cloud\\far")
        entered, go = threading.Event(), threading.Event()

        def fetch(call: str) -> None:
            if call == "fetch":
                entered.set()
                assert go.wait(LIMIT)

        lab.nt.before = fetch
        reader, other = lab.client(), lab.client()
        reader.walk(ROOT, FAR, *([b"cloud"] if tagged == "folder" else []), b"far")
        assert reader.rpc(m.Tgetattr(FAR, GETATTR_BASIC)).attributes.size == len(CONTENTS)
        reader.rpc(m.Tlopen(FAR, 2))
        assert not entered.is_set()
        asking = threading.Thread(target=VERBS[verb], args=(reader,))
        asking.start()
        assert entered.wait(LIMIT)
        assert other.rpc(m.Tgetattr(ROOT, GETATTR_BASIC)).attributes.nlink
        assert asking.is_alive()
        go.set()
        asking.join(LIMIT)
        assert not asking.is_alive()
        other.walk(ROOT, FAR, *([b"cloud"] if tagged == "folder" else []), b"far")
        other.rpc(m.Tlopen(FAR, 0))
        expected = {"read": CONTENTS, "write": b"C" + CONTENTS[1:], "truncate": CONTENTS[:4]}
        assert other.read(FAR) == expected[verb]
        lab.nt.before = None
