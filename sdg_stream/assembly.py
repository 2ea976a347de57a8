"""A pipeline file's entries become blocks: types looked up, configs decoded, objects constructed.

Blocks are built anew for each run, since they may hold state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from .abc import AsyncBlock, Block, BlockConfig, Context, Teacher
from .catalog import resolve_block
from .config.files import PipelineFiles
from .config.pipeline_file import BlockEntry, PipelineFile
from .config.settings import Settings
from .engine.plan import PlannedBlock
from .errors import ConfigError, Problem

__all__ = ["Blocks", "asking"]


class Blocks:
    """The blocks of one pipeline file.

    Attributes:
        files: those that the blocks name.
    """

    def __init__(
        self,
        file: PipelineFile,
        settings: Settings,
        plugins: Sequence[Path],
        allowed: Sequence[Path],
        warn: Callable[[str, str], None],
    ) -> None:
        self.files = PipelineFiles(Path(file.document.file).parent, allowed)
        self._file = file
        self._settings = settings
        self._plugins = tuple(plugins)
        self._warn = warn
        self._configs: list[tuple[BlockEntry, type[Block[Any]], BlockConfig]] = []

    def decode(self) -> None:
        """Every block's config into its struct.

        Raises:
            ConfigError: all mistakes of all blocks at once.
        """
        document, problems = self._file.document, list[Problem]()
        for index, entry in enumerate(self._file.blocks):
            path = f"$.blocks[{index}]"
            try:
                block = resolve_block(entry.type, self._plugins)
                config = block.decode(
                    document, f"{path}.config", entry.config, problems, self._context(index, entry, None)
                )
            except ConfigError as error:
                problems.extend(_placed(document, f"{path}.type", error))
                continue
            if config is not None:
                self._configs.append((entry, block, config))
        if problems:
            raise ConfigError(problems)

    def build(self, teacher: Teacher | None) -> list[PlannedBlock]:
        """Construct the blocks, with a teacher to run or without one to check.

        Raises:
            ConfigError: all mistakes of all blocks at once.
        """
        built: list[PlannedBlock] = []
        problems: list[Problem] = []
        for index, (entry, block, config) in enumerate(self._configs):
            try:
                made = block.create(config, self._context(index, entry, teacher))
            except ConfigError as error:
                problems.extend(_placed(self._file.document, f"$.blocks[{index}].config", error))
                continue
            built.append(PlannedBlock(made, entry.type, entry.drop_columns, entry.duplicate_columns))
        if problems:
            raise ConfigError(problems)
        return built

    def _context(self, index: int, entry: BlockEntry, teacher: Teacher | None) -> Context:
        return Context(
            entry.name,
            base_dir=Path(self._file.document.file).parent,
            files=self.files,
            depth=index,
            settings=self._settings,
            teacher=teacher,
            resolve=lambda name: resolve_block(name, self._plugins),
            notice=self._warn,
        )


def asking(blocks: Iterable[PlannedBlock]) -> list[int]:
    """Positions of the blocks that ask the teacher."""
    return [
        index
        for index, planned in enumerate(blocks)
        if isinstance(planned.block, AsyncBlock) and planned.block.uses_teacher
    ]


def _placed(document: Any, path: str, error: ConfigError) -> list[Problem]:
    """The problems of a block, given a place in the pipeline file where they have none."""
    return [
        problem if problem.file else document.problem(problem.path or path, problem.message)
        for problem in error.problems
    ]
