"""The training files of a run, made from the files of its generated rows, one a leaf node.

Each file is made as a whole from files that are complete, and from the seed; so doing it again, after a crash
or not, gives the same files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import orjson

from ..errors import ConfigError
from ..record import Columns
from .leaf_rows import Instructions, LeafRows, usable_rows
from .legacy import messages_row, rows_for_test, train_row
from .mix import MixReport, mix
from .names import node_datasets, part_of_a_name
from .randomness import DEFAULT_SEED
from .recipe import Dataset, Recipe, default_recipe, recipe_text, sound_prompt, total_rows
from .skills import SKILL_ROWS
from .whole_file import WholeFile

__all__ = ["UPSAMPLED_SHARE", "LeafFiles", "TrainingFiles", "write_test_file"]

UPSAMPLED_SHARE = 0.03
"""A knowledge leaf node has at least so many rows, measured by the rows of the default skills recipe."""

Kind = Literal["knowledge", "skills"]
KINDS: tuple[Kind, ...] = ("knowledge", "skills")


class LeafFiles(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the generated rows of a leaf node.

    Attributes:
        leaf: its name.
        rows: how many rows were used.
        left_out: how many were not, by reason.
        datasets: what it adds to each recipe, by the recipe's kind.
    """

    leaf: str
    rows: int
    left_out: dict[str, int]
    datasets: dict[Kind, Dataset]


class _Leaf(msgspec.Struct, frozen=True):
    generated: Path
    knowledge: bool
    files: LeafFiles


