"""Many runs told as one: their events and accounts, added up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import msgspec

from ..events import (
    BlockReport,
    Event,
    EventHook,
    Notice,
    Progress,
    RecordRejected,
    RunFinished,
    RunReport,
    RunStarted,
    TeacherReport,
)

__all__ = ["Together"]

_BEAT = 0.5  # seconds between two accounts
_COUNTS = ("roots", "accepted", "filtered", "rejected", "pending", "roots_with_rejects", "rows", "rejects")
_BLOCK_COUNTS = (
    "records_in",
    "records_out",
    "filtered",
    "duplicates",
    "unparsed_replies",
    "cut_replies",
    "filtered_replies",
    "parse_retries",
)


class Together:
    """Hears the runs of a job, and tells a hook of the job as if it were one run.

    Args:
        name: what the job is called.
        output: where its files are.
        teacher: the account of the teacher that all runs share.
        hook: who is told.
    """

    def __init__(
        self, name: str, output: str, teacher: Callable[[], TeacherReport | None], hook: EventHook | None
    ) -> None:
        self._name = name
        self._output = output
        self._teacher = teacher
        self._hook = hook
        self._began = time.monotonic()
        self._next = 0.0
        self._runs: dict[str, tuple[str, RunReport]] = {}
        self._open: dict[str, int] = {}
        self._told: set[tuple[str, str]] = set()

    def tell(self, event: Event) -> None:
        """Tell the hook something of the job itself."""
        if self._hook is not None:
            self._hook(event)

    def of(self, key: str, kind: str) -> EventHook:
        """The hook of one run; ``kind`` stands before the names of its blocks."""

        def hear(event: Event, /) -> None:
            if isinstance(event, Progress):
                self._open[key] = event.roots_open
                self.note(key, kind, event.report)
                self._beat()
            elif isinstance(event, RunFinished):
                self._open.pop(key, None)
                self.note(key, kind, event.report)
            elif isinstance(event, RecordRejected):
                self.tell(msgspec.structs.replace(event, stage=f"{kind}: {event.stage}"))
            elif isinstance(event, Notice) and self._is_news(event):
                self.tell(msgspec.structs.replace(event, message=f"{key}: {event.message}"))

        return hear

    def note(self, key: str, kind: str, report: RunReport) -> None:
        """Take the account of a run as it is now."""
        self._runs[key] = (kind, report)

    def begin(self, stages: tuple[str, ...], source: str) -> None:
        """The job begins."""
        self.tell(RunStarted(pipeline=self._name, stages=stages, input=source, output=self._output))

    def end(self) -> RunReport:
        """The job has ended: tell its account, and give it."""
        report = self.report()
        self.tell(Progress(report=report, roots_open=0))
        self.tell(RunFinished(report=report))
        return report

    def report(self) -> RunReport:
        """All runs together as they are now."""
        reports = [report for _, report in self._runs.values()]
        return RunReport(
            pipeline=self._name,
            seconds=time.monotonic() - self._began,
            blocks=tuple(_blocks(self._runs.values())),
            teacher=self._shared(reports),
            output=self._output,
            **{name: sum(getattr(report, name) for report in reports) for name in _COUNTS},
        )

    def _is_news(self, notice: Notice) -> bool:
        """Whether it is worth telling: of each leaf node's going on the job says so once."""
        known = notice.code == "going_on" or (notice.code, notice.message) in self._told
        self._told.add((notice.code, notice.message))
        return not known

    def _beat(self) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _BEAT
            self.tell(Progress(report=self.report(), roots_open=sum(self._open.values())))

    def _shared(self, reports: Iterable[RunReport]) -> TeacherReport | None:
        """The teacher's account, with the calls that answers of the runs saved: it knows nothing of them."""
        shared = self._teacher()
        if shared is None:
            return None
        accounts = [report.teacher for report in reports if report.teacher is not None]
        kept = sum(account.kept_calls for account in accounts)
        repeated = sum(account.repeated_calls for account in accounts)
        return msgspec.structs.replace(
            shared,
            calls=shared.calls + kept + repeated,
            saved_calls=shared.saved_calls + repeated,
            repeated_calls=repeated,
            kept_calls=kept,
        )


def _blocks(runs: Iterable[tuple[str, RunReport]]) -> Iterable[BlockReport]:
    """The blocks of all runs, those of one kind added up, kind by kind."""
    kinds: dict[str, dict[str, BlockReport]] = {}
    for kind, report in runs:
        blocks = kinds.setdefault(kind, {})
        for block in report.blocks:
            known = blocks.get(block.name)
            blocks[block.name] = block if known is None else _added(known, block)
    for kind in sorted(kinds):
        for name, block in kinds[kind].items():
            yield msgspec.structs.replace(block, name=f"{kind}: {name}")


def _added(one: BlockReport, other: BlockReport) -> BlockReport:
    counts = {name: getattr(one, name) + getattr(other, name) for name in _BLOCK_COUNTS}
    reasons = {*one.rejected, *other.rejected}
    rejected = {
        reason: one.rejected.get(reason, 0) + other.rejected.get(reason, 0) for reason in sorted(reasons)
    }
    return msgspec.structs.replace(one, rejected=rejected, **counts)
