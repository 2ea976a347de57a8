"""Counters of a run: plain attributes that the hot path increments, read on a beat."""

from __future__ import annotations

import time

from ..abc import Context
from ..events import BlockReport, RunReport

__all__ = ["BlockStats", "RunStats"]


class BlockStats:
    """What one block did so far; see :class:`~sdg_stream.events.BlockReport` for the meanings."""

    __slots__ = ("context", "duplicates", "filtered", "name", "records_in", "records_out", "rejected", "type")

    def __init__(self, name: str, type_: str, context: Context | None = None) -> None:
        self.name = name
        self.type = type_
        self.context = context
        self.records_in = 0
        self.records_out = 0
        self.filtered = 0
        self.duplicates = 0
        self.rejected: dict[str, int] = {}

    def count_reject(self, reason: str) -> None:
        """One more record ended here for this reason."""
        self.rejected[reason] = self.rejected.get(reason, 0) + 1

    def report(self) -> BlockReport:
        """The counters as they are now, frozen."""
        return BlockReport(
            name=self.name,
            type=self.type,
            records_in=self.records_in,
            records_out=self.records_out,
            filtered=self.filtered,
            duplicates=self.duplicates,
            unparsed_replies=self.context.unparsed_replies if self.context else 0,
            cut_replies=self.context.cut_replies if self.context else 0,
            filtered_replies=self.context.filtered_replies if self.context else 0,
            parse_retries=self.context.parse_retries if self.context else 0,
            rejected=dict(self.rejected),
        )


class RunStats:
    """What became of the roots so far."""

    def __init__(self, pipeline: str, blocks: list[BlockStats]) -> None:
        self.pipeline = pipeline
        self.blocks = blocks
        self.input = BlockStats("input", "source")
        self.output = BlockStats("output", "sink")
        self.started = time.monotonic()
        self.roots = 0
        self.accepted = 0
        self.filtered = 0
        self.rejected = 0
        self.roots_with_rejects = 0
        self.rows = 0
        self.rejects = 0

    def report(self, **more: object) -> RunReport:
        """The account now; roots that are not settled yet count as pending."""
        edges = [edge for edge in (self.input, self.output) if edge.rejected]
        inner = [block.report() for block in self.blocks]
        first = [edge.report() for edge in edges if edge is self.input]
        last = [edge.report() for edge in edges if edge is self.output]
        settled = self.accepted + self.filtered + self.rejected
        fields: dict[str, object] = {
            "pipeline": self.pipeline,
            "roots": self.roots,
            "accepted": self.accepted,
            "filtered": self.filtered,
            "rejected": self.rejected,
            "pending": self.roots - settled,
            "roots_with_rejects": self.roots_with_rejects,
            "rows": self.rows,
            "rejects": self.rejects,
            "seconds": time.monotonic() - self.started,
            "blocks": (*first, *inner, *last),
        }
        return RunReport(**{**fields, **more})  # type: ignore[arg-type]
