"""Errors to words and exit codes. What is not listed here is a bug: traceback, and exit code 1."""

from __future__ import annotations

import os
import select
import sys
import traceback
from contextlib import suppress
from types import TracebackType

import click

from .hidden import without_hidden

__all__ = [
    "EXIT_BUDGET",
    "EXIT_INTERRUPTED",
    "EXIT_TERMINATED",
    "EXIT_UNSATISFIED",
    "explain",
    "explain_config",
    "report_bug",
]

EXIT_UNSATISFIED = 3  # finished, but no row accepted, or too many roots with rejects
EXIT_BUDGET = 7  # a budget or the candidate cap ended the run before its input
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143
_EXIT_OUTPUT = 5

_REPORT = "This is a bug in sdg_stream or in a block. Please report it with the lines above."


def explain(error: BaseException, *, asking: bool = False) -> int:
    """Say on stderr what went wrong, without a traceback; the exit code.

    With ``asking`` the command is one that asks a teacher.
    """
    from ..errors import ConfigError, SdgStreamError

    if isinstance(error, KeyboardInterrupt):
        _say("Interrupted.")
        return EXIT_INTERRUPTED
    if isinstance(error, BrokenPipeError):  # the reader left early (``| head``), which is no mistake
        _discard_stdout()
        return _EXIT_OUTPUT
    if isinstance(error, ConfigError):
        explain_config(error.problems, asking=asking)
    elif isinstance(error, SdgStreamError):
        _say(f"Error: {error}")
    for note in getattr(error, "__notes__", ()):
        _say(note)
    return error.exit_code if isinstance(error, SdgStreamError) else 1


def explain_config(problems: tuple[object, ...], *, asking: bool = False) -> None:
    """List mistakes, one a line, with the count when there are several."""
    if len(problems) == 1:
        _say(f"Error: {problems[0]}")
        return
    for problem in problems:
        _say(str(problem))
    _say(f"Error: {len(problems)} mistakes{'; nothing was asked of the teacher' if asking else ''}.")


def report_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What ``sys.excepthook`` does with an exception that nobody meant: everything, made harmless."""
    if issubclass(kind, KeyboardInterrupt):
        raise SystemExit(EXIT_INTERRUPTED)
    _say("".join(traceback.format_exception(kind, error, trace)))
    _say(_REPORT)


def reader_left() -> bool:
    """Whether standard output is a pipe that nobody reads any more."""
    if sys.platform == "win32":
        return False
    poll = select.poll()
    poll.register(1, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _say(text: str) -> None:
    from ..observe.text import clean

    with suppress(OSError):  # when nobody listens, the exit code still tells
        click.echo(without_hidden(clean(text)).rstrip("\n"), err=True)


def _discard_stdout() -> None:
    """Let nothing more go to the broken pipe, so that the interpreter's last flush does not complain."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
