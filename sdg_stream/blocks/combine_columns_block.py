"""Joins text columns into one."""

from __future__ import annotations

from collections.abc import Iterable

from ..abc import BlockConfig, Context, Flow, RowBlock
from ..errors import RecordError
from ..record import Columns
from .record_errors import missing_column, value_text

__all__ = ["CombineColumnsBlock"]


class CombineColumnsBlock(RowBlock["CombineColumnsBlock.Config"]):
    """Sets ``output_col`` to the texts of ``columns``, joined."""

    class Config(BlockConfig, frozen=True, kw_only=True):
        """Which columns to join, and where to.

        Attributes:
            columns: text columns, in the order of joining; one may stand here more than once.
            output_col: gets the joined text; may be one of the columns.
            separator: goes between the texts.
        """

        columns: list[str]
        output_col: str
        separator: str = "\n\n"

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self._columns = tuple(config.columns)
        self._output = config.output_col
        self._join = config.separator.join

    @property
    def flow(self) -> Flow:
        """Needs the columns, adds one, keeps every record."""
        return Flow(reads=frozenset(self._columns), adds=(self._output,), one_to_one=True)

    def apply(self, columns: Columns) -> Iterable[Columns]:
        """The record with the joined text.

        Raises:
            RecordError: ``missing_column``, or ``bad_type`` where a value is not text.
        """
        try:
            columns[self._output] = self._join(map(columns.__getitem__, self._columns))
        except (KeyError, TypeError):
            raise self._why(columns) from None
        return (columns,)

    def _why(self, columns: Columns) -> RecordError:
        for column in self._columns:
            if column in columns and not isinstance(columns[column], str):
                value = value_text(columns[column])
                return RecordError("bad_type", f"column {column!r} is {value}, not text")
        return missing_column(self._columns, columns)
