"""A block of your own: a config struct, a class and one method, named in YAML as ``word_count:WordCount``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sdg_stream.abc import BlockConfig, Flow, RowBlock


class WordCountConfig(BlockConfig, frozen=True):
    """The keys that the block takes in a pipeline file; any other key is reported before the run starts."""

    column: str
    output_col: str = "words"


class WordCount(RowBlock[WordCountConfig]):
    """Adds the number of words of a column."""

    Config = WordCountConfig

    @property
    def flow(self) -> Flow:
        """Optional: lets ``check`` see which columns the block needs and gives."""
        reads, adds = frozenset({self.config.column}), (self.config.output_col,)
        return Flow(reads=reads, adds=adds, one_to_one=True)

    def apply(self, columns: dict[str, Any]) -> Iterable[dict[str, Any]]:
        """One record in, one out, with one column more; a block that yields nothing drops the record."""
        words = str(columns[self.config.column]).split()
        yield {**columns, self.config.output_col: len(words)}
