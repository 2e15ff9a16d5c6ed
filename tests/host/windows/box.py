"""A folder on some system: the host module on it, and another program beside it."""

import contextlib
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.host.windows.outside import Outside

from ninep.errors import linux_errno
from ninep.host import Handle, ObjectRef
from ninep.host.windows.api import NtCalls
from ninep.host.windows.host import NtHost
from ninep.linux import Errno
from ninep.testing.fake_nt import FakeNt
from ninep.testing.fake_nt_volume import Volume

FAKES: dict[str, Callable[[], Volume]] = {
    "ntfs": lambda: Volume(short_names=True),
    "refs": lambda: Volume(kind="ReFS", wide_ids=True),
    "by-name": lambda: Volume(remote=True, streams_by_handle=False),
    # A network share, or Windows before 10: no POSIX semantics, no opening by id.
    "share": lambda: Volume(remote=True, posix=False, by_id=False, streams_by_handle=False),
}


@dataclass
class Box:
    """A folder on some system: the host module on it, and another program beside it."""

    system: str
    host: NtHost
    root: Handle
    outside: Outside
    calls: NtCalls

    @property
    def fake(self) -> FakeNt:
        """The fake behind it."""
        assert isinstance(self.calls, FakeNt)
        return self.calls

    def place(self, name: bytes, dir: Handle | None = None) -> ObjectRef:
        """Pin an entry."""
        above = self.root if dir is None else dir
        return ObjectRef(self.host.open_path(above, name), above, name)

    def free(self, *places: ObjectRef) -> None:
        """Close pins."""
        for place in places:
            self.host.close(place.path_handle)


@contextlib.contextmanager
def fake_box(kind: str) -> Iterator[Box]:
    """A folder on a fake volume; nothing stays open, and nothing beside the folder changes."""
    fake = FakeNt({"C:": FAKES[kind]()})
    fake.volume.add("share")
    fake.volume.add("share-secret")
    fake.volume.add("share-secret\\canary", b"canary")
    host = NtHost(fake)
    root = host.open_root("C:\\share")
    host.volume(root)
    outside_root, _ = fake.create(0, "\\??\\C:\\share", 0x81, 0x4000)
    before = {path: seen for path, seen in fake.volume.picture().items() if path.startswith("\\share-secret")}
    yield Box(kind, host, root, Outside(fake, outside_root), fake)
    host.close(root)
    fake.close(outside_root)
    assert not fake.handles, "a handle was left open"
    after = {path: seen for path, seen in fake.volume.picture().items() if path.startswith("\\share-secret")}
    assert after == before, "something outside the folder changed"


@contextlib.contextmanager
def system_box(tmp_path: Path) -> Iterator[Box]:
    """A folder of the system."""
    from ninep.host.windows import system

    above = Path(os.environ.get("NINEP_WINDOWS_DIR") or tmp_path)
    folder = above / f"share-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    host = NtHost(system._host._calls)
    root = host.open_root(str(folder))
    host.volume(root)
    outside_root, _ = host._calls.create(0, host._calls.dos_path(str(folder)), 0x81, 0x4000, object_attributes=0x40)
    yield Box("system", host, root, Outside(host._calls, outside_root), host._calls)
    host.close(root)
    host._calls.close(outside_root)


@contextlib.contextmanager
def refused(code: Errno) -> Iterator[None]:
    """The block fails with this Linux errno."""
    with pytest.raises(OSError) as failure:  # noqa: PT011 - the code below says which
        yield
    assert linux_errno(failure.value) == code, failure.value
