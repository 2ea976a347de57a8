"""The state of a run directory as text: how the run came here, what it holds, and what to do next."""

from __future__ import annotations

from datetime import datetime

from ..events import RunReport
from ..state.reading import KILLED, NOT_BEGUN, RUNNING, CacheSummary, RunSummary, SessionSummary
from .summary import funnel
from .text import aligned, clock, count, one_line, plural, size

__all__ = ["cache_text", "run_text"]

_LABEL = 10  # width of the labels on the left
_SESSIONS = 12  # the latest ones that are shown
_FINISHED = ("finished", "target reached")


def run_text(run: RunSummary, shared: CacheSummary | None = None) -> str:
    """Lines for a terminal of about 100 columns; ``shared`` are the answers of a ``--cache-dir``."""
    account = run.account
    lines = [_headline(run), "", _line("pipeline", one_line(run.pipeline) or "?")]
    lines += [_line("input", one_line(run.input))] if run.input else []
    lines += _sessions(run.sessions)
    lines += _account(run, account) if account is not None else []
    lines += [
        _line(
            "tokens",
            f"{count(run.prompt_tokens)} in, {count(run.completion_tokens)} out,"
            f" in {plural(run.attempts, 'attempt')} of all sessions",
        ),
        _line("cache", _cache(run.cache)),
    ]
    lines += [cache_text(shared)] if shared is not None else []
    if account is not None and any(block.records_in for block in account.blocks):
        lines += ["", *funnel(account.blocks)]
    lines += _rejects(account)
    return "\n".join([*lines, *_edited(run), *_next(run)])


def cache_text(cache: CacheSummary) -> str:
    """The line about a folder that outputs share."""
    return _line("cache", f"{_cache(cache)} in {one_line(cache.file)}")


def _headline(run: RunSummary) -> str:
    words = {
        KILLED: "killed, or it could not write any more",
        NOT_BEGUN: "no session has begun",
    }.get(run.state, one_line(run.state, 60))
    by = f" ({one_line(run.used_by)})" if run.used_by else ""
    return f"{one_line(run.output)}: {words}{by}"


def _sessions(sessions: tuple[SessionSummary, ...]) -> list[str]:
    """One line each: number, when it began, how long it ran, how it ended."""
    if not sessions:
        return []
    rows = [
        [count(number), _local(session.began), clock(session.seconds), one_line(session.ended, 60)]
        for number, session in enumerate(sessions, 1)
    ]
    shown = aligned(rows[-_SESSIONS:], left=frozenset({1, 3}))
    left_out = [f"{plural(len(rows) - _SESSIONS, 'earlier one')}"] if len(rows) > _SESSIONS else []
    first, *rest = [*left_out, *shown]
    return [_line("sessions", first), *(_line("", line) for line in rest)]


def _local(began: str) -> str:
    """A moment in UTC as the clock on the wall shows it."""
    try:
        return datetime.fromisoformat(began).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return one_line(began, 25)


def _account(run: RunSummary, account: RunReport) -> list[str]:
    roots = (
        f"{count(account.roots)} settled = {count(account.accepted)} accepted"
        f" + {count(account.filtered)} filtered + {count(account.rejected)} rejected"
    )
    lines = [_line("roots", roots), _line("pending", _pending(run)), _line("rows", count(account.rows))]
    if account.imported:
        lines.append(_line("imported", f"{plural(account.imported, 'root')} came with their rows"))
    if account.rejects:
        where = f"in {plural(account.roots_with_rejects, 'root')}: {one_line(run.rejects_file)}"
        lines.append(_line("rejects", f"{count(account.rejects)}, {where}"))
    return lines


def _pending(run: RunSummary) -> str:
    again = f"{plural(run.again, 'root')} to be run again" if run.again else ""
    if run.state in _FINISHED:
        return again or "nothing"
    rest = f"input row {count(run.settled_below + 1)} and all behind it"
    if run.settled_beyond:
        rest += f", but for {count(run.settled_beyond)} that are settled"
    return f"{rest}; {again}" if again else rest


def _cache(cache: CacheSummary) -> str:
    return f"{plural(cache.answers, 'answer')}, {size(cache.bytes)}"


def _rejects(account: RunReport | None) -> list[str]:
    """Rejects by stage and reason, the most frequent first."""
    found = sorted(
        (
            (number, block.name, reason)
            for block in (account.blocks if account is not None else ())
            for reason, number in block.rejected.items()
        ),
        key=lambda kind: -kind[0],
    )
    if not found:
        return []
    rows = [["rejects", "stage", "reason"]]
    rows += [[count(number), one_line(stage, 36), one_line(reason, 40)] for number, stage, reason in found]
    return ["", *aligned(rows, left=frozenset({1, 2}))]


def _edited(run: RunSummary) -> list[str]:
    if run.edited is None:
        return []
    far = f"{plural(run.edited.roots, 'root')} settled, {plural(run.edited.rows, 'row')}"
    words = f"An edited run is under way beside it: {far}. The output stays as it is until that is finished."
    return ["", words]


def _next(run: RunSummary) -> list[str]:
    command = one_line(run.command)
    if run.state == RUNNING:
        return []
    if run.state not in _FINISHED or run.again:
        if not command:
            return ["", "The same call or command as before goes on from there."]
        return ["", f"This goes on from there{_moved(run)}:", f"  {command}"]
    account = run.account
    if account is None or not account.roots_with_rejects:
        return []
    words = f"This runs the {plural(account.roots_with_rejects, 'root')} with rejects again{_moved(run)}:"
    return ["", words, f"  {command} --retry-rejected"] if command else []


def _moved(run: RunSummary) -> str:
    """What to change in a command that was typed for another place: as it is it would begin anew there."""
    if not run.typed_for:
        return ""
    return f", once its paths are those of here (its output is {one_line(run.typed_for)})"


def _line(label: str, text: str) -> str:
    return f"{label:<{_LABEL}}{text}"
