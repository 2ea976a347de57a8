"""Follow the columns through a pipeline, to find what a block needs and no record will have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..config.decode import nearest
from .plan import PlannedBlock

__all__ = ["ColumnFlow", "carried"]


class ColumnFlow:
    """Which columns records have along a pipeline, as far as that is known; ``gone`` says who removed one."""

    def __init__(self, known: set[str] | None) -> None:
        self.known = known
        self.gone: dict[str, str] = {}

    def through(self, planned: PlannedBlock) -> Iterator[tuple[str, str]]:
        """Follow one block; gives (place in its entry, words) of each mistake."""
        flow, name = planned.block.flow, planned.stats.name
        if flow is None:  # whatever a block does that does not say so, it may have made any column
            self.known, self.gone = None, {}
        else:
            yield from self._needed(sorted(flow.reads), "")
            for column in sorted(flow.fresh & (self.known or set())):
                yield "", f"makes the column {column!r}, which is there already"
            self._change(added=set(flow.adds), removed=set(flow.drops) - set(flow.adds), by=name)
        self._change(added=set(), removed=set(planned.drop_columns), by=name)
        yield from self._needed(planned.drop_duplicates, ".drop_duplicates")

    def _needed(self, columns: Iterable[str], place: str) -> Iterator[tuple[str, str]]:
        """A mistake for the columns that cannot be there; they are told once, not by every block behind."""
        missing = []
        for column in columns:
            if column in self.gone:
                yield place, f"needs the column {column!r}; {self.gone.pop(column)!r} removed it"
            elif self.known is not None and column not in self.known:
                missing.append(column)
        if not missing or self.known is None:
            return
        close = nearest(missing[0], self.known) if len(missing) == 1 else None
        hint = f"did you mean {close!r}?" if close else "no input column or earlier block gives that"
        word = "column" if len(missing) == 1 else "columns"
        yield place, f"needs the {word} {', '.join(map(repr, missing))}; {hint}"
        self.known |= set(missing)

    def _change(self, *, added: set[str], removed: set[str], by: str) -> None:
        self.gone = {name: who for name, who in self.gone.items() if name not in added}
        self.gone.update(dict.fromkeys(removed, by))
        if self.known is not None:
            self.known = (self.known | added) - removed


def carried(blocks: Iterable[PlannedBlock], columns: Iterable[str]) -> dict[str, str] | None:
    """Where finished rows have the values of the input's columns, unchanged.

    Returns:
        The column of the rows by the column of the input; those whose values are lost or replaced are not in
        it. None if a block does not say what it does.
    """
    now = {name: name for name in columns}  # the column of the input by that of the record
    for planned in blocks:
        flow = planned.block.flow
        if flow is None:
            return None
        moved = {new: now[old] for old, new in flow.moves.items() if old in now}
        for name in (*flow.adds, *flow.drops):
            now.pop(name, None)
        now |= moved
        for name in planned.drop_columns:
            now.pop(name, None)
    return {before: name for name, before in now.items()}
