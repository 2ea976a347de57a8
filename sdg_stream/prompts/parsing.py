"""From a reply to rows: by start and end tags, or by a regular expression. Pure, compiled once.

What the parsers do follows upstream to the letter, since old pipelines rely on it: each column is searched on
its own in the whole reply, matches are paired by position, and the column with the fewest decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from .patterns import Pattern, PatternMistake, PatternTooSlow

__all__ = ["AT_ONCE", "PATIENCE", "Parser", "RegexParser", "SlowReply", "TagParser"]

AT_ONCE = 0.05  # seconds that a pattern may hold up everything else
AFTERWARDS = 0.005  # the same, once that was not enough for a reply
PATIENCE = 2.0  # seconds that it may take beside everything else

T = TypeVar("T")


class SlowReply(Exception, Generic[T]):
    """A reply takes too long to be read while everything waits; ``again`` is for a worker thread.

    ``again`` gives what reading would have given, or raises :class:`~.patterns.PatternTooSlow`.
    """

    def __init__(self, again: Callable[[], T]) -> None:
        super().__init__()
        self.again = again


class Parser(Protocol):
    """What both kinds of parsers have.

    Attributes:
        columns: the columns that a row has, in order.
        one_row: every reply, an empty one included, gives exactly one row.
    """

    columns: tuple[str, ...]
    one_row: bool

    def parse(self, text: str) -> list[dict[str, Any]]:
        """The rows in a reply, in order; empty if there are none.

        Raises:
            SlowReply: that takes too long to wait for it.
        """

    def missed(self, text: str) -> str:
        """Why a reply gave no row, for a person."""


class TagParser:
    """Takes what stands between literal tags.

    Both tags of a pair empty: the whole reply, null if it is empty. Only the start tag empty: a value
    begins where the last match ended. Pairs and columns beyond the shortest list are not used.

    Raises:
        ValueError: there is no pair with a column, or a start tag has no end tag and so can match nothing.
    """

    def __init__(
        self, start_tags: Sequence[str | None], end_tags: Sequence[str | None], columns: Sequence[str]
    ) -> None:
        self._pairs = [
            (column, start or "", end or "")
            for start, end, column in zip(start_tags, end_tags, columns, strict=False)
        ]
        if not self._pairs:
            raise ValueError("no reply can be read: it takes output_cols, start_tags and end_tags, in pairs")
        for column, start, end in self._pairs:
            if start and not end:
                raise ValueError(
                    f"column {column!r}: the start tag {start!r} has no end tag, so it matches nothing"
                )
        self.columns = tuple(dict.fromkeys(column for column, _, _ in self._pairs))
        self.one_row = not any(start or end for _, start, end in self._pairs)

    def parse(self, text: str) -> list[dict[str, Any]]:
        """The rows in a reply; values are stripped."""
        return _rows({column: _between(text, start, end) for column, start, end in self._pairs})

    def missed(self, text: str) -> str:
        """The columns without a match, with their tags."""
        return "; ".join(
            f"column {column!r}: nothing between {start!r} and {end!r}"
            for column, start, end in self._pairs
            if not _between(text, start, end)
        )


class RegexParser:
    """Takes the groups of every match of a pattern in which the dot matches newlines too.

    With two or more groups the values are stripped, then each cleanup text is removed from them. With one
    group or none the value (group or whole match) goes to the first column and is stripped only.

    Raises:
        ValueError: the pattern is not sound, or has too few groups to ever fill all columns.
    """

    def __init__(self, pattern: str, columns: Sequence[str], cleanup: Sequence[str] = ()) -> None:
        if not columns:
            raise ValueError("no reply can be read: output_cols is empty")
        try:
            self._pattern = Pattern(pattern)
        except PatternMistake as error:
            raise ValueError(f"parsing_pattern is not a regular expression: {error}") from error
        filled = columns[: max(self._pattern.groups, 1)]
        if empty := [column for column in columns if column not in filled]:
            names = ", ".join(empty)
            raise ValueError(f"parsing_pattern has no group for {names}, so no reply can give a whole row")
        self._cleanup = tuple(cleanup)
        self._order = tuple(columns)
        self.columns = tuple(dict.fromkeys(columns))
        self.one_row = False
        self._at_once = AT_ONCE

    def parse(self, text: str) -> list[dict[str, Any]]:
        """The rows in a reply.

        Raises:
            SlowReply: that takes longer than 50 ms; 5 ms once it has happened.
        """
        try:
            return self._parse(text, self._at_once)
        except PatternTooSlow:
            self._at_once = AFTERWARDS
            raise SlowReply(partial(self._parse, text, PATIENCE)) from None

    def _parse(self, text: str, seconds: float) -> list[dict[str, Any]]:
        matches = self._pattern.findall(text, seconds)
        if self._pattern.groups < 2:
            return [{self._order[0]: match.strip()} for match in matches]
        values: dict[str, list[str]] = {column: [] for column in self.columns}
        for match in matches:
            for column, value in zip(self._order, match, strict=False):
                values[column].append(self._cleaned(value))
        return _rows(values)

    def missed(self, text: str) -> str:
        """The pattern, cut to a readable length."""
        del text
        pattern = self._pattern.source
        return f"parsing_pattern matches nowhere: {pattern if len(pattern) <= 120 else pattern[:117] + '...'}"

    def _cleaned(self, value: str) -> str:
        value = value.strip()
        for text in self._cleanup:
            value = value.replace(text, "")
        return value


def _between(text: str, start: str, end: str) -> list[str | None]:
    """All non-overlapping values between two tags, as short as possible and stripped."""
    if not end:
        return [text.strip() if text else None]
    values: list[str | None] = []
    position = 0
    while (begin := text.find(start, position)) >= 0:
        begin += len(start)
        stop = text.find(end, begin)
        if stop < 0:
            break
        values.append(text[begin:stop].strip())
        position = stop + len(end)
    return values


def _rows(values: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=False)]