class TrainingFiles:
    """Writes the training files of one run: first each leaf node's, in any order, then those of all.

    Everything blocks. :meth:`add_leaf` may be called from several threads at once.

    Args:
        output_dir: where the files go.
        date_suffix: the end of their names, such as ``2024-07-25T15_52_10``.
        system_prompt: for every training row.
        instructions: auxiliary instructions of the knowledge pipeline, by dataset_type; empty if it has none.
        data_dirs: folders in which ``default_data_recipes`` are looked for.
        seed: of everything that is chosen, from 0 to 2**32 - 1.
        replacement: whether mixing draws with replacement.
        notice: told of what is odd, as a stable word and a sentence.

    Raises:
        ConfigError: a default recipe has mistakes, or the suffix cannot be part of a file name.
    """

    def __init__(
        self,
        output_dir: str | Path,
        date_suffix: str,
        *,
        system_prompt: str,
        instructions: Instructions | None = None,
        data_dirs: Sequence[Path] = (),
        seed: int = DEFAULT_SEED,
        replacement: bool = True,
        notice: Callable[[str, str], None] = lambda _code, _words: None,
    ) -> None:
        self._output_dir = Path(output_dir)
        self._suffix = part_of_a_name(date_suffix, "the date suffix")
        self._system_prompt = sound_prompt(system_prompt)
        self._instructions = instructions or {}
        self._seed = seed
        self._replacement = replacement
        self._notice = notice
        self._defaults = {kind: default_recipe(data_dirs, kind) for kind in KINDS}
        skills = self._defaults["skills"]
        self._precomputed = total_rows(skills) if skills is not None else 0
        self._leaves: dict[str, _Leaf] = {}

    @property
    def leaves(self) -> list[LeafFiles]:
        """What has been added, by name."""
        return [leaf.files for leaf in self._sorted()]

    def add_leaf(
        self, generated: Path, *, leaf: str | None = None, knowledge: bool | None = None
    ) -> LeafFiles:
        """Write ``node_datasets_<suffix>/<leaf>...`` of one leaf node; nothing if no row can be used.

        Args:
            generated: its generated rows, JSONL, complete.
            leaf: its name; by default that in the first row.
            knowledge: whether it is of type knowledge; by default as the first row says.

        Raises:
            ConfigError: the file is not sound, or is of a leaf node that another file was of.
            OutputError: a file cannot be written.
        """
        rows = LeafRows(generated, leaf=leaf, knowledge=knowledge)
        known = self._leaves.get(rows.leaf)
        if known is not None and known.generated != generated:
            raise ConfigError(f"{known.generated} and {generated} are of one leaf node, {rows.leaf!r}")
        self._tell(generated, rows)
        if not rows.count:
            datasets: dict[Kind, Dataset] = {}
        elif rows.knowledge:
            datasets = self._write_knowledge(rows)
        else:
            path, _ = self._write_node(rows.leaf, rows.skills(self._system_prompt))
            datasets = {"skills": Dataset(path, SKILL_ROWS)}
        files = LeafFiles(leaf=rows.leaf, rows=rows.count, left_out=dict(rows.left_out), datasets=datasets)
        self._leaves[rows.leaf] = _Leaf(generated, rows.knowledge, files)
        return files

    def write_legacy(self) -> None:
        """Write ``train_<suffix>.jsonl`` and ``messages_<suffix>.jsonl`` from all leaf nodes, by name.

        Raises:
            OutputError: a file cannot be written.
        """
        with (
            WholeFile(self._path("train", "jsonl")) as train,
            WholeFile(self._path("messages", "jsonl")) as both,
        ):
            for leaf in self._sorted():
                for row in usable_rows(leaf.generated, knowledge=leaf.knowledge):
                    trained = train_row(row, self._system_prompt)
                    if trained is not None:
                        train.write(_line(trained))
                        both.write(_line(messages_row(trained)))

    def write_recipes(self) -> None:
        """Write ``knowledge_recipe_<suffix>.yaml`` and ``skills_recipe_<suffix>.yaml``.

        Raises:
            OutputError: a file cannot be written.
        """
        for kind in KINDS:
            recipe = self.recipe(kind)
            with WholeFile(recipe.file) as file:
                file.write(recipe_text(recipe).encode())

    def mix(self) -> dict[Kind, MixReport]:
        """Write ``<kind>_train_msgs_<suffix>.jsonl`` of each recipe that has datasets.

        Raises:
            ConfigError, RunStateError, OutputError: as :func:`~sdg_stream.mixing.mix.mix`.
        """
        reports: dict[Kind, MixReport] = {}
        for kind in KINDS:
            recipe = self.recipe(kind)
            if recipe.datasets:
                reports[kind] = mix(
                    recipe,
                    self._path(f"{kind}_train_msgs", "jsonl"),
                    replacement=self._replacement,
                    seed=self._seed,
                    notice=self._notice,
                )
        return reports

    def recipe(self, kind: Kind) -> Recipe:
        """The recipe as it is now: the default one's datasets, then those of the leaf nodes, by name."""
        default = self._defaults[kind]
        added = [leaf.files.datasets[kind] for leaf in self._sorted() if kind in leaf.files.datasets]
        return Recipe(
            file=self._path(f"{kind}_recipe", "yaml"),
            datasets=(*(default.datasets if default else ()), *added),
            system_prompt=self._system_prompt,
        )

    def _write_knowledge(self, rows: LeafRows) -> dict[Kind, Dataset]:
        p07, _ = self._write_node(f"{rows.leaf}_p07", rows.phase07(self._seed, self._instructions))
        p10, count = self._write_node(f"{rows.leaf}_p10", rows.phase10(self._seed, self._instructions))
        size: int | float = 1.0
        if self._precomputed and count / self._precomputed < UPSAMPLED_SHARE:
            size = int(self._precomputed * UPSAMPLED_SHARE)
        return {"knowledge": Dataset(p07, 1.0), "skills": Dataset(p10, size)}

    def _write_node(self, name: str, rows: Iterable[Columns]) -> tuple[str, int]:
        """Write a dataset of a leaf node; its path as the recipes have it, and how many rows it got."""
        file = node_datasets(self._output_dir, self._suffix) / f"{name}.jsonl"
        with WholeFile(file) as written:
            for row in rows:
                written.write(_line(row))
        return f"{file.parent.name}/{file.name}", written.rows

    def _tell(self, generated: Path, rows: LeafRows) -> None:
        for reason, count in rows.left_out.items():
            self._notice("row_left_out", f"{generated}: {count} rows are left out: {reason}")
        if not rows.count:
            self._notice("empty_leaf", f"{generated}: no row can be used: {rows.leaf} is in no training file")
        for reason, count in rows.without_task(self._instructions).items():
            self._notice("no_auxiliary_row", f"{generated}: {count} auxiliary rows are left out: {reason}")
        if rows.knowledge and len(rows.documents) == 1:
            words = "it has one document: its questions come without others to tell it from"
            self._notice("one_document", f"{generated}: {words}")

    def _path(self, name: str, extension: str) -> Path:
        return self._output_dir / f"{name}_{self._suffix}.{extension}"

    def _sorted(self) -> list[_Leaf]:
        return [leaf for _, leaf in sorted(self._leaves.items())]


def write_test_file(file: Path, samples: Iterable[Columns], system_prompt: str | None) -> int:
    """Write the rows for testing of the samples of all leaf nodes; how many those are.

    Raises:
        OutputError: the file cannot be written.
    """
    with WholeFile(file) as written:
        for sample in samples:
            for row in rows_for_test(sample, system_prompt):
                written.write(_line(row))
    return written.rows


def _line(row: Columns) -> bytes:
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
