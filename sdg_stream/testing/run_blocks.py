"""Blocks on rows without an engine: one block after the other, one record at a time. For tests of blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..abc import AsyncBlock, Block, Context, GroupBlock, RowBlock
from ..config.yaml import Document
from ..errors import ConfigError, Problem, RecordError
from ..record import Columns, Record

__all__ = ["Outcome", "make_block", "run_blocks"]


class Outcome(NamedTuple):
    """What came out: the rows, and ``(root, error)`` for each reject, both in root order, then path order."""

    rows: list[Columns]
    rejects: list[tuple[int, RecordError]]


def make_block(
    kind: type[Block[Any]], config: Mapping[str, Any], context: Context | None = None
) -> Block[Any]:
    """The block that a pipeline file with this ``config`` gives.

    Raises:
        ConfigError: the config has mistakes; all of them are listed.
    """
    context = context or Context("block")
    problems: list[Problem] = []
    decoded = kind.decode(Document("<config>", dict(config), {}), "$", dict(config), problems, context)
    if decoded is None:
        raise ConfigError(problems)
    return kind.create(decoded, context)


async def run_blocks(blocks: Sequence[Block[Any]], rows: Iterable[Columns]) -> Outcome:
    """Run the blocks over the rows; the rows themselves stay as they are (their columns are copied)."""
    records = [Record(root, dict(columns)) for root, columns in enumerate(rows)]
    rejects: list[tuple[int, RecordError]] = []
    for block in blocks:
        if isinstance(block, GroupBlock):
            records = _run_group(block, records, rejects)
        else:
            records = [made for record in records for made in await _run_one(block, record, rejects)]
        records.sort(key=lambda record: (record.root, record.path))
    rejects.sort(key=lambda reject: reject[0])
    return Outcome([record.columns for record in records], rejects)


async def _run_one(block: Block[Any], record: Record, rejects: list[tuple[int, RecordError]]) -> list[Record]:
    try:
        if isinstance(block, AsyncBlock):
            results = list(await block.apply(record))
        elif isinstance(block, RowBlock):
            results = list(block.apply(record.columns))
        else:
            raise TypeError(f"{type(block).__name__} is not a row, async or group block")
    except RecordError as error:
        rejects.append((record.root, error))
        return []
    return [record.fork(columns, index) for index, columns in enumerate(results)]


def _run_group(
    block: GroupBlock[Any], records: list[Record], rejects: list[tuple[int, RecordError]]
) -> list[Record]:
    try:
        return list(block.apply(records)) if records else []
    except RecordError as error:
        rejects.extend((record.root, error) for record in records)
        return []
