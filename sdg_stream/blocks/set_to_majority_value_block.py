"""Gives all records the value that most of them have. The only column block that waits for all records."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import orjson

from ..abc import BlockConfig, Context, Flow, GroupBlock
from ..errors import RecordError
from ..record import Record
from .record_errors import missing_column

__all__ = ["SetToMajorityValueBlock"]


class SetToMajorityValueBlock(GroupBlock["SetToMajorityValueBlock.Config"]):
    """Sets the column of every record to the most frequent value, the smallest one on a tie.

    Text is ordered by code points. Nulls, and records without the column, do not vote but get the value.
    Lists and mappings are compared by content.
    """

    class Config(BlockConfig, frozen=True, kw_only=True):
        """Which column to even out.

        Attributes:
            col_name: the column.
        """

        col_name: str

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self._column = config.col_name

    @property
    def flow(self) -> Flow:
        """Needs its column and replaces it; keeps every record."""
        return Flow(reads=frozenset((self._column,)), adds=(self._column,), one_to_one=True)

    def apply(self, records: list[Record]) -> Iterable[Record]:
        """The records, with the column set.

        Raises:
            RecordError: ``missing_column`` if no record has it, ``bad_value`` if it holds nothing but nulls.
        """
        majority = self._majority(records)
        for record in records:
            record.columns[self._column] = majority
        return records

    def _majority(self, records: list[Record]) -> Any:
        votes: dict[Hashable, int] = {}
        values: dict[Hashable, Any] = {}
        for record in records:
            value = record.columns.get(self._column)
            if value is None or value != value:  # noqa: PLR0124 - NaN is no vote either
                continue
            ballot = _ballot(value)
            votes[ballot] = votes.get(ballot, 0) + 1
            values.setdefault(ballot, value)
        if votes:
            most = max(votes.values())
            return values[min((ballot for ballot, count in votes.items() if count == most), key=_rank)]
        if records and not any(self._column in record.columns for record in records):
            raise missing_column((self._column,), records[0].columns)
        raise RecordError("bad_value", f"column {self._column!r} is null in all {len(records)} records")


def _ballot(value: Any) -> Hashable:
    """What stands for a value in the count: itself if it is a scalar, else its JSON."""
    if isinstance(value, str | int | float):
        return value
    return orjson.dumps(value, default=repr, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)


def _rank(ballot: Any) -> tuple[int, Any]:
    """Numbers before text before lists and mappings; each kind in its own order."""
    return (2 if isinstance(ballot, bytes) else 1 if isinstance(ballot, str) else 0), ballot
