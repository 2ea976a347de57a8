"""Gives columns other names, all at once, so that swaps and chains work."""

from __future__ import annotations

from collections.abc import Iterable

from ..abc import BlockConfig, Context, Flow, RowBlock
from ..record import Columns
from .record_errors import missing_column, taken_column

__all__ = ["RenameColumnsBlock"]


class RenameColumnsBlock(RowBlock["RenameColumnsBlock.Config"]):
    """Renames columns; each keeps its place."""

    class Config(BlockConfig, frozen=True, kw_only=True):
        """Which columns to rename.

        Attributes:
            columns_map: old name to new name.
        """

        columns_map: dict[str, str]

        def __post_init__(self) -> None:
            seen: dict[str, str] = {}
            for old, new in self.columns_map.items():
                if not new:
                    raise ValueError(f"columns_map gives {old!r} an empty name")
                if new in seen:
                    raise ValueError(f"columns_map renames both {seen[new]!r} and {old!r} to {new!r}")
                seen[new] = old

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self._new_name = config.columns_map.get
        self._old = frozenset(config.columns_map)
        self._brought = tuple(name for name in config.columns_map.values() if name not in self._old)

    @property
    def flow(self) -> Flow:
        """Needs the old names, adds the new ones, drops the old ones that nothing is renamed to."""
        new = tuple(self.config.columns_map.values())
        drops, fresh = self._old.difference(new), frozenset(new).difference(self._old)
        moves = self.config.columns_map
        return Flow(reads=self._old, adds=new, drops=drops, fresh=fresh, moves=moves, one_to_one=True)

    def apply(self, columns: Columns) -> Iterable[Columns]:
        """The record under its new names.

        Raises:
            RecordError: ``missing_column``, or ``bad_value`` where another column has a new name already.
        """
        if not columns.keys() >= self._old:
            raise missing_column(self.config.columns_map, columns)
        new_name = self._new_name
        renamed = {new_name(name, name): value for name, value in columns.items()}
        if len(renamed) < len(columns):
            raise taken_column(self._brought, columns)
        return (renamed,)
