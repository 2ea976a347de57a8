"""What the column blocks say about a record that they cannot use, and the reason words they say it with.

``missing_column``: a column is not there. ``bad_type``: a value has a type that the block cannot work on.
``unknown_choice``: a value that picks something picks nothing. ``bad_value``: anything else about the data.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from typing import Any

from ..config.decode import nearest, shown
from ..errors import RecordError
from ..record import Columns

__all__ = ["missing_column", "taken_column", "unknown_choice", "value_text"]


def missing_column(wanted: Iterable[str], columns: Columns) -> RecordError:
    """Reason ``missing_column``, for the first of the wanted columns that the record lacks."""
    column = next(name for name in wanted if name not in columns)
    close = nearest(column, columns)
    hint = f"did you mean {close!r}?" if close else f"it has {', '.join(columns) or 'none'}"
    return RecordError("missing_column", f"the record has no column {column!r}; {hint}")


def taken_column(wanted: Iterable[str], columns: Columns) -> RecordError:
    """Reason ``bad_value``, for the first of the new columns that the record has already."""
    column = next(name for name in wanted if name in columns)
    return RecordError("bad_value", f"the record already has a column {column!r}; another name is needed")


def unknown_choice(column: str, value: Any, known: Iterable[Any]) -> RecordError:
    """Reason ``unknown_choice``, naming the value and what could have been chosen."""
    choices = ", ".join(map(value_text, known)) or "none"
    return RecordError(
        "unknown_choice", f"column {column!r} is {value_text(value)}; known choices: {choices}"
    )


def value_text(value: Any) -> str:
    """A value for a message, cut to a readable length; works for values that are not JSON, too."""
    try:
        return shown(value)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return reprlib.repr(value)
