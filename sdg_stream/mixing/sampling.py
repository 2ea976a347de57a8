"""Drawing rows from a dataset, in memory that does not grow with it.

With replacement rows come as upstream draws them, and in its order: some twice, others not at all. The file
is read once to know where its rows begin. Without replacement every row comes as often as any other, or once
more, and rows keep their order: the file is read once to count them, then once more for each time around.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from ..errors import RecordError
from ..record import Columns
from .indexed_rows import indexed_rows
from .numpy_draws import draw_with_replacement
from .randomness import chooser
from .recipe import sampled_rows
from .row_files import count_rows, read_rows

__all__ = ["Sample"]

_LineAndRow: TypeAlias = tuple[int, Columns | RecordError]  # a row, or what is wrong with it


class Sample:
    """Iterating gives the rows.

    Args:
        file: the dataset, JSONL.
        size: how many rows, or, with a point, which share of them; ``1.0`` is every row once, in order.
        replacement: see above.
        seed: from 0 to 2**32 - 1.
        scratch: a folder for files that are needed meanwhile; None for the system's.

    Attributes:
        found: how many rows the dataset has, known at the end.
    """

    def __init__(
        self, file: Path, size: int | float, *, replacement: bool, seed: int, scratch: Path | None
    ) -> None:
        self.found = 0
        self._file = file
        self._size = size
        self._replacement = replacement
        self._seed = seed
        self._scratch = scratch

    def __iter__(self) -> Iterator[_LineAndRow]:
        if isinstance(self._size, float) and self._size == 1.0:
            return self._all()
        return self._with_replacement() if self._replacement else self._without_replacement()

    def _all(self) -> Iterator[_LineAndRow]:
        for item in read_rows(self._file):
            self.found += 1
            yield item

    def _with_replacement(self) -> Iterator[_LineAndRow]:
        with indexed_rows(self._file, self._scratch) as rows:
            self.found = rows.count
            if rows.count:
                wanted = sampled_rows(rows.count, self._size)
                yield from rows.read(draw_with_replacement(rows.count, wanted, self._seed))

    def _without_replacement(self) -> Iterator[_LineAndRow]:
        self.found = count_rows(self._file)
        if not self.found:
            return
        whole, rest = divmod(sampled_rows(self.found, self._size), self.found)
        for _ in range(whole):
            yield from read_rows(self._file)
        rng, left = chooser(self._seed, "sample"), self.found
        for item in read_rows(self._file) if rest else ():
            if rng.random() * left < rest:  # Knuth's algorithm S: any choice of so many rows is as likely
                rest -= 1
                yield item
            left -= 1
