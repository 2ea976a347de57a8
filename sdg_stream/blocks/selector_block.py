"""Copies the one of several columns that another column chooses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..abc import BlockConfig, Context, Flow, RowBlock
from ..errors import RecordError
from ..record import Columns
from .record_errors import missing_column, unknown_choice

__all__ = ["SelectorBlock"]


class SelectorBlock(RowBlock["SelectorBlock.Config"]):
    """Sets ``output_col`` to the value of the column that the record's choice stands for."""

    class Config(BlockConfig, frozen=True, kw_only=True):
        """What is chosen between.

        Attributes:
            choice_map: choice (text, number, true or false) to the column that it stands for.
            choice_col: the column that holds the choice.
            output_col: gets the chosen column's value; may be ``choice_col`` itself.
        """

        choice_map: dict[Any, str]
        choice_col: str
        output_col: str

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self._chosen = config.choice_map
        self._choice_col = config.choice_col
        self._output = config.output_col

    @property
    def flow(self) -> Flow:
        """Needs the choice and every column that can be chosen; adds one, keeps every record."""
        reads = frozenset((self._choice_col, *self._chosen.values()))
        return Flow(reads=reads, adds=(self._output,), one_to_one=True)

    def apply(self, columns: Columns) -> Iterable[Columns]:
        """The record with the chosen value.

        Raises:
            RecordError: ``unknown_choice``, ``missing_column``.
        """
        try:
            columns[self._output] = columns[self._chosen[columns[self._choice_col]]]
        except (KeyError, TypeError):  # TypeError: the choice is a list or a mapping
            raise self._why(columns) from None
        return (columns,)

    def _why(self, columns: Columns) -> RecordError:
        if self._choice_col not in columns:
            return missing_column((self._choice_col,), columns)
        choice = columns[self._choice_col]
        if isinstance(choice, list | dict) or choice not in self._chosen:
            return unknown_choice(self._choice_col, choice, self._chosen)
        return missing_column((self._chosen[choice],), columns)
