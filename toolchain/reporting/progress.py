"""A bar on the terminal for each stage that takes long, gone when the stage is over."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

SLOW_S = 2.0
"""A stage that takes less gets no bar."""


@contextlib.contextmanager
def progress_bars(console: Console) -> Iterator[Callable[[str, int, int], None]]:
    """Give a function that is told the stage, what is done of it, and how much there is.

    Args:
        console: Where bars are drawn; nothing is, unless it is a terminal.
    """
    bars = _Bars(console)
    try:
        yield bars.show
    finally:
        bars.close()


class _Bars:
    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[amount]}"),
            console=console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._is_shown = console.is_terminal
        self._lock = threading.Lock()
        self._stage: str | None = None
        self._task: TaskID | None = None
        self._timer: threading.Timer | None = None

    def show(self, stage: str, done: int, total: int) -> None:
        """Note how far a stage is; a new name ends the stage before."""
        if not self._is_shown:
            return
        with self._lock:
            if stage != self._stage:
                self._leave()
                self._enter(stage)
            # Of a single step there is nothing to measure: the bar keeps moving.
            if self._task is not None and total > 1:
                amount = f"{done}/{total}"
                self._bars.update(self._task, completed=done, total=total, amount=amount)

    def close(self) -> None:
        """Remove what is drawn."""
        with self._lock:
            self._leave()
            self._bars.stop()

    def _enter(self, stage: str) -> None:
        self._stage = stage
        self._task = self._bars.add_task(stage, total=None, visible=False, amount="")
        self._timer = threading.Timer(SLOW_S, self._reveal, (self._task,))
        self._timer.daemon = True
        self._timer.start()

    def _leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._stage = self._task = self._timer = None

    def _reveal(self, task: TaskID) -> None:
        """Draw the bar of a stage that is still going on; runs in the timer's thread."""
        with self._lock:
            if task == self._task:
                self._bars.start()
                self._bars.update(task, visible=True)
