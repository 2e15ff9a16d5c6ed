"""The documentation site: `python -m sphinx -W -b html docs docs/_build/html` (extra `docs`).

The pages link to each other and to files of the repository as GitHub shows them; ``ELSEWHERE`` says
which page of the site stands for such a file. The tables of the reference are written from the rows
of the program (``_write``), never by hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import fields
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from ninep.app.config import MessageOptions, ServerConfig
from ninep.app.config_schema import file_schema
from ninep.app.exports import ExportOptions, export_rows, layer_types
from ninep.drivers import DRIVERS
from ninep.options import Row, rows, schema
from ninep.security import MODELS
from ninep.server.limits import Limits
from ninep.transport import TRANSPORTS

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
    """Write the included parts of pages: tables of limits and options, and the pages at the top of
    the repository with the site's links.
    """
    MADE.mkdir(exist_ok=True)
    for page in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"):
        text = _translated((HERE.parent / page).read_text(encoding="utf-8"))
        (MADE / page.lower()).write_text(text, encoding="utf-8")
    _write_lines("limits.md", _limits())
    _write_lines("options.md", _options())
    _write_lines("options.schema.json", [json.dumps(_schema(), indent=2)])
    _write_lines("ninep.schema.json", [json.dumps(file_schema(), indent=2)])


def _write_lines(name: str, lines: Iterable[str]) -> None:
    (MADE / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _limits() -> Iterator[str]:
    yield from ("| limit | default | what is counted | beyond it |", "|---|--:|---|---|")
    for limit in fields(Limits):
        default = f"{limit.default:g}" if isinstance(limit.default, float) else f"{limit.default:,}"
        yield f"| `{limit.name}` | {default} | {limit.metadata['meaning']} | {limit.metadata['beyond']} |"


def _options() -> Iterator[str]:
    """A section for each set of options, with a table."""
    yield from _section("Server", (*rows(ServerConfig), *rows(MessageOptions)))
    yield from _section("Every export", rows(ExportOptions))
    for name in DRIVERS:
        driver = DRIVERS.get(name)
        yield from _section(f"Driver `{name}:`", rows(driver.options), driver.help)
    for name in MODELS:
        model = MODELS.get(name)
        yield from _section(f"Security model `{name}`", rows(model.options), model.help)
    for name, layer in layer_types():
        yield from _section(f"Layer `{name}`", rows(layer.options))
    for row in map(TRANSPORTS.get, TRANSPORTS):
        if row.options is not None:
            yield from _section(f"Addresses `{row.form}`", rows(row.options), before=",")


def _section(title: str, known: Iterable[Row], introduction: str = "", before: str = "--") -> Iterator[str]:
    yield from (f"## {title}", "")
    if introduction:
        yield from (f"{introduction[0].upper()}{introduction[1:]}.", "")
    known = list(known)
    if not known:
        yield from ("No options.", "")
        return
    yield from ("| option | value | default | meaning |", "|---|---|---|---|")
    for row in known:
        short = f", `-{row.short}`" if row.short else ""
        words = "".join(f", `{word}`" for word in row.words)
        value = row.kind.metavar.replace("|", "\\|") or "flag"
        default = f"`{row.show(row.default)}`" if row.default not in (None, ()) else ""
        meaning = row.help.replace("|", "\\|")
        yield f"| `{before}{row.key}`{short}{words} | {value} | {default} | {meaning} |"
    yield ""


def _schema() -> dict[str, object]:
    """Tables of options as JSON schema: of a server, and of one export."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Options of ninep",
        "$defs": {
            "server": schema(rows(ServerConfig)),
            "export": schema(export_rows()),
            "address": {
                name: schema(rows(options)) for name in TRANSPORTS if (options := TRANSPORTS.get(name).options)
            },
        },
    }


def _escape(_app: Any, _context: Any, lines: list[str]) -> None:
    """The help texts of commands are no reStructuredText: a pattern such as ``*.c`` is no emphasis."""
    lines[:] = [line.replace("*", "\\*") for line in lines]


def setup(app: Any) -> None:
    """Called by Sphinx."""
    for part in ("description", "options", "arguments", "epilog"):
        app.connect(f"sphinx-click-process-{part}", _escape)
    app.connect("builder-inited", _write)
    app.connect("source-read", _resolve)
