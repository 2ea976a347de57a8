"""A sink that keeps its rows in a list, for tests of blocks, pipelines and engines."""

from __future__ import annotations

from collections.abc import Sequence

from ..record import Columns

__all__ = ["ListSink"]


class ListSink:
    """Implements :class:`~sdg_stream.abc.Sink`; ``puts`` holds the rows root by root."""

    name = "<list>"

    def __init__(self) -> None:
        self.puts: list[list[Columns]] = []
        self.closed = False

    @property
    def rows(self) -> list[Columns]:
        """All rows in the order in which they came."""
        return [row for rows in self.puts for row in rows]

    def prepare(self, columns: Columns) -> Columns:
        """Rows are kept as they are."""
        return columns

    async def put(self, rows: Sequence[Columns]) -> None:
        """Keep the rows of one root."""
        self.puts.append(list(rows))

    async def flush(self) -> None:
        """Nothing is held back."""

    async def sync(self) -> None:
        """Nothing goes to disk."""

    async def aclose(self) -> None:
        """Remember that the run closed its sink."""
        self.closed = True
