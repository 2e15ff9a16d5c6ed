"""A progress bar on stderr: only on a terminal, and only after one second."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from ninep.cli.show import human, printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SHOW_AFTER: Final = 1.0
INTERVAL: Final = 0.1
_NO_CURSOR: Final = ("dumb", "unknown")
"""Terminals that cannot write over a line."""
_WIDE: Final = 100
"""Columns that all parts need; on fewer there are the name and a percentage only."""
_NAME: Final = 50


class Bar:
    """Shows the progress of the current file, the number of files, and the total of bytes.
    ``moved`` is the ``progress`` of a copy.
    """

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled and sys.stderr.isatty() and os.environ.get("TERM") not in _NO_CURSOR
        self._since = time.monotonic()
        self._next = 0.0
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._path = ""
        self._before = 0
        self._files = 0
        self._bytes = 0
        self._room = _NAME

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def moved(self, path: str, done: int, size: int) -> None:
        """``done`` bytes of ``size`` of the file ``path`` are copied."""
        if not self._enabled:
            return
        if path != self._path or done < self._before:
            self._path = path
            self._before = 0
            self._files += 1
        self._bytes += done - self._before
        self._before = done
        now = time.monotonic()
        if now < self._next and done < size:
            return  # updating rich takes longer than receiving a piece
        self._next = now + INTERVAL
        if self._progress is None:
            if now - self._since < SHOW_AFTER:
                return
            self._start()
        if self._progress is not None and self._task is not None:
            speed = self._bytes / max(0.001, now - self._since)
            self._progress.update(
                self._task,
                description=printable(path)[-self._room :],
                completed=done,
                total=max(done, size),
                summary=f"file {self._files}, {human(self._bytes)} in all, {human(int(speed))}/s",
            )

    def _start(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - takes 0.1 s, so only for long copies
        from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415

        console = Console(stderr=True)
        name = TextColumn("{task.description}", markup=False)
        percentage = TextColumn("{task.percentage:>3.0f}%")
        summary = TextColumn("{task.fields[summary]}", markup=False)
        wide = console.width >= _WIDE
        columns = (name, BarColumn(), percentage, summary) if wide else (name, percentage)
        self._room = _NAME if wide else max(1, console.width - 6)  # a space and "100%", and one column free
        self._progress = Progress(*columns, console=console, transient=True)
        self._task = self._progress.add_task("", total=1, summary="")
        self._progress.start()
