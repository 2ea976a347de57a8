"""Counters of a run: plain attributes that the hot path increments, read on a beat."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from ..abc import Context
from ..events import BlockReport, RunReport

__all__ = ["TALLY", "BlockStats", "RunStats"]


_COUNTS = (
    "roots", "accepted", "filtered", "rejected", "roots_with_rejects", "rows", "rejects", "imported",
)  # fmt: skip

TALLY = 4  # numbers that a root counts at each block: records in, out, filtered, duplicates


class BlockStats:
    """What one block did so far; see :class:`~sdg_stream.events.BlockReport` for the meanings.

    ``slot`` is where the block's numbers begin in the tally of a root. ``rejected`` counts as it happens,
    ``settled_rejected`` when the root is settled.
    """

    __slots__ = (
        "context",
        "duplicates",
        "filtered",
        "name",
        "records_in",
        "records_out",
        "rejected",
        "settled_rejected",
        "slot",
        "type",
    )

    def __init__(self, name: str, type_: str, context: Context | None = None) -> None:
        self.name = name
        self.type = type_
        self.context = context
        self.slot = 0
        self.records_in = 0
        self.records_out = 0
        self.filtered = 0
        self.duplicates = 0
        self.rejected: dict[str, int] = {}
        self.settled_rejected: dict[str, int] = {}

    def count_reject(self, reason: str) -> None:
        """One more record ended here for this reason."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1

    def report(self) -> BlockReport:
        """The counters as they are now, frozen."""
        numbers = (self.records_in, self.records_out, self.filtered, self.duplicates)
        return self.report_of(numbers, self.rejected)

    def report_of(self, numbers: Sequence[int], rejected: dict[str, int]) -> BlockReport:
        """The same with other counts; those of replies are not known by root, so they are as of now."""
        records_in, records_out, filtered, duplicates = numbers
        return BlockReport(
            name=self.name,
            type=self.type,
            records_in=records_in,
            records_out=records_out,
            filtered=filtered,
            duplicates=duplicates,
            unparsed_replies=self.context.unparsed_replies if self.context else 0,
            cut_replies=self.context.cut_replies if self.context else 0,
            filtered_replies=self.context.filtered_replies if self.context else 0,
            parse_retries=self.context.parse_retries if self.context else 0,
            rejected=dict(rejected),
        )

    def restore(self, report: BlockReport) -> None:
        """Go on from the account of earlier sessions."""
        self.records_in = report.records_in
        self.records_out = report.records_out
        self.filtered = report.filtered
        self.duplicates = report.duplicates
        self.rejected = dict(report.rejected)
        self.settled_rejected = dict(report.rejected)
        if self.context is not None:
            self.context.unparsed_replies = report.unparsed_replies
            self.context.cut_replies = report.cut_replies
            self.context.filtered_replies = report.filtered_replies
            self.context.parse_retries = report.parse_retries


class RunStats:
    """What became of the roots so far.

    Blocks count as records pass. What settled roots have counted is summed up apart, since only that is sure
    to stay: a root that is open when a session ends is run again by the next one.
    """

    def __init__(self, pipeline: str, blocks: list[BlockStats]) -> None:
        self.pipeline = pipeline
        self.blocks = blocks
        self.input = BlockStats("input", "source")
        self.output = BlockStats("output", "sink")
        for index, block in enumerate(blocks):
            block.slot = TALLY * index
        self.settled = [0] * (TALLY * len(blocks))
        self.started = time.monotonic()
        self.seconds_before = 0.0
        self.roots = 0
        self.accepted = 0
        self.filtered = 0
        self.rejected = 0
        self.roots_with_rejects = 0
        self.rows = 0
        self.rejects = 0
        self.imported = 0

    def count(self, outcome: str, tally: Sequence[int], rejected: Iterable[tuple[BlockStats, str]]) -> None:
        """A root is settled: ``rejected`` are the stages and reasons of its rejects."""
        setattr(self, outcome, getattr(self, outcome) + 1)
        settled = self.settled
        for index, number in enumerate(tally):
            if number:
                settled[index] += number
        lost = 0
        for stats, reason in rejected:
            lost += 1
            stats.settled_rejected[reason] = stats.settled_rejected.get(reason, 0) + 1
        if lost:
            self.rejects += lost
            self.roots_with_rejects += 1

    def discount(self, tally: Sequence[int], rejected: Iterable[tuple[BlockStats, str]]) -> None:
        """A root that was settled before came by again, to complete a barrier: it counts once."""
        for block in self.blocks:
            numbers = tally[block.slot : block.slot + TALLY]
            block.records_in -= numbers[0]
            block.records_out -= numbers[1]
            block.filtered -= numbers[2]
            block.duplicates -= numbers[3]
        for stats, reason in rejected:
            stats.rejected[reason] -= 1

    def restore(self, account: RunReport) -> None:
        """Go on from the account of the roots that earlier sessions settled."""
        for name in _COUNTS:
            setattr(self, name, getattr(account, name))
        for stats, report in self._beside(account.blocks):
            stats.restore(report)
            if stats is not self.input and stats is not self.output:
                self.settled[stats.slot : stats.slot + TALLY] = (
                    report.records_in,
                    report.records_out,
                    report.filtered,
                    report.duplicates,
                )

    def report(self, **more: object) -> RunReport:
        """The account now; roots that are not settled yet count as pending."""
        blocks = [block.report() for block in self.blocks]
        edges = {edge: edge.report() for edge in (self.input, self.output) if edge.rejected}
        return self._report(self.roots, blocks, edges, more)

    def account(self) -> RunReport:
        """The account of the settled roots alone, the same whatever else is under way."""
        blocks = [
            block.report_of(self.settled[block.slot : block.slot + TALLY], block.settled_rejected)
            for block in self.blocks
        ]
        edges = {
            edge: edge.report_of((0, 0, 0, 0), edge.settled_rejected)
            for edge in (self.input, self.output)
            if edge.settled_rejected
        }
        return self._report(self.accepted + self.filtered + self.rejected, blocks, edges, {})

    def _report(
        self,
        roots: int,
        blocks: list[BlockReport],
        edges: dict[BlockStats, BlockReport],
        more: dict[str, object],
    ) -> RunReport:
        settled = self.accepted + self.filtered + self.rejected
        first = [report for edge, report in edges.items() if edge is self.input]
        last = [report for edge, report in edges.items() if edge is self.output]
        fields: dict[str, object] = {
            "pipeline": self.pipeline,
            "roots": roots,
            "accepted": self.accepted,
            "filtered": self.filtered,
            "rejected": self.rejected,
            "pending": roots - settled,
            "roots_with_rejects": self.roots_with_rejects,
            "rows": self.rows,
            "rejects": self.rejects,
            "imported": self.imported,
            "seconds": self.seconds_before + time.monotonic() - self.started,
            "blocks": (*first, *blocks, *last),
        }
        return RunReport(**{**fields, **more})  # type: ignore[arg-type]

    def _beside(self, reports: Sequence[BlockReport]) -> Iterable[tuple[BlockStats, BlockReport]]:
        """Each report with whose it is; the edges are there only if they rejected something."""
        own = list(self.blocks)
        for report in reports:
            if report.type == "source":
                yield self.input, report
            elif report.type == "sink" and not own:
                yield self.output, report
            else:
                yield own.pop(0), report
