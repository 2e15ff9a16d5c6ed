"""A rename that changes the case of a name only, while clients hold the file by both spellings."""

import pytest
from tests.host.windows.test_driver import FAKED, attached, close_path_handles_where_they_belong

from ninep.linux import GETATTR_BASIC
from ninep.node import Changes

__all__ = ["close_path_handles_where_they_belong"]


@pytest.mark.parametrize("kind", ["ntfs", "share"])
@pytest.mark.parametrize("model", ["none", "mapped-xattr", "mapped-file"])
@pytest.mark.parametrize("held", [False, True], ids=["", "both names held"])
@pytest.mark.parametrize("directory", [False, True], ids=["file", "dir"])
def test_the_entry_has_the_new_name(
    monkeypatch: pytest.MonkeyPatch, kind: str, model: str, held: bool, directory: bool
) -> None:
    for root in attached(monkeypatch, kind, model):
        if directory:
            root.mkdir(b"name", 0o750, 5, 6)
        else:
            root.mknod(b"name", 0o100640, 0, 5, 6)
        nodes = [root.walk(b"name"), root.walk(b"Name")] if held else [root.walk(b"name")]
        before = nodes[0].getattr(GETATTR_BASIC)
        root.rename(b"name", root, b"Name")
        links = FAKED[-1][0].volume.at("share").children.values()
        assert {link.name for link in links if link.name.lower() == "name"} == {"Name"}
        nodes.append(root.walk(b"Name"))
        for number, node in enumerate(nodes):
            found = node.getattr(GETATTR_BASIC)
            assert (found.mode, found.uid, found.qid_path) == (before.mode, before.uid, before.qid_path)
            node.setattr(Changes(atime=number, mtime=number))
            assert node.getattr(GETATTR_BASIC).mtime_sec == 0
            node.release()
