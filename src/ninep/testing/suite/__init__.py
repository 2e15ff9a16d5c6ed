"""The public acceptance suite for drivers: tests of what ``node.py`` specifies.

    from ninep.testing.suite import Capabilities, DriverSuite

    class TestMyDriver(DriverSuite):
        capabilities = Capabilities(devices=False, hard_links=False)

        @pytest.fixture
        def root(self):
            node = MyDriver().attach(User())
            yield node
            node.release()

The fixture yields the root of an **empty** writable tree that no other test uses. ``capabilities``
states the features that the driver lacks; the suite tests that it refuses them. ``ReadOnlySuite``
is for drivers that change nothing, on a tree made by ``populate``.
"""

from __future__ import annotations

import pytest

_PARTS = "attributes directories files flags life links moves names qids random_operations ranges read_only tree xattrs"
pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in _PARTS.split()))

from ninep.testing.suite.attributes import (  # noqa: E402 - after register_assert_rewrite
    GetattrTests,
    ModeTests,
    OrderTests,
    OwnerTests,
    PrivilegeTests,
    RootPrivilegeTests,
    TimeTests,
)
from ninep.testing.suite.capabilities import Capabilities  # noqa: E402
from ninep.testing.suite.case import Suite  # noqa: E402
from ninep.testing.suite.directories import ListingTests, MkdirTests, StabilityTests  # noqa: E402
from ninep.testing.suite.files import CreateTests, DeletedFileTests, OpenTests, ReadWriteTests  # noqa: E402
from ninep.testing.suite.flags import RenameFlagTests, UnnamedTests  # noqa: E402
from ninep.testing.suite.life import LifeTests, ParentTests  # noqa: E402
from ninep.testing.suite.links import HardLinkTests, SpecialTests, SymlinkTests  # noqa: E402
from ninep.testing.suite.moves import RemoveMoveTests, RenameTests, UnlinkTests  # noqa: E402
from ninep.testing.suite.names import OddNameTests, WalkTests  # noqa: E402
from ninep.testing.suite.qids import QidTests  # noqa: E402
from ninep.testing.suite.random_operations import RandomOperationTests  # noqa: E402
from ninep.testing.suite.ranges import AllocateTests, CopyTests, SeekTests  # noqa: E402
from ninep.testing.suite.read_only import ReadOnlySuite, populate  # noqa: E402
from ninep.testing.suite.xattrs import AclTests, XattrTests  # noqa: E402

__all__ = ["Capabilities", "DriverSuite", "ReadOnlySuite", "populate"]


class DriverSuite(Suite):
    """All tests. Subclass it under a name that begins with ``Test``, and define a fixture
    ``root``.
    """

    TestLife = LifeTests
    TestParent = ParentTests
    TestWalk = WalkTests
    TestOddNames = OddNameTests
    TestCreate = CreateTests
    TestOpen = OpenTests
    TestReadWrite = ReadWriteTests
    TestDeletedFile = DeletedFileTests
    TestAllocate = AllocateTests
    TestSeek = SeekTests
    TestCopy = CopyTests
    TestUnnamed = UnnamedTests
    TestMkdir = MkdirTests
    TestListing = ListingTests
    TestStability = StabilityTests
    TestUnlink = UnlinkTests
    TestRename = RenameTests
    TestRenameFlag = RenameFlagTests
    TestRemoveMove = RemoveMoveTests
    TestSymlink = SymlinkTests
    TestHardLink = HardLinkTests
    TestSpecial = SpecialTests
    TestGetattr = GetattrTests
    TestMode = ModeTests
    TestOwner = OwnerTests
    TestTime = TimeTests
    TestOrder = OrderTests
    TestPrivilege = PrivilegeTests
    TestRootPrivilege = RootPrivilegeTests
    TestQid = QidTests
    TestXattr = XattrTests
    TestAcl = AclTests
    TestRandomOperations = RandomOperationTests
