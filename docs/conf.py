"""The documentation site: `python -m sphinx -W -b html docs docs/_build/html` (extra `docs`).

The pages link to each other and to files of the repository as GitHub shows them; ``ELSEWHERE`` says which page of the site stands for such a file.
The tables of the reference are written from the rows of the program (``_write``), never by hand.
"""

from __future__ import annotations

from dataclasses import fields
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from ninep.server.limits import Limits

project = "ninep"
author = "The ninep maintainers"
project_copyright = "the ninep maintainers"
release = version = version_of("ninep")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "_made"]
html_theme = "furo"
html_title = f"ninep {release}"

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": False, "show-inheritance": True}
autodoc_preserve_defaults = True

ELSEWHERE = {
    "](../SECURITY.md": "](security-policy.md",
    "](../CHANGELOG.md": "](changelog.md",
    "](../README.md": "](readme.md",
    "](../CONTRIBUTING.md": "](contributing.md",
    "](../src/ninep/node.py": "](api.md",
    "](src/ninep/node.py": "](api.md",
    # of the README itself
    "](SECURITY.md": "](security-policy.md",
    "](CHANGELOG.md": "](changelog.md",
    "](CONTRIBUTING.md": "](contributing.md",
    "](LICENSE": "](https://www.apache.org/licenses/LICENSE-2.0",
    "](docs/": "](",
}
HERE = Path(__file__).parent
MADE = HERE / "_made"


def _translated(text: str) -> str:
    for there, here in ELSEWHERE.items():
        text = text.replace(there, here)
    return text


def _resolve(_app: Any, _name: str, source: list[str]) -> None:
    source[0] = _translated(source[0])


def _write(_app: Any) -> None:
    """The pages' included parts that are made from others: the limits as a table, the pages at the top of the
    repository with the site's links.
    """
    MADE.mkdir(exist_ok=True)
    for page in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"):
        text = _translated((HERE.parent / page).read_text(encoding="utf-8"))
        (MADE / page.lower()).write_text(text, encoding="utf-8")
    rows = [
        f"| `{f.name}` | {f.default:g} | {f.metadata['meaning']} | {f.metadata['beyond']} |"
        if isinstance(f.default, float)
        else f"| `{f.name}` | {f.default:,} | {f.metadata['meaning']} | {f.metadata['beyond']} |"
        for f in fields(Limits)
    ]
    head = ["| limit | default | what is counted | beyond it |", "|---|--:|---|---|"]
    (MADE / "limits.md").write_text("\n".join([*head, *rows]) + "\n", encoding="utf-8")


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("builder-inited", _write)
    app.connect("source-read", _resolve)
