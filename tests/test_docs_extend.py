"""The page on extensions: its examples run, and are rows that the registries take."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Any

import pytest

from ninep.drivers import DriverType
from ninep.layers import LayerType
from ninep.node import User
from ninep.security import ModelType
from ninep.transport import TransportType

PAGE = (Path(__file__).parent.parent / "docs" / "extend.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def example(word: str) -> Any:
    """What the block that makes ``word`` makes, by name."""
    return run(next(block for block in BLOCKS if f"\n{word} = " in block))


def run(block: str) -> Any:
    """Run an example, without the future imports of this module."""
    names: dict[str, Any] = {"__name__": __name__}
    exec(compile(block, "extend.md", "exec", dont_inherit=True), names)
    return names


def test_a_driver() -> None:
    made = example("DRIVER")
    assert isinstance(made["DRIVER"], DriverType)
    driver = made["DRIVER"].open("year", made["ClockOptions"](time_format="%Y"), None)
    assert driver.attach(User()).walk(b"year").open(0).read(0, 9).isdigit()


def test_a_security_model() -> None:
    made = example("MODEL")
    assert isinstance(made["MODEL"], ModelType)
    assert made["MODEL"].make(made["MODEL"].options()).name == "local-only"


def test_a_layer() -> None:
    made = example("LAYER")
    assert isinstance(made["LAYER"], LayerType)
    clock = example("DRIVER")
    root = clock["DRIVER"].open("", clock["ClockOptions"](), None).attach(User())
    layer = made["make"](made["HideOptions"](hide=("now",)), None)
    with pytest.raises(OSError, match="ENOENT"):
        layer(root, User()).walk(b"now")
    assert made["make"](made["HideOptions"](), None) is None


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system's Python has no unix sockets")
def test_a_transport() -> None:
    made = example("TRANSPORT")
    transport = made["TRANSPORT"]
    assert isinstance(transport, TransportType)
    address = transport.parse("files")
    assert (str(address), transport.remote(address)) == ("abstract:files", False)


def test_options() -> None:
    (block,) = (block for block in BLOCKS if "ArchiveOptions" in block)
    run(block)
