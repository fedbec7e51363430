"""How long looks at many images are shown: a bar where there is a terminal, else a line for those that take long."""

import time

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from cvexp.report.terminal import console, hint, seconds

WORTH_A_LINE = 2.0
"""Seconds."""


class ImagesBar:
    """Called with what is done, and how many images of how many are; see cvexp.data.progress."""

    def __init__(self) -> None:
        self._console = console(stderr=True)
        self._what, self._started = "", 0.0
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __call__(self, what: str, n_done: int, n_images: int) -> None:
        """Show it."""
        if what != self._what:
            self.stop()
            self._what, self._started = what, time.monotonic()
        if self._console.is_terminal:
            self._move(what, n_done, n_images)
        if n_done >= n_images:
            self.stop()
            took = time.monotonic() - self._started
            if took >= WORTH_A_LINE:
                hint(f"{what} {n_images:,} images took {seconds(took)}")

    def _move(self, what: str, n_done: int, n_images: int) -> None:
        if self._bar is None:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=self._console, transient=True, refresh_per_second=4)
            self._task = self._bar.add_task(what, total=n_images)
            self._bar.start()
        if self._task is not None:
            self._bar.update(self._task, completed=n_done)

    def stop(self) -> None:
        """Remove the bar, if there is one."""
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._task = None
        self._what = ""
