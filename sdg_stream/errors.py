"""Every exception of the package, in one tree.

    SdgStreamError
    ├─ ConfigError        a mistake in a pipeline file, prompt, option or input  (exit 2)
    ├─ TeacherUnusable    the teacher cannot be used: address, key, model, or it keeps failing  (exit 4)
    ├─ OutputError        the output cannot be written  (exit 5)
    ├─ RunStateError      lock, existing output, damaged or foreign run directory  (exit 6)
    ├─ GenerateException  raised for any of these by functions with upstream's names  (its cause's)
    ├─ Halted             the run is being stopped: this call is not made any more; never leaves a run
    ├─ RecordError        this record ends as a reject; the run goes on (blocks may raise it)
    └─ AttemptError       one attempt of a call failed; never leaves the teacher client
       ├─ ConnectFailed, AttemptTimeout, ServerFailed, BadReply     tried again
       ├─ RateLimited                                               tried again, later
       └─ RequestRefused                                            never tried again

A bug in a block is none of these: it surfaces as itself, with the stage and the root as a note, and exits 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

__all__ = [
    "AttemptError",
    "AttemptTimeout",
    "BadReply",
    "ConfigError",
    "ConnectFailed",
    "GenerateException",
    "Halted",
    "OutputError",
    "Problem",
    "RateLimited",
    "RecordError",
    "RequestRefused",
    "RunStateError",
    "SdgStreamError",
    "ServerFailed",
    "TeacherUnusable",
    "first_leaf",
]


class SdgStreamError(Exception):
    """Base of all errors that the package raises on purpose; ``exit_code`` is the command line's."""

    exit_code = 1


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One mistake, with its place: prints as ``file:line: $.path: message``."""

    message: str
    file: str = ""
    line: int = 0
    path: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.path, self.message) if part)


class ConfigError(SdgStreamError):
    """Something a person wrote is wrong; ``problems`` holds all of them, not only the first."""

    exit_code = 2

    def __init__(self, problems: str | Problem | Sequence[Problem]) -> None:
        if isinstance(problems, str):
            problems = Problem(message=problems)
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class TeacherUnusable(SdgStreamError):
    """The run cannot go on with this teacher; the message says what the server said and what to do."""

    exit_code = 4


class OutputError(SdgStreamError):
    """The output, or a file of the run directory, cannot be written."""

    exit_code = 5


class RunStateError(SdgStreamError):
    """The output or its run directory is in a state that this run must not touch."""

    exit_code = 6


class GenerateException(SdgStreamError):
    """A function of :mod:`sdg_stream.compat` cannot do its work; ``__cause__`` is more exact."""


class RecordError(SdgStreamError):
    """Ends one record as a reject.

    ``reason`` is a short stable word that reports count by (``unparsed_reply``), ``server`` what the
    teacher said, if it said something.
    """

    def __init__(self, reason: str, message: str, *, server: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.server = server


class Halted(SdgStreamError):
    """The run that this call is for is being stopped, and no attempt of the call is under way."""


class AttemptError(SdgStreamError):
    """One attempt of a call failed. ``status`` is the HTTP status, 0 when no reply came."""

    def __init__(self, message: str, *, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.retry_after = retry_after  # seconds


class ConnectFailed(AttemptError):
    """No connection, or the connection broke before a whole reply had come.

    ``stale`` is true when a kept-alive connection had been closed by the server while idle: the request
    was never read, so sending it again costs nothing. ``begun`` is true when a part of the reply had come:
    the server is up, whatever became of this connection.
    """

    def __init__(self, message: str, *, stale: bool = False, begun: bool = False) -> None:
        super().__init__(message)
        self.stale = stale
        self.begun = begun


class AttemptTimeout(AttemptError):
    """No whole reply within the attempt's deadline."""


class ServerFailed(AttemptError):
    """The server answered with a 5xx status."""


class RateLimited(AttemptError):
    """The server answered "less, later": 429, 503 or 529; ``retry_after`` is what it asked for."""


class BadReply(AttemptError):
    """The server answered 200 with something that is not a reply."""


class RequestRefused(AttemptError):
    """The server refuses this request for good. ``reason`` is ``request_refused`` or more exact."""

    def __init__(self, message: str, *, status: int = 0, reason: str = "request_refused") -> None:
        super().__init__(message, status=status)
        self.reason = reason


def first_leaf(error: BaseException) -> BaseException:
    """The exception that a person should see out of nested groups: a real error before a cancellation."""
    while isinstance(error, BaseExceptionGroup):
        error = next(
            (inner for inner in error.exceptions if isinstance(inner, Exception)), error.exceptions[0]
        )
    return error
