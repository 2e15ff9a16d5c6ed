"""What every test of a whole local driver asks at its end."""

from __future__ import annotations

from ninep.drivers.local import LocalDriver, LocalNode


def end(driver: LocalDriver, root: LocalNode) -> None:
    """Close a driver whose test is over: all nodes and references must have been given back."""
    root.release()
    assert root.children in (None, {}), "a node was not released"
    assert root.refs == 1, "a reference was not given back"
    driver.close()
