"""Extends each record by the YAML mapping that one of its columns names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..abc import BlockConfig, Context, Flow, RowBlock
from ..config.decode import shown
from ..config.yaml import load_yaml
from ..errors import ConfigError, Problem, RecordError
from ..record import Columns
from .record_errors import missing_column, unknown_choice

__all__ = ["SamplePopulatorBlock"]


class SamplePopulatorBlock(RowBlock["SamplePopulatorBlock.Config"]):
    """Adds the chosen mapping to the record; its values win over the record's."""

    class Config(BlockConfig, frozen=True, kw_only=True):
        """Which files there are, and what chooses between them.

        Attributes:
            config_paths: YAML files, each a mapping of column to value. A file is chosen by its name up to
                the first dot (``one`` for ``some/one.v2.yaml``).
            column_name: the column that names the file.
            post_fix: read ``some/one_POSTFIX.yaml`` for ``some/one.yaml``; what chooses it stays ``one``.
        """

        config_paths: list[str]
        column_name: str
        post_fix: str = ""

        def __post_init__(self) -> None:
            if not self.config_paths:
                raise ValueError("config_paths names no file")

    def __init__(self, config: Config, context: Context) -> None:
        super().__init__(config, context)
        self._column = config.column_name
        self._mappings: dict[str, dict[str, Any]] = {}
        problems: list[Problem] = []
        for path in config.config_paths:
            read_from = path.replace(".yaml", f"_{config.post_fix}.yaml") if config.post_fix else path
            try:
                self._mappings[path.rpartition("/")[2].partition(".")[0]] = _load(context, read_from)
            except ConfigError as error:
                problems += error.problems
        if problems:
            raise ConfigError(problems)

    @property
    def flow(self) -> Flow:
        """Needs the naming column, adds the columns that all files have, keeps every record."""
        first, *others = self._mappings.values()
        common = tuple(key for key in first if all(key in other for other in others))
        return Flow(reads=frozenset((self._column,)), adds=common, one_to_one=True)

    def apply(self, columns: Columns) -> Iterable[Columns]:
        """The record with the chosen mapping's values.

        Raises:
            RecordError: ``missing_column``, ``unknown_choice``.
        """
        try:
            columns |= self._mappings[columns[self._column]]
        except (KeyError, TypeError):  # TypeError: the column holds a list or a mapping
            raise self._why(columns) from None
        return (columns,)

    def _why(self, columns: Columns) -> RecordError:
        if self._column not in columns:
            return missing_column((self._column,), columns)
        return unknown_choice(self._column, columns[self._column], self._mappings)


def _load(context: Context, path: str) -> dict[str, Any]:
    document = load_yaml(context.find(path))
    data = document.data
    if not isinstance(data, dict):
        raise ConfigError(document.problem("$", f"expected a mapping, got {shown(data)}"))
    wrong = [key for key in data if not isinstance(key, str)]
    if wrong:
        raise ConfigError(
            [document.problem(f"$.{key}", f"the column name {shown(key)} is not text") for key in wrong]
        )
    return data
