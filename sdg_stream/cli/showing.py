"""What a command that runs shows while it runs: a screen, and the hooks that hear the events."""

from __future__ import annotations

import os
import sys

from ..events import Event, EventHook, Progress, RunFinished, RunReport
from ..observe.progress import Mode, Screen, choose_mode, open_screen
from ..observe.text import one_line, plural
from .logs import LogHook

__all__ = ["Latest", "hooks_of", "saved", "screen_of", "told"]


class Latest:
    """A hook that keeps the last account of the run, for when the run does not come to return one."""

    report: RunReport | None = None

    def __call__(self, event: Event, /) -> None:
        """Take one event."""
        if isinstance(event, Progress | RunFinished):
            self.report = event.report


def screen_of(mode: Mode, *, terminal: bool = True) -> Screen:
    """The screen for a mode on standard error; ``terminal`` says whether a panel may be drawn on one."""
    dumb = os.environ.get("TERM") == "dumb"
    return open_screen(choose_mode(mode, terminal=terminal and sys.stderr.isatty(), dumb=dumb), sys.stderr)


def hooks_of(*hooks: EventHook, log: bool) -> EventHook:
    """One hook that tells all of them, and the log."""
    heard = [*hooks, LogHook()] if log else list(hooks)

    def tell(event: Event, /) -> None:
        for hook in heard:
            hook(event)

    return tell


def told(screen: Screen, words: str) -> None:
    """Words about a signal: the panel goes first, since a second signal leaves no time for it."""
    screen.close()
    screen.line(words)


def saved(report: RunReport | None) -> str:
    """What there is when a run is stopped."""
    if report is None:
        return "Nothing was written."
    return f"{plural(report.rows, 'row')} of settled roots saved in {one_line(report.output)}."
