"""Wide to long: one record for each of some columns, holding the column's name and its value."""

from __future__ import annotations

from collections.abc import Iterable

from ..abc import BlockConfig, Context, Flow, RowBlock
from ..record import Columns
from .record_errors import missing_column, taken_column

__all__ = ["FlattenColumnsBlock"]

DEFAULT_VAR_NAME = "variable"


class FlattenColumnsBlock(RowBlock["FlattenColumnsBlock.Config"]):
    """Gives a record for each of ``var_cols``, in their order; null values give one, too.

    Columns of a result: the others in their order, then ``var_name``, then ``value_name``.
    """

    class Config(BlockConfig, frozen=True, kw_only=True):
        """Which columns to turn into records, and how the two new columns are called.

        Attributes:
            var_cols: the columns that become records.
            value_name: new column for the value; no column may have that name already.
            var_name: new column for the column's name; null stands for ``variable``.
        """

        var_cols: list[str]
        value_name: str
        var_name: str | None

        def __post_init__(self) -> None:
            if self.value_name in self.var_cols:
                raise ValueError(f"value_name {self.value_name!r} is also one of var_cols")
            if self.value_name == (self.var_name or DEFAULT_VAR_NAME):
                raise ValueError(f"value_name and var_name are both {self.value_name!r}")

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self._sources = tuple(dict.fromkeys(config.var_cols))
        self._gone = frozenset(self._sources)
        self._value_name = config.value_name
        self._var_name = DEFAULT_VAR_NAME if config.var_name is None else config.var_name

    @property
    def flow(self) -> Flow:
        """Needs the flattened columns and replaces them by two."""
        added = (self._var_name, self._value_name)
        drops = self._gone.difference(added)
        fresh = frozenset(added).difference(self._gone)
        one = len(self._sources) == 1
        return Flow(reads=self._gone, adds=added, drops=drops, fresh=fresh, one_to_one=one)

    def apply(self, columns: Columns) -> Iterable[Columns]:
        """One record for each flattened column.

        Raises:
            RecordError: ``missing_column``, or ``bad_value`` where a new column's name is taken.
        """
        var_name, value_name, gone = self._var_name, self._value_name, self._gone
        try:
            values = [(column, columns[column]) for column in self._sources]
        except KeyError:
            raise missing_column(self._sources, columns) from None
        kept = {column: value for column, value in columns.items() if column not in gone}
        if var_name in kept or value_name in kept:
            raise taken_column((var_name, value_name), kept)
        return [{**kept, var_name: column, value_name: value} for column, value in values]
