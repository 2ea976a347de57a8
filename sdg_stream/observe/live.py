"""The live panel: how far the run is, how full the teacher is kept, and the funnel block by block.

Drawn by rich's own thread from the latest state, so that drawing on a slow or stopped terminal (Ctrl-S, a
bad line) does not hold up the run. Nothing that is shown is read as rich markup.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TextIO, cast

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..events import Event, Progress, RunReport, RunStarted
from .progress import seconds_left, warn_exhausted
from .summary import funnel
from .text import clean, clock, count, one_line

__all__ = ["LivePanel", "panel"]

_BAR = 40  # characters
_PER_SECOND = 4


class LivePanel:
    """A screen that redraws itself in place and vanishes when closed."""

    def __init__(self, stream: TextIO, console: Console | None = None) -> None:
        self._console = console or Console(
            file=cast("TextIO", _Enduring(stream)), markup=False, emoji=False, highlight=False
        )
        self._latest: Progress | None = None
        self._started: RunStarted | None = None
        self._warned: set[str] = set()
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            refresh_per_second=_PER_SECOND,
            transient=True,
            redirect_stdout=False,  # rows may go there
            redirect_stderr=False,
        )

    def __call__(self, event: Event, /) -> None:
        """Take one event."""
        if isinstance(event, RunStarted):
            self._started = event
            self._live.start()
        elif isinstance(event, Progress):
            self._latest = event
            warn_exhausted(event.report, self._warned, self.line)

    def line(self, text: str) -> None:
        """Show a line above the panel."""
        self._console.print(Text(clean(text)), soft_wrap=True)

    def close(self) -> None:
        """Take the panel off the screen."""
        self._live.stop()

    def _render(self) -> RenderableType:
        return panel(self._latest, self._started)


class _Enduring:
    """A stream that falls silent when it breaks, as a terminal that is closed does."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._broken = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, if that is possible."""
        self._attempt(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush, if that is possible."""
        self._attempt(self._stream.flush)

    def _attempt(self, action: Callable[[], object]) -> None:
        if not self._broken:
            try:
                action()
            except (OSError, ValueError):
                self._broken = True


def panel(progress: Progress | None, started: RunStarted | None) -> RenderableType:
    """What the live panel shows for a state of the run."""
    head = Text()
    if started is not None:
        head.append(one_line(started.pipeline), style="bold")
        head.append(f"  {one_line(started.input)} → {one_line(started.output)}", style="dim")
    if progress is None:
        return head
    parts: list[RenderableType] = [head, _gauges(progress)]
    if any(block.records_in for block in progress.report.blocks):
        parts += [Text(), _funnel(progress.report)]
    return Group(*parts)


def _gauges(progress: Progress) -> Table:
    report, total = progress.report, progress.roots_total
    decided = report.accepted + report.filtered + report.rejected
    left = seconds_left(progress)
    words = f"{count(decided)}/{count(total or report.roots)}"
    words += f"  {decided / total:.0%}" if total else " read"
    tail = f"  {clock(left)} left" if left is not None else ""
    grid = Table.grid(padding=(0, 2))
    grid.add_row(
        "roots", _bar(decided, total or report.roots), Text(f"{words}  {clock(report.seconds)}{tail}")
    )
    teacher = report.teacher
    if teacher is not None:
        tokens = f"tokens: {count(teacher.prompt_tokens)} in, {count(teacher.completion_tokens)} out"
        grid.add_row(
            "teacher",
            _bar(teacher.in_flight, teacher.slots),
            Text(f"{teacher.in_flight}/{teacher.slots} in flight  {count(teacher.calls)} calls  {tokens}"),
        )
    rows = Text(f"{count(report.rows)} accepted, {report.rows_per_second:.1f} a second")
    if report.rejects:
        rows.append(f"  {count(report.rejects)} rejects", style="yellow")
    grid.add_row("rows", rows)
    return grid


def _bar(completed: int, total: int) -> RenderableType:
    return ProgressBar(total=max(total, 1), completed=completed, width=_BAR)


def _funnel(report: RunReport) -> Text:
    header, *lines = funnel(report.blocks)
    text = Text(header, style="dim", no_wrap=True, overflow="ellipsis")
    for line in lines:
        text.append(f"\n{line}", style="default not dim")
    return text
