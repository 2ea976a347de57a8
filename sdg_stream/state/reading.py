"""What a run directory holds, for those who only look: nothing is locked, repaired or written.

The database is read as it is, also while a run writes to it. Files that a killed session left torn stay so:
the next session mends them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from os.path import realpath
from pathlib import Path
from typing import Any

import msgspec
import orjson

from ..errors import RunStateError
from ..events import RunReport
from .database import FORMAT, other_format
from .directory import RunDirectory
from .holder import Use, use_of
from .read_only import opened_to_read

__all__ = [
    "KILLED",
    "NOT_BEGUN",
    "RUNNING",
    "CacheSummary",
    "RunSummary",
    "SessionSummary",
    "directory_of",
    "read_cache",
    "read_run",
    "shared_cache",
]

RUNNING = "running"
KILLED = "killed"
"""Of a session that left no word of its end: it was killed, or could not write any more."""
UNKNOWN = "killed or running"
"""The same, begun on another machine."""
NOT_BEGUN = "not begun"


class SessionSummary(msgspec.Struct, frozen=True, kw_only=True):
    """One session: ``began`` in UTC (ISO 8601), for how many ``seconds`` it ran, what it used.

    ``ended`` is ``finished``, ``stopped``, a budget, the name of an error, or one of this module's words.
    """

    began: str
    ended: str
    seconds: float
    version: str
    prompt_tokens: int
    completion_tokens: int
    attempts: int


class CacheSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Answers that are kept, and how many bytes they have."""

    file: str
    answers: int
    bytes: int


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the run of an output.

    Attributes:
        output: its path.
        rejects_file: where its rejects are.
        state: how its last session ended, ``running`` or ``not begun``.
        used_by: who uses the run directory now, in words.
        pipeline: its name, if it is known.
        input: what was read, if it is known.
        command: what goes on with it, if it is known.
        typed_for: what that calls the output, if it is another file from here: one of the two has moved.
        account: of the settled roots whose rows are in the output; None while there are none.
        edited: the same of the run that is to replace it; None if there is none.
        settled_below: all roots below are settled, in the run that is under way.
        settled_beyond: number of those behind that are settled as well.
        again: roots that are yet to be run again, since they had rejects.
        sessions: all, in order, also those before an edit.
        prompt_tokens: of all of them.
        completion_tokens: of all of them.
        attempts: of all of them.
        cache: the answers that are kept here.
    """

    output: str
    rejects_file: str
    state: str
    used_by: str = ""
    pipeline: str = ""
    input: str = ""
    command: str = ""
    typed_for: str = ""
    account: RunReport | None = None
    edited: RunReport | None = None
    settled_below: int = 0
    settled_beyond: int = 0
    again: int = 0
    sessions: tuple[SessionSummary, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    attempts: int = 0
    cache: CacheSummary


def directory_of(path: Path) -> RunDirectory:
    """The run directory of an output, or the one that is named itself.

    Raises:
        RunStateError: there is none, or it holds no journal.
    """
    try:
        if path.name in ("", ".."):
            path = path.resolve()
        if path.suffix == ".run" and path.is_dir():
            path = path.with_suffix("")
        directory = RunDirectory(path) if path.name else None
        if directory is not None and directory.state.is_file():
            return directory
        there = directory is not None and directory.folder.is_dir()
        folder = path if path.is_dir() else path.parent
        others = sorted(other.parent.name for other in folder.glob("*.run/state.db"))
    except OSError as error:
        raise RunStateError(f"{path} cannot be looked at: {error.strerror}") from error
    words = f"{path}.run holds no journal (state.db)" if there else f"{path} has no run directory"
    hint = f"; these are in {folder}: {', '.join(others[:5])}" if others else ""
    raise RunStateError(f"{words}: no run has begun to write it, or it was moved without its .run{hint}")


def shared_cache(folder: Path) -> Path:
    """The database of a folder that several outputs share.

    Raises:
        RunStateError: there is none.
    """
    file = folder / "calls.db"
    try:
        if file.is_file():
            return file
    except OSError as error:
        raise RunStateError(f"{folder} cannot be looked at: {error.strerror}") from error
    raise RunStateError(f"{folder} holds no answers (calls.db): no run has had it as --cache-dir")


def read_run(directory: RunDirectory) -> RunSummary:
    """What is known of a run.

    Raises:
        RunStateError: it is damaged, of another format, or cannot be read.
    """
    holder, use = use_of(directory.lock)
    with opened_to_read(directory.state) as connection:
        connection.execute("begin")  # all of it as of one moment
        _check_format(directory.state, connection)
        found = _run(connection, use)
        connection.execute("rollback")
        cache = _count(directory.state, connection)
    if use == "yes" or found["state"] == UNKNOWN:
        found["used_by"] = str(holder)
    return RunSummary(
        output=str(directory.output),
        rejects_file=str(directory.rejects),
        cache=cache,
        **{**_run_file(directory), **found},
    )


def read_cache(file: Path) -> CacheSummary:
    """The answers in a database that several outputs share.

    Raises:
        RunStateError: it is damaged, or cannot be read.
    """
    with opened_to_read(file) as connection:
        return _count(file, connection)


def _run(connection: sqlite3.Connection, use: Use) -> dict[str, Any]:
    """The fields of a :class:`RunSummary` that the database knows."""
    accounts = {
        bool(beside): (id_, account and msgspec.json.decode(account, type=RunReport | None))
        for id_, beside, account in connection.execute("select id, beside, account from generations")
    }
    id_, latest = accounts.get(True) or accounts.get(False) or (0, None)
    sessions = _sessions(connection, use)
    found: dict[str, Any] = {
        "state": sessions[-1].ended if sessions else NOT_BEGUN,
        "sessions": sessions,
        "account": accounts[False][1] if False in accounts else None,
    }
    for name in ("prompt_tokens", "completion_tokens", "attempts"):
        found[name] = sum(getattr(session, name) for session in sessions)
    if True in accounts:
        found["edited"] = latest or RunReport(pipeline="")
    if latest is not None:
        found["pipeline"] = latest.pipeline
        found |= _settled(connection, id_, latest.roots)
    return found


def _settled(connection: sqlite3.Connection, generation: int, counted: int) -> dict[str, int]:
    """Which roots are settled: those that are ``counted``, and those that are to be run again."""
    [(below,)] = connection.execute("select max(below) from batches where generation = ?", (generation,))
    [(again,)] = connection.execute(
        "select count(*) from rejected where generation = ? and again > 0", (generation,)
    )
    below = below or 0
    return {"settled_below": below, "settled_beyond": max(counted + again - below, 0), "again": again}


def _sessions(connection: sqlite3.Connection, use: Use) -> tuple[SessionSummary, ...]:
    rows = connection.execute(
        "select version, began, ended, seconds, usage from sessions order by id"
    ).fetchall()
    last = {"yes": RUNNING, "no": KILLED, "unknown": UNKNOWN}[use]
    sessions = []
    for number, (version, began, ended, seconds, usage) in enumerate(rows, 1):
        tokens = msgspec.json.decode(usage, type=tuple[int, int, int]) if usage else (0, 0, 0)
        fields = {
            "began": began,
            "ended": ended or (last if number == len(rows) else KILLED),
            "seconds": seconds,
            "version": version,
            "prompt_tokens": tokens[0],
            "completion_tokens": tokens[1],
            "attempts": tokens[2],
        }
        sessions.append(msgspec.convert(fields, SessionSummary))
    return tuple(sessions)


def _check_format(file: Path, connection: sqlite3.Connection) -> None:
    found = connection.execute("select value from meta where key = 'format'").fetchone()
    if found is None:
        raise RunStateError(f"{file}: no run has begun here")
    if found[0] != FORMAT:
        raise other_format(file, found[0])


def _count(file: Path, connection: sqlite3.Connection) -> CacheSummary:
    [(number, size)] = connection.execute("select count(*), sum(length(cast(reply as blob))) from calls")
    return CacheSummary(file=str(file), answers=number, bytes=size or 0)


def _run_file(directory: RunDirectory) -> Mapping[str, str]:
    """What ``run.json`` tells. It is for people, who may have changed it: a damaged one is passed over."""
    try:
        noted = orjson.loads(directory.run_file.read_bytes())
        known = {name: str(noted[name]) for name in ("pipeline", "input", "command")}
        output = str(noted["output"])
        moved = realpath(output) != realpath(directory.output)
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    return {**known, "typed_for": output} if moved else known
