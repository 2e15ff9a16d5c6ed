"""The suite itself: drivers that declare missing features pass, drivers with wrong capabilities
fail.
"""

from collections.abc import Iterator
from textwrap import dedent

import pytest

from ninep.drivers.memory import MemoryDriver
from ninep.layers.base import Wrapper
from ninep.layers.read_only import read_only
from ninep.node import Node, User
from ninep.testing.suite import DriverSuite, ReadOnlySuite, populate

pytest_plugins = ["pytester"]


class TestLayers(DriverSuite):
    """A wrapper without policy changes nothing."""

    @pytest.fixture
    def root(self) -> Iterator[Node]:
        node = Wrapper(MemoryDriver().attach(User()), "thin")
        yield node
        node.release()


class TestReadOnlyLayer(ReadOnlySuite):
    @pytest.fixture
    def root(self) -> Iterator[Node]:
        node = MemoryDriver().attach(User())
        populate(node)
        yield read_only(node, User())
        node.release()


POOR = """
    import pytest
    from ninep.drivers.memory import MemoryDriver
    from ninep.errors import Refused
    from ninep.layers.base import Wrapper
    from ninep.linux import S_IFMT, S_IFREG, Errno
    from ninep.node import User
    from ninep.testing.suite import Capabilities, DriverSuite

    def _refuse(*args, **named):
        raise Refused(Errno.EOPNOTSUPP)

    class Poor(Wrapper):
        symlink = link = setxattr = getxattr = removexattr = _refuse

        def listxattr(self):
            return ()

        def mknod(self, name, mode, rdev, uid, gid):
            if mode & S_IFMT != S_IFREG:
                raise Refused(Errno.EPERM)
            return super().mknod(name, mode, rdev, uid, gid)

        def setattr(self, changes):
            if (changes.uid, changes.gid) != (None, None):
                raise Refused(Errno.EPERM)
            super().setattr(changes)

        def getattr(self, mask):
            a = super().getattr(mask)
            return a._replace(uid=0, gid=0, mode=a.mode & S_IFMT | 0o755)

    class TestPoor(DriverSuite):
        capabilities = Capabilities(
            symlinks=False, hard_links=False, fifos=False, devices=False, xattrs=False, acls=False, owners="refused", modes=False,
            root_keeps_setid=False,
        )

        @pytest.fixture
        def root(self):
            node = Poor(MemoryDriver().attach(User()), "poor")
            yield node
            node.release()
"""


def test_a_driver_that_declares_missing_features_passes(pytester: pytest.Pytester) -> None:
    """Regular files and folders of one owner, as on hosts that have nothing more."""
    pytester.makepyfile(dedent(POOR))
    outcome = pytester.runpytest_inprocess("-q", "-p", "no:cacheprovider").parseoutcomes()
    assert outcome["passed"] > 200
    assert outcome.keys() == {"passed", "skipped"}


LIAR = """
    import pytest
    from ninep.drivers.memory import MemoryDriver
    from ninep.layers.base import Wrapper
    from ninep.node import User
    from ninep.testing.suite import Capabilities, DriverSuite

    class Liar(Wrapper):
        {body}

    class TestLiar(DriverSuite):
        capabilities = Capabilities({capabilities})

        @pytest.fixture
        def root(self):
            node = Liar(MemoryDriver().attach(User()), "liar")
            yield node
            node.release()
"""


@pytest.mark.parametrize(
    ("body", "capabilities", "part"),
    [
        ("def walk(self, name): return self.wrap(self.inner.walk(name.lower()))", "", "OddNames"),
        ("def setattr(self, changes): pass", "", "Order"),
        ("def fsync(self): raise ZeroDivisionError", "", "ReadWrite"),
        ("def parent(self): return self.clone()", "", "Parent"),
        ("def rename(self, name, newdir, newname): self.inner.rename(name, self.unwrap(newdir), name)", "", "Rename"),
        ("pass", "symlinks=False", "Symlink"),
        ("pass", "devices=False", "Special"),
        ("pass", "xattrs=False", "Xattr"),
        ("pass", "owners='refused'", "Owner"),
        ("pass", "hard_links=False", "HardLink"),
    ],
)
def test_a_driver_with_wrong_capabilities_fails(
    pytester: pytest.Pytester, body: str, capabilities: str, part: str
) -> None:
    pytester.makepyfile(dedent(LIAR).format(body=body, capabilities=capabilities))
    result = pytester.runpytest_inprocess("-q", "-p", "no:randomly", "-p", "no:cacheprovider", "-k", part)
    outcome = result.parseoutcomes()
    assert "deselected" in outcome  # it was collected
    assert outcome.get("failed", 0) + outcome.get("errors", 0) > 0


def test_the_message_of_a_suite_without_a_root(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("from ninep.testing.suite import DriverSuite\nclass TestNothing(DriverSuite): pass")
    result = pytester.runpytest_inprocess("-q", "-p", "no:cacheprovider", "-k", "test_two_walks")
    result.stdout.fnmatch_lines(["*needs a fixture `root`*"])
