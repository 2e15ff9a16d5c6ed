"""A source folder that the host and a guest work in by turns, as ``ninep serve DIR`` shares it: git
finds nothing changed that nobody changed, and programs, links and trees of packages made by one
work for the other.

The server is an ordinary user's, the guest's user is root: what people do.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.guest.machine import Machine, Mount
from tests.serving import ORDINARY_USER, Server, keeps_user_attributes, may_become_another_user

pytestmark = [pytest.mark.guest, pytest.mark.slow, pytest.mark.timeout(900)]

SETTINGS = (
    "safe.directory=*",
    "user.name=ann",
    "user.email=ann@example.org",
    "core.editor=true",
    "advice.detachedHead=false",
)
"""The guest sees other owners than the host, which git distrusts unless told not to."""
GIT = " ".join(["git", *(f"-c '{setting}'" for setting in SETTINGS)])
SCRIPT = "#!/bin/sh\necho this is $(basename $0)\n"


class HostSide:
    """The host's user at work in the folder."""

    def __init__(self, folder: Path, user: int | None) -> None:
        self.folder = folder
        self._user = user

    def run(self, command: str) -> str:
        done = subprocess.run(
            ["/bin/sh", "-ec", command],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            user=self._user,
            group=self._user,
            extra_groups=None if self._user is None else [],
            umask=0o022,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "GIT_CONFIG_NOSYSTEM": "1"},
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
def host(export: Path) -> HostSide:
    if shutil.which("git") is None:
        pytest.skip("git is not installed here")
    if not keeps_user_attributes(export):
        pytest.skip("the filesystem keeps no user attributes")
    user = ORDINARY_USER if may_become_another_user() else None
    if user is not None:
        os.chown(export, user, user)
    return HostSide(export, user)


@pytest.fixture
def shared(guest: Machine, export: Path, host: HostSide, serve: Callable[..., Server]) -> Callable[[str], str]:
    """`shared(command)`: run it in the folder, in the guest."""
    server = serve(export, user=ORDINARY_USER if may_become_another_user() else None)
    assert "(mapped-owner)" in server.said()
    mounted = guest.served(server.port, Mount())
    folder = mounted.__enter__()[0]

    def run(command: str) -> str:
        return guest.run(f"set -e; umask 022; cd {folder}; {command}", limit=300).check().output

    yield run
    mounted.__exit__(None, None, None)


CLEAN = f"{GIT} status --porcelain"


def test_git_on_both_sides(shared: Callable[[str], str], host: HostSide, export: Path) -> None:
    host.run(f"{GIT} init -q -b main")
    host.run(
        f"printf '{SCRIPT}' >build.sh; chmod 755 build.sh; mkdir lib; echo one >lib/one; ln -s lib/one current; ln -s lib way; ln -s nowhere dangling"
    )
    host.run(f"{GIT} add -A; {GIT} commit -qm 'by the host'")
    assert shared(CLEAN) == host.run(CLEAN) == ""
    assert shared("./build.sh; cat current way/one; readlink dangling") == "this is build.sh\none\none\nnowhere\n"

    # A branch made in the guest, in which every kind of change is.
    shared(
        f"{GIT} checkout -qb guest; printf '{SCRIPT}' >test.sh; chmod +x test.sh; chmod -x build.sh; echo two >lib/two; chmod 444 lib/two"
    )
    shared(
        f"ln -sf lib/two current; rm way; echo plain >way; ln -s test.sh check; {GIT} add -A; {GIT} commit -qm 'by the guest'"
    )
    assert shared(CLEAN) == host.run(CLEAN) == ""
    modes = {name: stat.S_IMODE((export / name).stat().st_mode) for name in ("build.sh", "test.sh", "way", "lib")}
    assert modes == {"build.sh": 0o644, "test.sh": 0o755, "way": 0o644, "lib": 0o755}
    assert (os.readlink(export / "current"), os.readlink(export / "check")) == ("lib/two", "test.sh")
    assert host.run("./check") == "this is check\n"

    # Checkouts on either side, back and forth.
    for here, there in ((shared, host.run), (host.run, shared)):
        here(f"{GIT} checkout -q main")
        assert there(CLEAN) == here(CLEAN) == ""
        assert there("./build.sh; readlink current; readlink way") == "this is build.sh\nlib/one\nlib\n"
        there(f"{GIT} checkout -q guest")
        assert here(CLEAN) == there(CLEAN) == ""
        assert here("./test.sh; cat current way") == "this is test.sh\ntwo\nplain\n"

    # What the host changes is seen, and what the guest commits the host takes.
    host.run("chmod +x build.sh; echo more >>lib/one")
    assert shared(f"{GIT} status --porcelain") == " M build.sh\n M lib/one\n"
    shared(f"{GIT} commit -qam 'both'; {GIT} gc -q; {GIT} fsck --strict")
    assert host.run(f"{CLEAN}; {GIT} fsck --strict; {GIT} log --format=%s") == "both\nby the guest\nby the host\n"


TREE = """
store() { mkdir -p node_modules/.store/$1/bin; printf '#!/bin/sh\\necho %s $0\\n' $1 >node_modules/.store/$1/bin/run;
          chmod 755 node_modules/.store/$1/bin/run; echo "{}" >node_modules/.store/$1/package.json; }
mkdir -p node_modules/.bin node_modules/@scope cache
for name in a b c; do
    store $name
    ln -s .store/$name node_modules/$name
    ln -s ../$name/bin/run node_modules/.bin/$name
    ln node_modules/.store/$name/package.json cache/$name.json
done
ln -s ../.store/a node_modules/@scope/a
mkdir node_modules/.store/a/node_modules
ln -s ../../b node_modules/.store/a/node_modules/b
ln -s ../../.. node_modules/.store/a/node_modules/top
chmod 555 node_modules/.store/c
chmod 444 node_modules/.store/c/package.json
"""
LOOK = """
for name in a b c; do node_modules/.bin/$name; done
cat node_modules/a/node_modules/b/package.json
find . -type l | LC_ALL=C sort | while read link; do echo "$link -> $(readlink $link)"; test -e $link; done
find . -type f -perm -100 | LC_ALL=C sort
find . -type f -links 2 | LC_ALL=C sort
"""


@pytest.mark.parametrize("maker", ["guest", "host"])
def test_trees_of_packages(shared: Callable[[str], str], host: HostSide, export: Path, maker: str) -> None:
    """Links to links, links to programs, hard links into a cache, read-only folders: what npm, pnpm
    and yarn install.
    """
    make, other = (shared, host.run) if maker == "guest" else (host.run, shared)
    make(TREE)
    made = make(LOOK)
    assert "node_modules/.bin/a\n" in made
    assert made.count(" -> ") == 9
    assert made.count(".json\n") == 6
    assert other(LOOK) == made
    other("mv node_modules moved; cp -a moved node_modules; chmod -R u+w moved; rm -r moved")
    assert other(LOOK) == make(LOOK)
    make("chmod -R u+w node_modules; rm -r node_modules cache")
    assert sorted(os.listdir(export)) == []
