"""The row chain: neighbouring row blocks, ``drop_columns`` and ``drop_duplicates`` fused into one loop.

No queue, task or record object stands between fused steps; a step costs one call and a few counters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any, TypeAlias

import orjson

from ..abc import RowBlock
from ..errors import RecordError
from ..record import Columns, Record
from .stats import BlockStats

__all__ = ["Chain", "OnReject", "Step", "dedup_step", "drop_step", "row_step"]

OnReject: TypeAlias = Callable[[Record, str, RecordError, Columns | None], None]


class Step:
    """One step of a chain: what to do with columns, and whose counters it moves.

    ``counts`` is false for steps that belong to a block whose records were counted before
    (``drop_columns``, ``drop_duplicates``).
    """

    __slots__ = ("apply", "counts", "stats")

    def __init__(
        self, apply: Callable[[Columns], Iterable[Columns]], stats: BlockStats, *, counts: bool = True
    ) -> None:
        self.apply = apply
        self.stats = stats
        self.counts = counts


def row_step(block: RowBlock[Any], stats: BlockStats) -> Step:
    """The step of a row block."""
    return Step(block.apply, stats)


def drop_step(names: Iterable[str], stats: BlockStats) -> Step:
    """``drop_columns``: names that a record does not have are ignored, as upstream does."""
    dropped = tuple(names)

    def drop(columns: Columns) -> tuple[Columns]:
        for name in dropped:
            columns.pop(name, None)
        return (columns,)

    return Step(drop, stats, counts=False)


def dedup_step(names: Iterable[str], stats: BlockStats) -> Step:
    """``drop_duplicates``: the first record with given values in these columns passes, later ones do not.

    Values are compared by content (lists and mappings too), text exactly, nulls equal each other. What is
    remembered is a 16-byte digest of each distinct key.
    """
    keys = tuple(names)
    seen: set[bytes] = set()

    def dedup(columns: Columns) -> tuple[Columns, ...]:
        try:
            values = [columns[name] for name in keys]
        except KeyError as error:
            raise RecordError(
                "missing_column", f"drop_duplicates: there is no column {error.args[0]!r}"
            ) from None
        try:
            text = orjson.dumps(values, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
        except TypeError:
            text = repr(values).encode(errors="surrogatepass")
        digest = blake2b(text, digest_size=16).digest()
        if digest in seen:
            stats.duplicates += 1
            stats.records_out -= 1
            return ()
        seen.add(digest)
        return (columns,)

    return Step(dedup, stats, counts=False)


class Chain:
    """Fused steps. Empty ones cost nothing: their columns pass."""

    def __init__(self, steps: list[Step], on_reject: OnReject) -> None:
        self._steps = [(step.apply, step.stats, step.counts) for step in steps]
        self._on_reject = on_reject

    def run(self, columns: Columns, record: Record) -> list[Columns]:
        """All that comes of one record's columns; rejects are reported for ``record``."""
        batch = [columns]
        for apply, stats, counts in self._steps:
            results: list[Columns] = []
            for item in batch:
                before = len(results)
                try:
                    results.extend(apply(item))
                except RecordError as error:
                    del results[before:]
                    if not counts:
                        stats.records_out -= 1
                    stats.count_reject(error.reason)
                    self._on_reject(record, stats.name, error, item)
                except Exception as bug:
                    bug.add_note(f"in block {stats.name!r} ({stats.type}), root {record.root}")
                    raise
                else:
                    if counts and len(results) == before:
                        stats.filtered += 1
            if counts:
                stats.records_in += len(batch)
                stats.records_out += len(results)
            if not results:
                return results
            batch = results
        return batch
