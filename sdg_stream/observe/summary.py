"""The account of a run as text: what came in, where it went, what it cost, and what to do when it is bad.

Pure functions of the report (and of the first reject of each kind), so that every sentence can be tested.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from ..events import BlockReport, Event, RecordRejected, RunReport, TeacherReport
from .text import aligned, clock, count, one_line, plural

__all__ = [
    "FirstRejects",
    "RejectKind",
    "advice",
    "exhausted",
    "funnel",
    "funnel_rows",
    "reject_line",
    "summary",
]

RejectKind: TypeAlias = tuple[str, str]
"""Block and reason of a reject."""

_LABEL = 10  # width of the labels on the left
_WORDS = 300  # of a server that are shown; the rejects file has them all
_KINDS = 100  # of rejects that are remembered: reasons come from blocks, and blocks are anybody's
_EARLY = 30  # records that a block must have ended before its letting none through is worth a word


class FirstRejects(dict[RejectKind, RecordRejected]):
    """A hook that keeps the first reject of each kind: the examples that a summary shows."""

    def __call__(self, event: Event, /) -> None:
        """Take one event."""
        if isinstance(event, RecordRejected) and len(self) < _KINDS:
            self.setdefault((event.stage, event.reason), event)


def summary(report: RunReport, first: Mapping[RejectKind, RecordRejected] | None = None) -> str:
    """The closing lines of a run, for a terminal of about 100 columns."""
    lines = [_headline(report), "", *_totals(report), ""]
    if any(block.records_in for block in report.blocks):
        lines += [*funnel(report.blocks), ""]
    lines += _files(report)
    hints = advice(report, first or {})
    if hints:
        lines += ["", *hints]
    return "\n".join(lines)


_OPTIONAL = frozenset({"duplicates", "unparsed", "cut off", "asked again"})


def funnel(blocks: tuple[BlockReport, ...]) -> list[str]:
    """One line a block; see :func:`funnel_rows`."""
    table = funnel_rows(blocks)
    return aligned(table, left=frozenset({0, len(table[0]) - 1}))


def funnel_rows(blocks: tuple[BlockReport, ...]) -> list[list[str]]:
    """One row a block, below a header; columns in ``_OPTIONAL`` only where there is anything to tell."""
    header = [
        "block",
        "in",
        "out",
        "filtered",
        "duplicates",
        "unparsed",
        "cut off",
        "asked again",
        "rejected",
    ]
    rows = [
        [
            one_line(block.name, 36),
            count(block.records_in),
            count(block.records_out),
            _or_dot(block.filtered),
            _or_dot(block.duplicates),
            _or_dot(block.unparsed_replies),
            _or_dot(block.cut_replies),
            _or_dot(block.parse_retries),
            ", ".join(f"{count(n)} {one_line(reason, 40)}" for reason, n in block.rejected.items()) or "·",
        ]
        for block in blocks
    ]
    shown = [
        column
        for column, title in enumerate(header)
        if title not in _OPTIONAL or any(row[column] != "·" for row in rows)
    ]
    return [[row[column] for column in shown] for row in [header, *rows]]


def exhausted(report: RunReport) -> list[str]:
    """Blocks that have ended many records and let none through so far: worth stopping a run for."""
    return [block.name for block in report.blocks if not block.records_out and _ended(block) >= _EARLY]


def advice(report: RunReport, first: Mapping[RejectKind, RecordRejected]) -> list[str]:
    """What is off with a run and what to do about it; empty when nothing is."""
    if not report.roots:
        return ["WARNING: the input holds no rows; nothing was asked and nothing was written."]
    lines = []
    if report.pending:
        lines.append(
            f"{plural(report.pending, 'root')} pending: undecided when the run stopped, not in the output."
        )
    if not report.rows and not report.stopped:
        lines += ["No row was accepted.", *_blame(report)]
    lines += _unparsed(report)
    return lines + _examples(report, first)


def _headline(report: RunReport) -> str:
    decided = report.roots - report.pending
    words = f"stopped ({one_line(report.stopped, 60)})" if report.stopped else "finished"
    return (
        f"{one_line(report.pipeline)}: {words} after {clock(report.seconds)}, "
        f"{count(decided)} of {plural(report.roots, 'root')} decided"
    )


def _totals(report: RunReport) -> list[str]:
    roots = (
        f"{count(report.roots)} = {count(report.accepted)} accepted + {count(report.filtered)} filtered"
        f" + {count(report.rejected)} rejected + {count(report.pending)} pending"
    )
    lines = [
        _line("roots", roots),
        _line("rows", f"{count(report.rows)} accepted, {report.rows_per_second:.1f} a second"),
    ]
    if report.imported:
        lines.append(_line("imported", f"{plural(report.imported, 'root')} came with their rows"))
    if report.rejects:
        share = report.roots_with_rejects / report.roots if report.roots else 0.0
        text = f"{count(report.rejects)}, in {plural(report.roots_with_rejects, 'root')} ({share:.0%})"
        lines.append(_line("rejects", text))
    if report.teacher is not None:
        lines += _teacher(report.teacher)
    return lines


def _teacher(teacher: TeacherReport) -> list[str]:
    about = "about " if teacher.tokens_estimated else ""
    who = " ".join(
        part for part in (one_line(teacher.model), f"({teacher.api})" if teacher.api else "") if part
    )
    calls = f"{count(teacher.calls)} in {plural(teacher.attempts, 'attempt')}"
    if teacher.saved_calls:
        calls += f", {count(teacher.saved_calls)} saved (asked before)"
    if teacher.failed_calls:
        calls += f", {count(teacher.failed_calls)} failed"
    lines = [
        _line("teacher", who or "?"),
        _line("calls", f"{calls}; busy {teacher.busy:.0%} of {plural(teacher.slots, 'slot')}"),
        _line(
            "tokens",
            f"{about}{count(teacher.prompt_tokens)} in, {about}{count(teacher.completion_tokens)} out",
        ),
    ]
    if len(teacher.limit_history) > 1:
        lines.append(_line("slots", " -> ".join(count(n) for n in _milestones(teacher))))
    if teacher.outages:
        lines.append(_line("outages", f"{teacher.outages}, {clock(teacher.outage_seconds)} in all"))
    if teacher.failures:
        parts = (f"{count(n)} {one_line(kind, 40)}" for kind, n in teacher.failures.items())
        lines.append(_line("failures", ", ".join(parts)))
    return lines


def _milestones(teacher: TeacherReport) -> list[int]:
    """How the limit of slots came about, in at most seven steps: the first, the last, and some between."""
    limits = [change.limit for change in teacher.limit_history]
    places = {round(step * (len(limits) - 1) / 6) for step in range(7)}
    return [limits[place] for place in sorted(places)]


def _files(report: RunReport) -> list[str]:
    lines = [_line("output", one_line(report.output))] if report.output else []
    if report.rejects and report.rejects_file:
        lines.append(_line("rejects", one_line(report.rejects_file)))
    return lines


def _blame(report: RunReport) -> list[str]:
    """Where the records went, and what usually makes them go there."""
    worst = max(report.blocks, key=_ended, default=None)
    if worst is None or not _ended(worst):
        return []
    name = one_line(worst.name, 60)
    if worst.filtered >= max(worst.duplicates, sum(worst.rejected.values())):
        share = f"{count(worst.filtered)} of {count(worst.records_in)}"
        return [f"Most records were filtered at block {name} ({share}): see what it compares with what."]
    if worst.duplicates >= sum(worst.rejected.values()):
        return [f"Most records were duplicates at block {name}: see the columns that it compares."]
    reason, number = max(worst.rejected.items(), key=lambda item: item[1])
    return [f"Most records were rejected at block {name}: {count(number)} times {one_line(reason, 40)}."]


def _unparsed(report: RunReport) -> list[str]:
    return [
        f"Block {one_line(block.name, 60)} found nothing in {count(block.unparsed_replies)} of its replies:"
        " compare what the prompt asks for with the block's tags or pattern."
        for block in report.blocks
        if block.unparsed_replies and not block.records_out
    ]


def _examples(report: RunReport, first: Mapping[RejectKind, RecordRejected]) -> list[str]:
    """The first reject of each kind, when rejects are why rows are missing."""
    if report.rows and report.roots_with_rejects * 10 < report.roots:
        return []
    return [reject_line(reject) for reject in list(first.values())[:5]]


def reject_line(reject: RecordRejected) -> str:
    """One reject in words, with the server's."""
    said = f'; the teacher said: "{one_line(reject.server, _WORDS)}"' if reject.server else ""
    return (
        f"First {one_line(reject.reason, 40)} at {one_line(reject.stage, 60)}, root {reject.root}:"
        f" {one_line(reject.message, _WORDS)}{said}"
    )


def _ended(block: BlockReport) -> int:
    return block.filtered + block.duplicates + sum(block.rejected.values())


def _or_dot(number: int) -> str:
    return count(number) if number else "·"


def _line(label: str, text: str) -> str:
    return f"{label:<{_LABEL}}{text}"
