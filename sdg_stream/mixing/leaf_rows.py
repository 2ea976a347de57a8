"""The generated rows of one leaf node, to be read as often as needed, and the training rows made of them.

Only the texts of the leaf node's documents are held, each once; the rows stay in their file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ..errors import ConfigError
from ..record import Columns
from .knowledge import auxiliary_row, choose_documents, qa_row, raft_row
from .names import part_of_a_name
from .qa import unusable
from .randomness import chooser
from .row_files import read_sound_rows
from .skills import skill_row

__all__ = ["Instructions", "LeafRows", "usable_rows"]

Instructions = Mapping[str, Sequence[str]]
"""dataset_type to the ways in which its task can be put, as a pipeline file's ``datamixing`` lists them."""

_BASE = "base_document"  # the dataset_type of documents that nothing was done to
_UNKNOWN = "unknown"  # the name of a leaf node that its rows do not tell


class LeafRows:
    """Usable rows of a leaf node's file of generated rows, in the order of the file.

    Reads the file once at the start.

    Args:
        file: JSONL; the first row tells the leaf node's name and type, unless they are given.
        leaf: the name.
        knowledge: whether it is of type knowledge.

    Attributes:
        leaf: the leaf node's path with ``_`` between folders.
        knowledge: whether it is of type knowledge.
        count: how many usable rows there are.
        left_out: how many rows were left out, by reason.
        documents: the distinct documents of a knowledge leaf node's usable rows, with their numbers.

    Raises:
        ConfigError: the file cannot be read, or a line is not sound, or the name could not name a file.
    """

    def __init__(self, file: Path, *, leaf: str | None = None, knowledge: bool | None = None) -> None:
        self.leaf = _UNKNOWN
        self.knowledge = False
        self.count = 0
        self.left_out: Counter[str] = Counter()
        self.documents: dict[str, int] = {}
        self._file = file
        for number, row in enumerate(read_sound_rows(file)):
            if not number:
                self._introduce(row, leaf, knowledge)
            reason = unusable(row, knowledge=self.knowledge)
            if reason:
                self.left_out[reason] += 1
                continue
            self.count += 1
            if self.knowledge:
                self.documents.setdefault(row["document"], len(self.documents))

    def __iter__(self) -> Iterator[Columns]:
        return usable_rows(self._file, knowledge=self.knowledge)

    def skills(self, system_prompt: str) -> Iterator[Columns]:
        """The training rows of a skill."""
        for number, row in enumerate(self):
            yield skill_row(row, system_prompt, self.leaf, number)

    def phase07(self, seed: int, instructions: Instructions) -> Iterator[Columns]:
        """The training rows of knowledge for phase 0.7, all of them with ``unmask``."""
        yield from self._qa("p07")
        yield from self._auxiliary("p07", seed, instructions, unmask=True)

    def phase10(self, seed: int, instructions: Instructions) -> Iterator[Columns]:
        """The training rows of knowledge for phase 1.0: RAFT rows, question and answer, auxiliary."""
        rng, documents = chooser(seed, self.leaf, "raft"), list(self.documents)
        for number, row in enumerate(self):
            chosen = choose_documents(self.documents[row["document"]], len(documents), rng)
            place = (self.leaf, "raft", str(number))
            yield raft_row(row, [documents[one] for one in chosen], place=place)
        yield from self._qa("p10")
        yield from self._auxiliary("p10", seed, instructions, unmask=False)

    def without_task(self, instructions: Instructions) -> Counter[str]:
        """How many auxiliary rows cannot be made, by what they lack."""
        lacking: Counter[str] = Counter()
        if instructions and self.knowledge:
            for row in self._auxiliary_sources():
                if reason := _no_task(row, instructions):
                    lacking[reason] += 1
        return lacking

    def _qa(self, phase: str) -> Iterator[Columns]:
        for number, row in enumerate(self):
            yield qa_row(row, place=(self.leaf, phase, str(number)))

    def _auxiliary(
        self, phase: str, seed: int, instructions: Instructions, *, unmask: bool
    ) -> Iterator[Columns]:
        if not instructions:
            return
        rng = chooser(seed, self.leaf, "auxiliary", phase)
        for number, row in enumerate(self._auxiliary_sources()):
            if not _no_task(row, instructions):
                instruction = rng.choice(instructions[row["dataset_type"]])
                place = (self.leaf, phase, "auxiliary", str(number))
                yield auxiliary_row(row, instruction, place=place, unmask=unmask)

    def _auxiliary_sources(self) -> Iterator[Columns]:
        """The first row of every distinct document that something was done to."""
        seen = set[int]()
        for row in self:
            number = self.documents[row["document"]]
            if row.get("dataset_type", _BASE) != _BASE and number not in seen:
                seen.add(number)
                yield row

    def _introduce(self, row: Columns, leaf: str | None, knowledge: bool | None) -> None:
        name = row.get("leaf_node_path", _UNKNOWN) if leaf is None else leaf
        if not isinstance(name, str):
            raise ConfigError(f"{self._file}: leaf_node_path of the first row is no text")
        self.leaf = part_of_a_name(name, f"{self._file}: leaf_node_path")
        self.knowledge = row.get("leaf_node_type") == "knowledge" if knowledge is None else knowledge


def usable_rows(file: Path, *, knowledge: bool) -> Iterator[Columns]:
    """The rows of a file of which training rows can be made.

    Raises:
        ConfigError: the file cannot be read, or a line is not sound.
    """
    return (row for row in read_sound_rows(file) if not unusable(row, knowledge=knowledge))


def _no_task(row: Columns, instructions: Instructions) -> str:
    """Why no auxiliary row can be made; empty if one can be."""
    kind = row["dataset_type"]
    if not isinstance(kind, str) or not instructions.get(kind):
        return f"no auxiliary instruction for dataset_type {kind!r}"
    return "" if isinstance(row.get("raw_document"), str) else "no raw_document"
