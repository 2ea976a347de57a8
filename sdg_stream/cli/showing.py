"""What a command that runs shows while it runs, and what there is when that does not come to its end.

How it ended well the command says itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from ..errors import OutputError, SdgStreamError
from ..events import Event, EventHook, Progress, RunFinished, RunReport
from ..observe.progress import Mode, choose_mode, open_screen
from ..observe.summary import FirstRejects, summary
from ..observe.text import one_line, plural
from .logs import LogHook, configure_logging
from .signals import Stopped

__all__ = ["Showing", "Told", "going_on", "showing"]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be told of a run, as it was decided.

    Attributes:
        progress: what is shown while it goes on.
        log_level: from which level on something is logged.
        log_json: log lines are JSON.
        notes: about the options, as level and words.
        again: the command that goes on with it; empty if there is none.
    """

    progress: Mode
    log_level: str
    log_json: bool
    notes: tuple[tuple[str, str], ...] = ()
    again: str = ""


class Showing:
    """The screen of a run, and the logging set up to go there as well.

    Attributes:
        latest: the last account of the run, for when it does not come to return one.
    """

    def __init__(self, job: Told, *, terminal: bool = True) -> None:
        by_events = job.progress == "json"
        drawn = terminal and sys.stderr.isatty()
        mode = choose_mode(job.progress, terminal=drawn, dumb=os.environ.get("TERM") == "dumb")
        self._screen = open_screen(mode, sys.stderr)
        configure_logging(self._screen, job.log_level, as_json=job.log_json and not by_events)
        self.latest: RunReport | None = None
        self._first = FirstRejects()
        self._by_events = by_events
        self._hooks: list[EventHook] = [self._screen, self._first]
        if not by_events:
            self._hooks.append(LogHook())

    def hook(self, event: Event, /) -> None:
        """Take one event of the run."""
        if isinstance(event, Progress | RunFinished):
            self.latest = event.report
        for hook in self._hooks:
            hook(event)

    def line(self, words: str) -> None:
        """Show words."""
        self._screen.line(words)

    def told(self, words: str) -> None:
        """Words about a signal: the panel goes first, since a second signal leaves no time for it."""
        self.close()
        self.line(words)

    def account(self, report: RunReport | None) -> None:
        """End the progress and show the account, if any; with JSON events it came as ``run_finished``."""
        self.close()
        if report is not None and not self._by_events:
            self.line(f"\n{summary(report, self._first)}\n")

    def close(self) -> None:
        """End the progress."""
        self._screen.close()


@contextmanager
def showing(job: Told, *, terminal: bool = True) -> Iterator[Showing]:
    """Show what is done inside the block, and what there is when an error or a signal ends it.

    Args:
        job: what is told of it.
        terminal: whether a panel may be drawn on one.
    """
    show = Showing(job, terminal=terminal)
    try:
        for level, words in job.notes:
            show.line(f"{'warning' if level == 'warning' else 'note'}: {words}")
        yield show
    except BrokenPipeError:  # nobody reads any more
        raise
    except Stopped as stopped:
        show.account(show.latest)
        show.line(f"Stopped by {stopped}. {_saved(show.latest)}{going_on(job)}")
        raise
    except Exception as error:
        show.account(show.latest)
        if show.latest is not None and isinstance(error, SdgStreamError):
            words = "" if isinstance(error, OutputError) else _saved(show.latest)  # it says so itself
            error.add_note(f"{words}{going_on(job)}".strip())
        raise
    finally:
        show.close()


def going_on(job: Told, words: str = "This goes on from there") -> str:
    """What to type next, behind other words."""
    return f"\n{words}:\n  {job.again}" if job.again else ""


def _saved(report: RunReport | None) -> str:
    """What there is when a run is stopped."""
    if report is None:
        return "Nothing was written."
    return f"{plural(report.rows, 'row')} of settled roots saved in {one_line(report.output)}."
