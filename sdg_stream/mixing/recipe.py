"""Recipes: which datasets make up a training file, and how much of each.

Format: a YAML mapping with ``datasets``, a list of ``path`` (relative to the recipe) and ``sampling_size``
(a whole number: so many rows; a number with a point: that share of the rows, ``1.0`` being all, each once),
and ``metadata`` with ``sys_prompt``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import yaml

from ..config.decode import nearest, shown, unknown_key
from ..config.yaml import Document, load_yaml
from ..errors import ConfigError, Problem
from .row_files import count_rows

__all__ = [
    "Dataset",
    "Recipe",
    "default_recipe",
    "load_recipe",
    "recipe_text",
    "sampled_rows",
    "sound_prompt",
    "total_rows",
]

T = TypeVar("T", str, str | None)

RECIPE_KEYS = ("datasets", "metadata")
DATASET_KEYS = ("path", "sampling_size")


class Dataset(msgspec.Struct, frozen=True):
    """One entry of a recipe. ``line`` is where it stands in the recipe; 0 if it was added by a program."""

    path: str
    sampling_size: int | float
    line: int = 0


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """A recipe.

    Attributes:
        file: where it was read, or is to be written; relative paths start in its folder.
        datasets: in the order in which they are mixed.
        system_prompt: what stands in it; None if nothing does.
        warnings: what is odd about it, for people.
    """

    file: Path
    datasets: tuple[Dataset, ...] = ()
    system_prompt: str | None = None
    warnings: tuple[str, ...] = ()

    def path_of(self, dataset: Dataset) -> Path:
        """The file of a dataset."""
        return self.file.parent / dataset.path


def load_recipe(file: Path) -> Recipe:
    """Read a recipe.

    Raises:
        ConfigError: it cannot be read, or with all its mistakes.
    """
    document = load_yaml(file)
    reading = _Reading(document)
    data = reading.mapping("$", document.data if document.data is not None else {}, RECIPE_KEYS)
    datasets = reading.datasets(data.get("datasets"))
    metadata = reading.mapping("$.metadata", data.get("metadata") or {}, None)
    prompt = metadata.get("sys_prompt")
    if prompt is not None and not isinstance(prompt, str):
        reading.mistake("$.metadata.sys_prompt", f"expected text, got {shown(prompt)}")
    if reading.problems:
        raise ConfigError(reading.problems)
    return Recipe(file=file, datasets=tuple(datasets), system_prompt=prompt, warnings=tuple(reading.warnings))


def default_recipe(data_dirs: Sequence[Path], kind: Literal["knowledge", "skills"]) -> Recipe | None:
    """The first ``default_data_recipes/<kind>.yaml`` in the data directories, its paths made absolute.

    Raises:
        ConfigError: it has mistakes.
    """
    for folder in data_dirs:
        file = folder / "default_data_recipes" / f"{kind}.yaml"
        if file.exists():
            recipe = load_recipe(file)
            absolute = (
                msgspec.structs.replace(one, path=str(recipe.path_of(one).absolute()))
                for one in recipe.datasets
            )
            return msgspec.structs.replace(recipe, datasets=tuple(absolute))
    return None


def recipe_text(recipe: Recipe) -> str:
    """A recipe as YAML, keys sorted."""
    datasets = [{"path": one.path, "sampling_size": one.sampling_size} for one in recipe.datasets]
    return yaml.safe_dump({"datasets": datasets, "metadata": {"sys_prompt": recipe.system_prompt}})


def sound_prompt(prompt: T) -> T:
    """A system prompt, if UTF-8 can hold it.

    Raises:
        ConfigError: it cannot.
    """
    try:
        (prompt or "").encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"the system prompt is not sound text: {error.reason}, {error.start}") from None
    return prompt


def sampled_rows(rows: int, sampling_size: int | float) -> int:
    """How many of so many rows a sampling size takes."""
    return sampling_size if isinstance(sampling_size, int) else int(rows * sampling_size)


def total_rows(recipe: Recipe) -> int:
    """How many rows a recipe gives; datasets that do not exist count nothing.

    Raises:
        ConfigError: a dataset cannot be read.
    """
    total = 0
    for dataset in recipe.datasets:
        if recipe.path_of(dataset).exists():
            known = isinstance(dataset.sampling_size, int)
            total += sampled_rows(0 if known else count_rows(recipe.path_of(dataset)), dataset.sampling_size)
    return total


class _Reading:
    """Collects what is wrong with, or odd about, a recipe."""

    def __init__(self, document: Document) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[str] = []
        self._document = document

    def mistake(self, path: str, words: str) -> None:
        self.problems.append(self._document.problem(path, words))

    def mapping(self, path: str, value: Any, known: Sequence[str] | None) -> dict[str, Any]:
        """A mapping, of which only known keys are read. One that is nearly a known key is a mistake."""
        if not isinstance(value, dict):
            self.mistake(path, f"expected a mapping, got {shown(value)}")
            return {}
        for key in value:
            if known is not None and key not in known:
                if nearest(str(key), known):
                    self.mistake(f"{path}.{key}", unknown_key(str(key), known))
                else:
                    odd = self._document.problem(f"{path}.{key}", f"nothing reads the key {str(key)!r}")
                    self.warnings.append(str(odd))
        return value

    def datasets(self, value: Any) -> list[Dataset]:
        if not isinstance(value, list | None):
            self.mistake("$.datasets", f"expected a list of datasets, got {shown(value)}")
            return []
        read = (self._dataset(f"$.datasets[{index}]", entry) for index, entry in enumerate(value or []))
        return [dataset for dataset in read if dataset is not None]

    def _dataset(self, path: str, entry: Any) -> Dataset | None:
        before = len(self.problems)
        values = self.mapping(path, entry, DATASET_KEYS)
        if isinstance(entry, dict):
            for key in DATASET_KEYS:
                if key not in values:
                    self.mistake(path, f"the key {key!r} is missing")
        file, size = values.get("path"), values.get("sampling_size")
        if "path" in values and not (isinstance(file, str) and file):
            self.mistake(f"{path}.path", f"expected the path of a JSONL file, got {shown(file)}")
        if "sampling_size" in values and not _is_size(size):
            words = "expected a number of rows such as 30, or a share such as 0.5"
            self.mistake(f"{path}.sampling_size", f"{words}, got {shown(size)}")
        if len(self.problems) > before or not isinstance(file, str) or not isinstance(size, int | float):
            return None
        return Dataset(file, size, self._document.line(path))


def _is_size(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and value >= 0
