"""The record: one sample in flight, its columns plus the envelope that says where it comes from."""

from __future__ import annotations

from typing import Any, TypeAlias

__all__ = ["Columns", "Path", "Record"]

Columns: TypeAlias = dict[str, Any]
"""Column name to value (null, bool, int, float, text, list or mapping), in column order."""

Path: TypeAlias = tuple[int, ...]
"""Where below its root a record stands; sorting by it gives the order of upstream's rows."""


class Record:
    """One sample in flight. Exactly one stage owns it at a time and may change its columns.

    Attributes:
        root: number of the input row that it descends from, from 0.
        path: the index taken at each fan-out since the root; ``()`` for the root itself. At any point of
            a pipeline the paths of one root's records are distinct, and none is a prefix of another.
        columns: the sample.
        calls: what each call for this record cost, for ``--provenance``; None when nobody asked for it.
    """

    __slots__ = ("calls", "columns", "path", "root")

    def __init__(
        self,
        root: int,
        columns: Columns,
        path: Path = (),
        calls: list[dict[str, Any]] | None = None,
    ) -> None:
        self.root = root
        self.path = path
        self.columns = columns
        self.calls = calls

    def fork(self, columns: Columns, index: int) -> Record:
        """A descendant with other columns, standing at ``index`` below this record's path."""
        calls = None if self.calls is None else list(self.calls)
        return Record(self.root, columns, (*self.path, index), calls)

    def __repr__(self) -> str:
        return f"Record(root={self.root}, path={self.path}, columns={list(self.columns)})"
