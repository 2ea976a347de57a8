"""What there is to tell goes to a logger: notices, rejects, how far it is."""

from __future__ import annotations

import logging
import time

from ..events import Event, Notice, Progress, RecordRejected, RunReport

__all__ = ["LOGGER", "LoggerHook", "tell_unused"]

LOGGER = logging.getLogger("sdg_stream")

_EVERY = 10.0  # seconds between two lines about how far it is
_LONGEST = 2000  # characters


class LoggerHook:
    """A hook that logs: notices, the first reject of each kind, every ten seconds how far it is.

    Args:
        logger: where to; it is not configured.
        quiet: nothing at level info.
    """

    def __init__(self, logger: logging.Logger, *, quiet: bool = False) -> None:
        self._logger = logger
        self._quiet = quiet
        self._next = time.monotonic() + _EVERY
        self._known: set[tuple[str, str]] = set()
        self._told: set[str] = set()

    def __call__(self, event: Event, /) -> None:
        """Take one event."""
        if isinstance(event, Notice):
            (self.warn if event.level == "warning" else self.info)(event.message)
        elif isinstance(event, RecordRejected):
            self._rejected(event)
        elif isinstance(event, Progress) and time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVERY
            self.info(_progress(event.report))

    def info(self, words: str) -> None:
        """Log something that is as it should be."""
        if not self._quiet:
            self._logger.info("%s", _harmless(words))

    def warn(self, words: str) -> None:
        """Log something that somebody should know, once."""
        if words not in self._told:
            self._told.add(words)
            self._logger.warning("%s", _harmless(words))

    def notice(self, _code: str, words: str) -> None:
        """Log something odd about training rows."""
        self.warn(words)

    def _rejected(self, reject: RecordRejected) -> None:
        kind = (reject.stage, reject.reason)
        words = _harmless(f"{reject.stage}: {reject.reason}: {reject.message}")
        if kind in self._known:
            self._logger.debug("%s", words)
        else:
            self._known.add(kind)
            self._logger.warning("first reject of its kind at %s", words)


def tell_unused(hook: LoggerHook, **arguments: tuple[object, object]) -> None:
    """Say in one warning which arguments have no effect here, of those that are not as by default.

    Each argument comes as what was given and what it is by default.
    """
    given = [name for name, (value, default) in arguments.items() if value not in (default, None)]
    if given:
        hook.warn(f"no effect here: {', '.join(given)}; rows stream, and chunks are counted in tokens")


def _progress(report: RunReport) -> str:
    done = report.accepted + report.filtered + report.rejected
    calls = report.teacher.calls if report.teacher is not None else 0
    return f"{report.rows:,} rows so far; of {report.roots:,} samples {done:,} are done; {calls:,} calls"


def _harmless(text: str) -> str:
    """One line, without anything that a terminal would act on."""
    line = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
