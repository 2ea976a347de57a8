"""Copies columns under new names."""

from __future__ import annotations

from collections.abc import Iterable

from ..abc import BlockConfig, Context, Flow, RowBlock
from ..record import Columns
from .record_errors import missing_column, taken_column

__all__ = ["DuplicateColumnsBlock"]


class DuplicateColumnsBlock(RowBlock["DuplicateColumnsBlock.Config"]):
    """Adds the copies behind the other columns."""

    class Config(BlockConfig, frozen=True, kw_only=True):
        """Which columns to copy.

        Attributes:
            columns_map: column to the name of its copy, in order; a later entry can copy a copy.
        """

        columns_map: dict[str, str]

        def __post_init__(self) -> None:
            known: set[str] = set()
            for source, target in self.columns_map.items():
                known.add(source)
                if target in known:
                    raise ValueError(f"columns_map copies {source!r} to {target!r}, which exists by then")
                known.add(target)

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        origin: dict[str, str] = {}
        for source, target in config.columns_map.items():
            origin[target] = origin.get(source, source)
        self._pairs = tuple(origin.items())
        self._targets = tuple(origin)

    @property
    def flow(self) -> Flow:
        """Needs the sources, adds their copies, keeps every record."""
        reads = frozenset(source for _, source in self._pairs)
        fresh = frozenset(self._targets)
        return Flow(reads=reads, adds=self._targets, fresh=fresh, one_to_one=True)

    def apply(self, columns: Columns) -> Iterable[Columns]:
        """The record with the copies.

        Raises:
            RecordError: ``missing_column``, or ``bad_value`` where a copy's name is taken.
        """
        if not columns.keys().isdisjoint(self._targets):
            raise taken_column(self._targets, columns)
        try:
            for target, source in self._pairs:
                columns[target] = columns[source]
        except KeyError:
            for target in self._targets:  # a reject is the record as it came
                columns.pop(target, None)
            raise missing_column((source for _, source in self._pairs), columns) from None
        return (columns,)
