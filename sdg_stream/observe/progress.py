"""Progress while a run goes on: a live panel, a line now and then, JSON events, or nothing.

A screen is a hook that takes events, plus :meth:`Screen.line` for words that must not get lost between the
lines of a live panel. A screen never stops a run: when its stream breaks, it falls silent.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, Protocol, TextIO, TypeAlias

import msgspec

from ..events import Event, Progress, RunReport, RunStarted
from .summary import exhausted
from .text import clean, clock, count, one_line

__all__ = [
    "JsonLines",
    "Mode",
    "PlainLines",
    "Screen",
    "Silent",
    "choose_mode",
    "open_screen",
    "seconds_left",
    "status_line",
    "warn_exhausted",
]

Mode: TypeAlias = Literal["auto", "rich", "plain", "json", "none"]

EVERY = 10.0  # seconds between two plain lines


class Screen(Protocol):
    """Shows a run to a person or a program."""

    def __call__(self, event: Event, /) -> None:
        """Take one event."""

    def line(self, text: str) -> None:
        """Show a line of text (cleaned here)."""

    def close(self) -> None:
        """Stop drawing; what is shown for good stays."""


def choose_mode(mode: Mode, *, terminal: bool, dumb: bool = False) -> Mode:
    """The mode that ``auto`` stands for: a live panel where one can be drawn, else lines."""
    if mode != "auto":
        return mode
    return "rich" if terminal and not dumb else "plain"


def open_screen(mode: Mode, stream: TextIO) -> Screen:
    """The screen of a mode, drawing on ``stream``; the caller closes it."""
    if mode == "rich":
        from .live import LivePanel  # noqa: PLC0415  (rich is imported only when it draws)

        return LivePanel(stream)
    if mode == "json":
        return JsonLines(stream)
    return Silent(stream) if mode == "none" else PlainLines(stream)


class Silent:
    """No progress; lines are still shown."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream

    def __call__(self, event: Event, /) -> None:
        """Take one event."""

    def line(self, text: str) -> None:
        """Show a line of text."""
        self._write(clean(text))

    def close(self) -> None:
        """Nothing to stop."""

    def _write(self, text: str) -> None:
        """Write one line at once; a stream that broke (``2>&1 | head``) is not written to again."""
        if self._stream is None:
            return
        try:
            self._stream.write(f"{text}\n")
            self._stream.flush()
        except (OSError, ValueError):
            self._stream = None


class PlainLines(Silent):
    """One line about every ten seconds, for log files and terminals that cannot be drawn on."""

    def __init__(
        self, stream: TextIO, *, every: float = EVERY, now: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(stream)
        self._every = every
        self._now = now
        self._next = now() + every
        self._warned: set[str] = set()

    def __call__(self, event: Event, /) -> None:
        """Take one event."""
        if isinstance(event, RunStarted):
            self._next = self._now() + self._every
            self.line(f"{one_line(event.pipeline)}: {one_line(event.input)} -> {one_line(event.output)}")
        elif isinstance(event, Progress):
            warn_exhausted(event.report, self._warned, self.line)
            if self._now() >= self._next:
                self._next = self._now() + self._every
                self.line(status_line(event))


class JsonLines(Silent):
    """Every event as one JSON object a line, ``{"event": "progress", "time": ..., ...}``, for programs."""

    def __call__(self, event: Event, /) -> None:
        """Take one event."""
        self._event(_snake(type(event).__name__), msgspec.to_builtins(event))

    def line(self, text: str) -> None:
        """Show a line of text, as an event of its own kind."""
        self._event("line", {"text": clean(text)})

    def _event(self, kind: str, fields: dict[str, object]) -> None:
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds")
        # ASCII only: a terminal that shows these lines finds nothing in them to act on
        self._write(json.dumps({"event": kind, "time": stamp, **fields}, default=str))


def status_line(progress: Progress) -> str:
    """The state of a run in one line."""
    report, total = progress.report, progress.roots_total
    decided = report.accepted + report.filtered + report.rejected
    share = f"/{count(total)} ({decided / total:.0%})" if total else f"/{count(report.roots)} read"
    parts = [
        clock(report.seconds),
        f"roots {count(decided)}{share}",
        f"rows {count(report.rows)} ({report.rows_per_second:.1f}/s)",
    ]
    if report.filtered:
        parts.append(f"filtered {count(report.filtered)}")
    if report.rejects:
        parts.append(f"rejects {count(report.rejects)}")
    if report.teacher is not None:
        parts += [
            f"calls {count(report.teacher.calls)}",
            f"in flight {report.teacher.in_flight}/{report.teacher.slots}",
        ]
    left = seconds_left(progress)
    return "  ".join([*parts, f"left {clock(left)}"] if left is not None else parts)


def seconds_left(progress: Progress) -> float | None:
    """Seconds until the end at the pace so far; None while nothing can be said."""
    report, total = progress.report, progress.roots_total
    decided = report.accepted + report.filtered + report.rejected
    if not total or not decided or not report.seconds:
        return None
    return max(total - decided, 0) * report.seconds / decided


def warn_exhausted(report: RunReport, warned: set[str], line: Callable[[str], None]) -> None:
    """Say once of each block that nothing has come through it so far."""
    for name in exhausted(report):
        if name not in warned:
            warned.add(name)
            line(f"warning: no record has come through block {one_line(name, 60)} so far")


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
