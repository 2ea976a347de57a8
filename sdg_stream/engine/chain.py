"""The row chain: neighbouring row blocks, ``drop_columns`` and ``drop_duplicates`` fused into one loop.

No queue, task or record object stands between fused steps; a step costs one call and a few counters.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Any, TypeAlias

import orjson

from ..abc import RowBlock
from ..errors import RecordError
from ..record import Columns, Record
from .stats import BlockStats
from .tracker import RootState

__all__ = ["Chain", "OnReject", "Seen", "Step", "dedup_step", "drop_step", "row_step"]

KEPT_KEYS = 32_768  # of settled roots: more than can be on their way to where they are looked up
OnReject: TypeAlias = Callable[[Record, BlockStats, RecordError, Columns | None], None]
_Steps: TypeAlias = list[tuple[Callable[[Columns], Iterable[Columns]], BlockStats, bool, "_Steps"]]
"""Steps in order: what each does, whose counters it moves, whether it counts, and the steps behind it."""


class Step:
    """One step of a chain: what to do with columns, and whose counters it moves.

    ``counts`` is false for steps that belong to a block whose records were counted before
    (``drop_columns``, ``drop_duplicates``); ``seen`` is what a ``drop_duplicates`` remembers.
    """

    __slots__ = ("apply", "counts", "seen", "stats")

    def __init__(
        self,
        apply: Callable[[Columns], Iterable[Columns]],
        stats: BlockStats,
        *,
        counts: bool = True,
        seen: Seen | None = None,
    ) -> None:
        self.apply = apply
        self.stats = stats
        self.counts = counts
        self.seen = seen


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


class Seen:
    """What one ``drop_duplicates`` has let pass: a 16-byte digest of each distinct key, and whose it was.

    ``root`` is the one whose record passes now. What a root was first with is asked for once, when it is
    settled, and is remembered elsewhere from then on, if there is an ``owner`` to be asked: the settled root
    that had a key. Then only the latest keys stay in memory.

    A settled root that comes again, to complete a barrier, passes with the keys that it was first with, and
    with no others: else it would be in the way of the root that it gave way to before.
    """

    __slots__ = ("_by_root", "_digests", "_done", "_owner", "_settled", "root")

    def __init__(self) -> None:
        self.root = 0
        self._digests: set[bytes] = set()
        self._by_root: dict[int, list[bytes]] = {}
        self._settled: deque[bytes] = deque()  # keys of settled roots that are still in memory
        self._owner: Callable[[bytes], int | None] | None = None
        self._done: Callable[[int], bool] = lambda _: False

    def ask(self, owner: Callable[[bytes], int | None], done: Callable[[int], bool]) -> None:
        """Have keys of settled roots looked up; ``done`` tells which roots are."""
        self._owner = owner
        self._done = done

    def first(self, digest: bytes) -> bool:
        """Whether no record had this key before. A root that is run again is not in its own way."""
        if digest in self._digests:
            return False
        if self._owner is not None:
            owner = self._owner(digest)
            if owner != self.root and (owner is not None or self._done(self.root)):
                return False
        self._digests.add(digest)
        self._by_root.setdefault(self.root, []).append(digest)
        return True

    def take(self, root: int) -> list[bytes]:
        """The keys that a root was first with."""
        digests = self._by_root.pop(root, [])
        if self._owner is not None:
            settled = self._settled
            settled.extend(digests)
            while len(settled) > KEPT_KEYS:
                self._digests.discard(settled.popleft())
        return digests


def dedup_step(names: Iterable[str], stats: BlockStats) -> Step:
    """``drop_duplicates``: the first record with given values in these columns passes, later ones do not.

    Values are compared by content (lists and mappings too), text exactly, nulls equal each other.
    """
    keys = tuple(names)
    seen = Seen()

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
        return (columns,) if seen.first(blake2b(text, digest_size=16).digest()) else ()

    return Step(dedup, stats, counts=False, seen=seen)


class Chain:
    """Fused steps. Empty ones cost nothing: their columns pass.

    Args:
        steps: in order.
        roots: the open roots; what a record counts is also counted for its root.
        on_reject: told of each reject.
    """

    def __init__(self, steps: list[Step], roots: Mapping[int, RootState], on_reject: OnReject) -> None:
        self._steps: _Steps = []
        for step in reversed(steps):
            rest = self._steps
            self._steps = [(step.apply, step.stats, step.counts, rest), *rest]
        self._seen = [step.seen for step in steps if step.seen is not None]
        self._roots = roots
        self._on_reject = on_reject

    def run(self, columns: Columns, record: Record) -> list[Columns]:
        """All that comes of one record's columns; rejects are reported for ``record``."""
        if not self._steps:
            return [columns]
        tally = self._roots[record.root].tally
        for seen in self._seen:
            seen.root = record.root
        return self._follow(self._steps, columns, record, tally)

    def _follow(self, steps: _Steps, columns: Columns, record: Record, tally: list[int]) -> list[Columns]:
        """Take columns through steps. Nearly always a step makes one record of one: no list is gathered."""
        for apply, stats, counts, rest in steps:
            slot = stats.slot
            try:
                results = [*apply(columns)]
            except RecordError as error:
                results = []
                if not counts:
                    stats.records_out -= 1
                    tally[slot + 1] -= 1
                self._on_reject(record, stats, error, columns)
            except Exception as bug:
                bug.add_note(f"in block {stats.name!r} ({stats.type}), root {record.root}")
                raise
            else:
                if not results:
                    self._ended(stats, tally, duplicate=not counts)
            come = len(results)
            if counts:
                stats.records_in += 1
                stats.records_out += come
                tally[slot] += 1
                tally[slot + 1] += come
            if come != 1:
                return [end for result in results for end in self._follow(rest, result, record, tally)]
            columns = results[0]
        return [columns]

    @staticmethod
    def _ended(stats: BlockStats, tally: list[int], *, duplicate: bool) -> None:
        """A step gave nothing for a record: it filtered it, or let no second one pass."""
        if duplicate:
            stats.duplicates += 1
            stats.records_out -= 1
            tally[stats.slot + 3] += 1
            tally[stats.slot + 1] -= 1
        else:
            stats.filtered += 1
            tally[stats.slot + 2] += 1
