"""Where each system keeps configuration files."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ninep.host.config_paths import config_paths


@pytest.mark.parametrize(
    ("system", "environ", "expected"),
    [
        ("linux", {"HOME": "/home/me"}, ["/home/me/.config/ninep/ninep.toml", "/etc/ninep/ninep.toml"]),
        (
            "linux",
            {"HOME": "/home/me", "XDG_CONFIG_HOME": "/x"},
            ["/x/ninep/ninep.toml", "/etc/ninep/ninep.toml"],
        ),
        (
            "freebsd14",
            {"HOME": "/home/me", "XDG_CONFIG_HOME": "relative"},
            ["/home/me/.config/ninep/ninep.toml", "/etc/ninep/ninep.toml"],
        ),
        (
            "darwin",
            {"HOME": "/Users/me", "XDG_CONFIG_HOME": "/x"},
            ["/Users/me/Library/Application Support/ninep/ninep.toml", "/etc/ninep/ninep.toml"],
        ),
        (
            "win32",
            {"APPDATA": r"C:\Users\me\AppData\Roaming", "PROGRAMDATA": r"C:\ProgramData"},
            [r"C:\Users\me\AppData\Roaming\ninep\ninep.toml", r"C:\ProgramData\ninep\ninep.toml"],
        ),
        ("win32", {"PROGRAMDATA": r"C:\ProgramData"}, [r"C:\ProgramData\ninep\ninep.toml"]),
    ],
)
def test_the_users_file_comes_before_that_of_the_machine(
    system: str, environ: Mapping[str, str], expected: list[str]
) -> None:
    assert config_paths(system, environ) == expected
