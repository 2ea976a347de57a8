"""The plan: which blocks run together, and how they are joined. Pure and printable.

* Neighbouring row blocks, and those right behind an async or group block, fuse into one stage.
* Consecutive one-to-one async blocks that do not read each other's columns are asked side by side.
* A group block is a barrier.
* When rows leave in input order, ``drop_duplicates`` begins a stage that records enter in root order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from ..abc import AsyncBlock, Block, GroupBlock, RowBlock
from .chain import Seen, Step, dedup_step, drop_step, row_step
from .stats import BlockStats

__all__ = ["Order", "Plan", "PlannedBlock", "Stage", "StageKind", "make_plan"]

Order: TypeAlias = Literal["input", "none"]
StageKind: TypeAlias = Literal["rows", "calls", "group"]


class PlannedBlock:
    """A constructed block with what its pipeline file entry asks for beside it."""

    __slots__ = ("block", "drop_columns", "drop_duplicates", "stats")

    def __init__(
        self,
        block: Block[Any],
        type_: str,
        drop_columns: Sequence[str] = (),
        drop_duplicates: Sequence[str] = (),
    ) -> None:
        self.block = block
        self.drop_columns = tuple(drop_columns)
        self.drop_duplicates = tuple(drop_duplicates)
        self.stats = BlockStats(block.context.name, type_, block.context)

    @property
    def one_to_one(self) -> bool:
        """Whether other async blocks may be asked at the same time for the same record."""
        flow = self.block.flow
        return flow is not None and flow.one_to_one and isinstance(self.block, AsyncBlock)


class Stage:
    """What runs between two channels: its head (async blocks, a group block or nothing) and a row chain.

    ``gated`` stages take records from a gate: in root order, and for a group block all at once.
    """

    __slots__ = ("gated", "head", "kind", "labels", "steps")

    def __init__(self, kind: StageKind, *, gated: bool = False) -> None:
        self.kind = kind
        self.gated = gated
        self.head: list[PlannedBlock] = []
        self.steps: list[Step] = []
        self.labels: list[str] = []

    @property
    def name(self) -> str:
        """The names of its blocks, for messages."""
        return " + ".join(self.labels)


class Plan:
    """The stages of a pipeline in order; ``str()`` shows them."""

    def __init__(self, stages: list[Stage], blocks: list[PlannedBlock], order: Order) -> None:
        self.stages = stages
        self.blocks = blocks
        self.order = order

    @property
    def barriers(self) -> int:
        """How many group blocks there are."""
        return sum(stage.kind == "group" for stage in self.stages)

    def seen(self) -> list[Seen]:
        """What each ``drop_duplicates`` remembers, in order."""
        return [step.seen for stage in self.stages for step in stage.steps if step.seen is not None]

    def lines(self) -> list[str]:
        """One line a stage."""
        words = {"rows": "rows ", "calls": "calls", "group": "group"}
        lines = []
        for number, stage in enumerate(self.stages, 1):
            notes = []
            if len(stage.head) > 1:
                notes.append(f"{len(stage.head)} calls side by side")
            if stage.kind == "group":
                notes.append("barrier: waits for all records")
            elif stage.gated:
                notes.append("in input order")
            note = f"   [{'; '.join(notes)}]" if notes else ""
            lines.append(f"{number:>3}  {words[stage.kind]}  {stage.name}{note}")
        tail = "input order" if self.order == "input" else "the order in which they settle"
        lines.append(f"     rows leave in {tail}")
        return lines

    def __str__(self) -> str:
        return "\n".join(self.lines())


def make_plan(blocks: Sequence[PlannedBlock], order: Order) -> Plan:
    """Turn blocks into stages."""
    stages: list[Stage] = []
    for planned in blocks:
        _place(stages, planned)
        stage = stages[-1]
        if planned.drop_columns:
            stage.steps.append(drop_step(planned.drop_columns, planned.stats))
        if planned.drop_duplicates:
            if order == "input":
                stage = Stage("rows", gated=True)
                stages.append(stage)
            stage.steps.append(dedup_step(planned.drop_duplicates, planned.stats))
            stage.labels.append(f"drop duplicates of {', '.join(planned.drop_duplicates)}")
    return Plan(stages, list(blocks), order)


def _place(stages: list[Stage], planned: PlannedBlock) -> None:
    """Put a block into the last stage if it can join it, else into a new one."""
    block, name = planned.block, planned.block.context.name
    last = stages[-1] if stages else None
    if isinstance(block, RowBlock):
        if last is None:
            last = Stage("rows")
            stages.append(last)
        last.steps.append(row_step(block, planned.stats))
        last.labels.append(name)
        return
    if not isinstance(block, AsyncBlock | GroupBlock):
        raise TypeError(f"block {name!r}: {type(block).__name__} is not a row, async or group block")
    if last is None or not _runs_beside(last, planned):
        last = Stage("group" if isinstance(block, GroupBlock) else "calls")
        last.gated = last.kind == "group"
        stages.append(last)
    last.head.append(planned)
    last.labels.append(name)


def _runs_beside(stage: Stage, planned: PlannedBlock) -> bool:
    """Whether an async block may be asked while the stage's own are asked for the same record."""
    if stage.kind != "calls" or stage.steps or not planned.one_to_one:
        return False
    flow = planned.block.flow
    if flow is None:
        return False
    for other in stage.head:
        before = other.block.flow
        if before is None or not other.one_to_one:
            return False
        if flow.reads & set(before.adds) or set(flow.adds) & (set(before.adds) | before.reads):
            return False
    return True
