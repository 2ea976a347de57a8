"""Follow the columns through a pipeline, to find what a block needs and no record will have."""

from __future__ import annotations

from collections.abc import Iterator

from .plan import PlannedBlock

__all__ = ["ColumnFlow"]


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
            for column in sorted(flow.reads):
                if why := self._missing(column):
                    yield "", f"needs the column {column!r}; {why}"
            for column in sorted(flow.fresh & (self.known or set())):
                yield "", f"makes the column {column!r}, which is there already"
            self._change(added=set(flow.adds), removed=set(flow.drops) - set(flow.adds), by=name)
        self._change(added=set(), removed=set(planned.drop_columns), by=name)
        for column in planned.drop_duplicates:
            if why := self._missing(column):
                yield ".drop_duplicates", f"needs the column {column!r}; {why}"

    def _missing(self, column: str) -> str:
        """Why a column cannot be there; empty if it can."""
        if column in self.gone:
            return f"{self.gone[column]!r} removed it"
        if self.known is not None and column not in self.known:
            return f"the columns here are {', '.join(sorted(self.known)) or 'none'}"
        return ""

    def _change(self, *, added: set[str], removed: set[str], by: str) -> None:
        self.gone = {name: who for name, who in self.gone.items() if name not in added}
        self.gone.update(dict.fromkeys(removed, by))
        if self.known is not None:
            self.known = (self.known | added) - removed
