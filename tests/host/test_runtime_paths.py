"""Where sockets of running servers are, by the environment."""

import pytest

from ninep.host.runtime_paths import runtime_folder, runtime_folders


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({}, None),
        ({"XDG_RUNTIME_DIR": "/run/user/1000"}, "/run/user/1000/ninep"),
        ({"RUNTIME_DIRECTORY": "/run/ninep"}, "/run/ninep"),
        ({"RUNTIME_DIRECTORY": "/run/a:/run/b", "XDG_RUNTIME_DIR": "/run/user/0"}, "/run/a"),
        ({"RUNTIME_DIRECTORY": "relative", "XDG_RUNTIME_DIR": "relative"}, None),
    ],
)
def test_where_this_user_would_have_one(environ: dict[str, str], folder: str | None) -> None:
    assert runtime_folder(environ) == folder


def test_where_to_look() -> None:
    environ = {"XDG_RUNTIME_DIR": "/run/user/1000"}
    assert runtime_folders("linux", environ) == ["/run/user/1000/ninep", "/run/ninep"]
    assert runtime_folders("linux", {"RUNTIME_DIRECTORY": "/run/ninep"}) == ["/run/ninep"]
    assert runtime_folders("win32", {}) == []
