"""Mixing: the datasets of a recipe become one training file, in memory that does not grow with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import orjson

from ..errors import ConfigError, Problem, RecordError
from ..record import Columns
from .mixed_row import mixed_row
from .randomness import DEFAULT_SEED
from .recipe import Recipe, sound_prompt
from .sampling import Sample
from .whole_file import WholeFile, is_replaced

__all__ = ["MixReport", "MixedDataset", "mix"]

MAX_PROBLEMS = 20


class MixedDataset(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a dataset: of ``rows`` in it ``drawn`` were taken, ``empty`` of them without content."""

    path: str
    rows: int
    drawn: int
    empty: int


class MixReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a recipe; ``rows`` are in the mixed file."""

    output: str
    rows: int
    datasets: list[MixedDataset]


def mix(
    recipe: Recipe,
    output: str | Path,
    *,
    system_prompt: str | None = None,
    replacement: bool = True,
    seed: int = DEFAULT_SEED,
    notice: Callable[[str, str], None] = lambda _code, _words: None,
) -> MixReport:
    """Write the mixed training file of a recipe; as a whole, or not at all.

    Args:
        recipe: what to mix. Without datasets nothing is written.
        output: a file, or ``-`` for standard output. A name that ends with ``.gz`` is packed.
        system_prompt: for every row; None stands for the recipe's.
        replacement: how rows are drawn, see :mod:`sdg_stream.mixing.sampling`.
        seed: of what is drawn, from 0 to 2**32 - 1; 42 gives the rows that upstream gives.
        notice: told of what is odd, as a stable word and a sentence.

    Raises:
        ConfigError: datasets are missing, cannot be read, or hold rows that cannot be mixed.
        RunStateError: a dataset was changed while it was read, or the output written by another process.
        OutputError: the output cannot be written.
    """
    if not recipe.datasets:
        return MixReport(output=str(output), rows=0, datasets=[])
    _check_files(recipe, output)
    prompt = sound_prompt(recipe.system_prompt if system_prompt is None else system_prompt)
    if prompt is None:
        words = "has no sys_prompt, and none is given: messages of the system stay as they are"
        notice("no_system_prompt", f"{recipe.file} {words}")
    scratch = Path(output).absolute().parent if is_replaced(output) else None
    datasets = []
    with WholeFile(output) as file:
        mixer = _Mixer(file, prompt)
        for one in recipe.datasets:
            path, size = recipe.path_of(one), one.sampling_size
            sample = Sample(path, size, replacement=replacement, seed=seed, scratch=scratch)
            drawn, empty = mixer.add(path, sample)
            datasets.append(MixedDataset(path=str(path), rows=sample.found, drawn=drawn, empty=empty))
        if mixer.problems:
            raise ConfigError(mixer.problems)
    for done in datasets:
        _tell(done, notice)
    return MixReport(output=str(output), rows=file.rows, datasets=datasets)


class _Mixer:
    """Writes mixed rows; ``problems`` holds what is wrong with rows of all datasets."""

    def __init__(self, file: WholeFile, prompt: str | None) -> None:
        self.problems: list[Problem] = []
        self._file = file
        self._prompt = prompt

    def add(self, path: Path, sample: Sample) -> tuple[int, int]:
        """Write a sample; how many rows it had, and how many of them had a message without content."""
        drawn = empty = 0
        for line, row in sample:
            drawn += 1
            try:
                empty += not self._write(row)
            except RecordError as error:
                self.problems.append(Problem(file=str(path), line=line, message=error.message))
                if len(self.problems) == MAX_PROBLEMS:
                    raise ConfigError(self.problems) from None
        return drawn, empty

    def _write(self, row: Columns | RecordError) -> bool:
        if isinstance(row, RecordError):
            raise row
        mixed = mixed_row(row, self._prompt)
        if mixed is not None:
            self._file.write(orjson.dumps(mixed, option=orjson.OPT_APPEND_NEWLINE))
        return mixed is not None


def _check_files(recipe: Recipe, output: str | Path) -> None:
    """All datasets must be there, and none may be the output.

    Raises:
        ConfigError: they are not, or one is.
    """
    problems = []
    for dataset in recipe.datasets:
        path, words = recipe.path_of(dataset), ""
        if not path.exists():
            words = f"there is no dataset {path}"
        elif path.is_dir():
            words = f"the dataset {path} is a folder; name a JSONL file"
        elif is_replaced(output) and Path(output).exists() and path.samefile(output):
            words = f"the dataset {path} is the output as well; name another output"
        if words:
            problems.append(Problem(file=str(recipe.file), line=dataset.line, message=words))
    if problems:
        raise ConfigError(problems)


def _tell(dataset: MixedDataset, notice: Callable[[str, str], None]) -> None:
    if not dataset.rows:
        notice("empty_dataset", f"{dataset.path} holds no rows")
    elif not dataset.drawn:
        notice("empty_sample", f"of the {dataset.rows} rows of {dataset.path} the sampling size takes none")
    if dataset.empty:
        words = f"{dataset.empty} of the {dataset.drawn} rows that were drawn are left out"
        notice("empty_message", f"{dataset.path}: {words}: a message has no content")
