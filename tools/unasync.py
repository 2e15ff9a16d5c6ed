"""Generate ``ninep.client.blocking`` from ``ninep.client.aio``: the verbs are written once, with
``await``.

    python tools/unasync.py           write the files
    python tools/unasync.py --check   print what would change; exit status 1 if anything would

Names are replaced in the token stream (``TOKENS``), in strings and comments only those of classes
and modules; ``ruff format`` and ``ruff check --select I`` then format the result. Connections are
not generated: each package has its own.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "ninep" / "client" / "aio"
TARGET = ROOT / "src" / "ninep" / "client" / "blocking"
MODULES = (
    "verbs",
    "dotl",
    "base",
    "session",
    "export",
    "names",
    "attributes",
    "tree",
    "file",
    "opener",
    "getting",
    "sources",
    "putting",
    "copying",
    "client",
)

TOKENS = {
    "async": "",
    "await": "",
    "aio": "blocking",
    "AsyncClient": "Client",
    "AsyncConnection": "Connection",
    "AsyncFile": "File",
    "AsyncIterator": "Iterator",
    "aclosing": "closing",
    "asynccontextmanager": "contextmanager",
    "AbstractAsyncContextManager": "AbstractContextManager",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
}
IN_TEXT = re.compile(r"\b(AsyncClient|AsyncConnection|AsyncFile)\b")
HEADER = "# Generated from ninep/client/aio/{name}.py by tools/unasync.py. Do not edit.\n"


def without_waiting(source: str) -> str:
    """The source of a module without async and await."""
    lines = source.splitlines(keepends=True)
    edits: list[tuple[int, int, int, str]] = []  # line, from, to, replacement
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        (row, start), (last, end) = token.start, token.end
        if token.type == tokenize.NAME and token.string in TOKENS:
            word = TOKENS[token.string]
            if not word:  # the space after it is removed as well
                end += len(lines[row - 1][end:]) - len(lines[row - 1][end:].lstrip(" "))
            edits.append((row - 1, start, end, word))
        elif token.type in {tokenize.STRING, tokenize.COMMENT}:
            for line in range(row, last + 1):
                begin = start if line == row else 0
                stop = end if line == last else len(lines[line - 1])
                text = lines[line - 1][begin:stop]
                changed = IN_TEXT.sub(lambda match: TOKENS[match[0]], text)
                if changed != text:
                    edits.append((line - 1, begin, stop, changed))
    for row, start, end, word in sorted(edits, reverse=True):
        lines[row] = lines[row][:start] + word + lines[row][end:]
    return "".join(lines)


def formatted(source: str, name: str) -> str:
    """The source, formatted."""
    path = str(TARGET / f"{name}.py")
    for arguments in (["check", "--select", "I", "--fix", "--quiet"], ["format", "--quiet"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", path, "-"]
        source = subprocess.run(command, input=source, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return source


def generate(name: str) -> str:
    """The content of ``blocking/NAME.py``."""
    return formatted(HEADER.format(name=name) + without_waiting((SOURCE / f"{name}.py").read_text("utf-8")), name)


def main() -> int:
    """Write or check all modules."""
    check = "--check" in sys.argv[1:]
    stale = 0
    for name in MODULES:
        path = TARGET / f"{name}.py"
        text = generate(name)
        if path.exists() and path.read_text("utf-8") == text:
            continue
        stale += 1
        if check:
            print(f"{path.relative_to(ROOT)} is not what tools/unasync.py makes of aio/{name}.py")
        else:
            path.write_text(text, "utf-8")
            print(f"wrote {path.relative_to(ROOT)}")
    return int(check and stale > 0)


if __name__ == "__main__":
    sys.exit(main())
