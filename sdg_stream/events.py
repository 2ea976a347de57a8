"""What a run tells while it runs and when it ends: frozen structs, and the hook that receives them.

Consumers (progress line, report, dashboard) read events and nothing else of a run. Nothing is emitted per
record on the way: counters are polled on a beat and travel as one :class:`Progress`.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

import msgspec

__all__ = [
    "BlockReport",
    "Event",
    "EventHook",
    "LimitChange",
    "Notice",
    "Progress",
    "RecordRejected",
    "RunFinished",
    "RunReport",
    "RunStarted",
    "TeacherReport",
]


class BlockReport(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the funnel: what went into a block and what became of it.

    For a one-to-many block ``records_out`` may exceed ``records_in``; ``filtered`` counts records that left
    no descendant without anything being wrong, ``rejected`` those that something was wrong with, by reason.
    """

    name: str
    type: str
    records_in: int = 0
    records_out: int = 0
    filtered: int = 0
    duplicates: int = 0
    unparsed_replies: int = 0
    cut_replies: int = 0
    filtered_replies: int = 0
    parse_retries: int = 0
    rejected: dict[str, int] = {}


class LimitChange(msgspec.Struct, frozen=True):
    """The limit of slots became ``limit``, and why, in words.

    ``seconds`` are monotonic; in a report they count from the first call.
    """

    seconds: float
    limit: int
    reason: str


class TeacherReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the teacher was asked and what it cost. Seconds are wall time on a monotonic clock.

    ``calls`` that were answered by an identical one count in ``saved_calls``, those of them that a run
    answered from what it keeps, without its teacher, in ``repeated_calls`` too; those that an earlier session
    had made in ``kept_calls``; ``attempts`` are what was sent.
    ``free_retries`` went out because an idle connection had been closed: they cost a call nothing.
    ``slots`` is the limit now, ``limit_history`` how it came about.
    """

    model: str = ""
    api: str = ""
    endpoints: tuple[str, ...] = ()
    calls: int = 0
    attempts: int = 0
    failed_calls: int = 0
    failures: dict[str, int] = {}
    prompt_tokens: int = 0
    completion_tokens: int = 0
    tokens_estimated: bool = False
    saved_calls: int = 0
    repeated_calls: int = 0
    kept_calls: int = 0
    free_retries: int = 0
    hedged_calls: int = 0
    outages: int = 0
    outage_seconds: float = 0.0
    in_flight: int = 0
    slots: int = 0
    limit_history: tuple[LimitChange, ...] = ()
    busy_slot_seconds: float = 0.0
    open_slot_seconds: float = 0.0

    @property
    def busy(self) -> float:
        """Share of the slot time between the first and the last call that was used, 0 to 1."""
        whole = self.open_slot_seconds
        return min(1.0, self.busy_slot_seconds / whole) if whole > 0 else 0.0


class RunReport(msgspec.Struct, frozen=True, kw_only=True):
    """The account of a run. ``roots`` = accepted + filtered + rejected + pending, always.

    A root is accepted when at least one of its descendants was, else rejected when at least one was
    rejected, else filtered. ``roots_with_rejects`` also counts accepted roots that lost descendants,
    ``imported`` those, accepted or filtered, that came with their rows.
    """

    pipeline: str
    roots: int = 0
    accepted: int = 0
    filtered: int = 0
    rejected: int = 0
    pending: int = 0
    roots_with_rejects: int = 0
    rows: int = 0
    rejects: int = 0
    imported: int = 0
    seconds: float = 0.0
    blocks: tuple[BlockReport, ...] = ()
    teacher: TeacherReport | None = None
    input: str = ""
    output: str = ""
    rejects_file: str = ""
    stopped: str = ""

    @property
    def rows_per_second(self) -> float:
        """Accepted rows per second of wall time."""
        return self.rows / self.seconds if self.seconds > 0 else 0.0


class RunStarted(msgspec.Struct, frozen=True, kw_only=True):
    """The first call is about to be made; ``stages`` are the plan's lines.

    ``settled_before`` roots were settled by earlier sessions, ``retried`` ones among them are run again.
    """

    pipeline: str
    stages: tuple[str, ...]
    input: str
    output: str
    settled_before: int = 0
    retried: int = 0


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """Something a person should know that stops nothing. ``code`` is stable, for machines."""

    code: str
    message: str
    level: str = "info"  # info | warning


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the run now; sent on a beat of half a second."""

    report: RunReport
    roots_open: int
    roots_total: int | None = None


class RecordRejected(msgspec.Struct, frozen=True, kw_only=True):
    """A record ended because something was wrong with it; ``server`` is what the teacher said."""

    root: int
    path: tuple[int, ...]
    stage: str
    reason: str
    message: str
    server: str = ""


class RunFinished(msgspec.Struct, frozen=True, kw_only=True):
    """The run is over and everything that the report counts is in the files."""

    report: RunReport


Event: TypeAlias = RunStarted | Notice | Progress | RecordRejected | RunFinished


class EventHook(Protocol):
    """Receives every event, on the run's event loop; it must be quick and must not raise."""

    def __call__(self, event: Event, /) -> None:
        """Take one event."""
