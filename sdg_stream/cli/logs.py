"""Log lines: notices of a run, its rejects at level debug, and what libraries log, all through the screen."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from ..events import Event, Notice, RecordRejected
from ..observe.progress import Screen
from ..observe.summary import FirstRejects, reject_line
from ..observe.text import clean, one_line
from .hidden import without_hidden

__all__ = ["LogHook", "configure_logging"]

_RUN = "sdg_stream.run"
_WORDS = {"DEBUG": "debug", "INFO": "note", "WARNING": "warning", "ERROR": "error", "CRITICAL": "error"}


def configure_logging(screen: Screen, level: str, *, as_json: bool) -> None:
    """Send log records to the screen: this package's from ``level`` on, others' from warning on.

    At level debug everybody's are shown.
    """
    handler = _ScreenHandler(screen)
    handler.setFormatter(_JsonFormatter() if as_json else _WordsFormatter())
    number = logging.getLevelNamesMapping()[level.upper()]
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(number if number in (logging.DEBUG, logging.ERROR) else logging.WARNING)
    logging.getLogger("sdg_stream").setLevel(number)


class LogHook:
    """A hook that logs notices and the first reject of each kind, and at level debug each reject."""

    def __init__(self) -> None:
        self._log = logging.getLogger(_RUN)
        self._first = FirstRejects()

    def __call__(self, event: Event, /) -> None:
        """Take one event."""
        if isinstance(event, Notice):
            level = logging.WARNING if event.level == "warning" else logging.INFO
            self._log.log(level, "%s", event.message, extra={"code": event.code})
        elif isinstance(event, RecordRejected):
            self._rejected(event)

    def _rejected(self, reject: RecordRejected) -> None:
        known = len(self._first)
        self._first(reject)
        extra = {"code": reject.reason}
        if len(self._first) > known:
            self._log.warning("%s", reject_line(reject), extra=extra)
        elif self._log.isEnabledFor(logging.DEBUG):
            path = ".".join(str(step) for step in reject.path)
            where = f"{reject.stage}, root {reject.root}" + (f" path {path}" if path else "")
            self._log.debug("%s at %s: %s", reject.reason, where, reject.message, extra=extra)


class _ScreenHandler(logging.Handler):
    def __init__(self, screen: Screen) -> None:
        super().__init__()
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        self._screen.line(without_hidden(clean(self.format(record))))


class _WordsFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = (
            f"{_WORDS.get(record.levelname, record.levelname.lower())}: {one_line(record.getMessage(), 2000)}"
        )
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        stamp = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = {
            "time": stamp,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if hasattr(record, "code"):
            fields["code"] = record.code
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields, default=str)
