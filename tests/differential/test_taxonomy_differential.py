"""sdg_stream's reader of taxonomies against upstream's: leaf nodes, samples, documents and complaints.

What upstream gives was recorded by ``taxonomy_record.py``. Where ours gives something else on purpose, the
case says why, and the test what.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from taxonomy_cases import CASES, Case
from taxonomy_record import RECORDED
from taxonomy_upstream import CHUNKS

from sdg_stream.errors import ConfigError, Problem
from sdg_stream.taxonomy.clones import Fetcher
from sdg_stream.taxonomy.documents import Document, fetch_documents
from sdg_stream.taxonomy.leaf import KnowledgeLeaf, LeafNode
from sdg_stream.taxonomy.reading import read_taxonomy
from sdg_stream.taxonomy.samples import samples

pytestmark = pytest.mark.anyio

UPSTREAM: dict[str, dict[str, Any]] = json.loads(RECORDED.read_text(encoding="utf-8"))
SAME = {name: case for name, case in CASES.items() if not case.differs}
DIFFERENT = {name: case for name, case in CASES.items() if case.differs}


class TwoChunks:
    """Finds the same two chunks in the first document of a leaf node, and nothing in any other."""

    def __init__(self) -> None:
        self._chunks = list(CHUNKS)

    name = "two chunks"

    async def chunks(self, document: Document) -> AsyncGenerator[str, None]:
        """The chunks, once."""
        chunks, self._chunks = self._chunks, []
        for chunk in chunks:
            yield chunk

    async def aclose(self) -> None:
        """Nothing was started."""


class Read:
    """What our reader makes of a case."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.leaves: tuple[LeafNode, ...] = ()
        self.problems: tuple[Problem, ...] = ()
        self.warnings: tuple[Problem, ...] = ()
        self._folder = folder
        rules = folder / "rules.yaml" if case.rules else None
        if rules is not None:
            rules.write_text(case.rules, encoding="utf-8")
        taxonomy = case.make(folder)
        try:
            found = read_taxonomy(taxonomy, case.base, yaml_rules=rules, local_repos=True)
            self.leaves, self.warnings = found.leaf_nodes, found.warnings
        except ConfigError as error:
            self.problems = error.problems

    def relative(self, problem: Problem) -> str:
        """The file that a complaint is about, in the taxonomy."""
        return Path(problem.file).relative_to(self._folder / "taxonomy").as_posix()

    async def samples(self) -> dict[str, list[dict[str, Any]]]:
        """The samples by taxonomy path."""
        result: dict[str, list[dict[str, Any]]] = {}
        for leaf in self.leaves:
            documents = await self.documents(leaf) if isinstance(leaf, KnowledgeLeaf) else ()
            rows = [row async for row in samples(leaf, documents, TwoChunks())]
            result.setdefault("->".join(leaf.path), []).extend(rows)
        return result

    async def documents(self, leaf: KnowledgeLeaf) -> tuple[Document, ...]:
        """The documents of a leaf node."""
        fetcher = Fetcher(self._folder / "cache", local_repos=True)
        return (await fetch_documents(leaf, fetcher, self._folder / "out")).documents


def ours(read: Read) -> list[tuple[str, str, str]]:
    """Our complaints: file, path or line, and words as upstream has them."""
    found = []
    for problem in read.problems:
        words = re.sub(
            r"^must have at least (\d+) items, has \d+$",
            r"Value must have at least \1 items",
            problem.message,
        )
        is_lint = re.search(r"\([a-z-]+\), column \d+$", words)
        place = str(problem.line) if is_lint else problem.path.removeprefix("$") or "."
        found.append((read.relative(problem), place, words.removeprefix("… ")))
    return sorted(found)


def theirs(name: str) -> list[tuple[str, str, str]]:
    """Upstream's complaints, in the same form."""
    found = []
    for complaint in UPSTREAM[name]["complaints"]:
        path = complaint["path"] or ("" if "column" in complaint["message"] else ".version")
        found.append((complaint["file"], path or complaint["line"], complaint["message"]))
    return sorted(found)


def rows_of(name: str) -> dict[str, list[dict[str, Any]]]:
    """Upstream's samples by taxonomy path."""
    return {path: leaf["samples"] for path, leaf in UPSTREAM[name]["leaves"].items()}


@pytest.mark.parametrize("name", SAME)
async def test_the_same_leaf_nodes_samples_and_complaints(name: str, tmp_path: Path) -> None:
    """Each case gives what upstream gives: the rows to the byte and key order, complaints word for word."""
    read = Read(CASES[name], tmp_path)
    assert ours(read) == theirs(name)
    # names told apart (Q-TAX-5) are in the samples too
    rows = {
        path: [{**row, "leaf_node_path": path.replace("->", "_")} for row in rows]
        for path, rows in (await read.samples()).items()
    }
    assert json.dumps(rows, sort_keys=False) == json.dumps(
        {path: rows_of(name)[path] for path in rows}, sort_keys=False
    )
    assert rows.keys() == rows_of(name).keys()
    for leaf in read.leaves:
        if isinstance(leaf, KnowledgeLeaf):
            found = [document.name for document in await read.documents(leaf)]
            assert sorted(found) == UPSTREAM[name]["leaves"]["->".join(leaf.path)]["found"]


@pytest.mark.parametrize("name", SAME)
async def test_the_same_warnings(name: str, tmp_path: Path) -> None:
    """What upstream passes over with a warning is passed over with one here."""
    read = Read(CASES[name], tmp_path)
    about = [read.relative(warning) for warning in read.warnings if "is empty" in warning.message]
    assert about == [warning["file"] for warning in UPSTREAM[name]["warnings"]]


@pytest.mark.parametrize("name", [name for name, case in DIFFERENT.items() if case.complaints])
def test_complaints_that_differ_on_purpose(name: str, tmp_path: Path) -> None:
    """Upstream complains about these too, or dies of them; ours says what the case says."""
    case = CASES[name]
    read = Read(case, tmp_path)
    assert UPSTREAM[name]["complaints"] or "error" in UPSTREAM[name]
    assert read.problems
    for words in case.complaints:
        assert any(re.search(words, problem.message) for problem in read.problems), read.problems


async def test_q_doc_2_a_document_that_two_patterns_find_is_used_once(tmp_path: Path) -> None:
    """Upstream's list with what stands in it twice taken once."""
    read = Read(CASES["patterns"], tmp_path)
    [leaf] = read.leaves
    assert isinstance(leaf, KnowledgeLeaf)
    theirs = UPSTREAM["patterns"]["leaves"]["knowledge->science->tides"]["found"]
    assert len(theirs) > len(set(theirs))
    assert {document.name for document in await read.documents(leaf)} == set(theirs)
    assert len(await read.documents(leaf)) == len(set(theirs))


async def test_q_tax_6_a_leaf_node_of_both_kinds_is_two(tmp_path: Path) -> None:
    """Upstream loses the contexts of seeds after one without; here each kind is a leaf node with a name."""
    read = Read(CASES["mixed"], tmp_path)
    assert [(leaf.kind, leaf.name.rpartition("haiku")[2], len(leaf.seeds)) for leaf in read.leaves] == [
        ("grounded_skill", "_grounded_skill", 2),
        ("freeform_skill", "_freeform_skill", 3),
    ]
    [rows] = (await read.samples()).values()
    [lost] = rows_of("mixed").values()
    assert sum("seed_context" in row for row in rows) == 2
    assert not any("seed_context" in row for row in lost)


async def test_q_tax_7_a_sample_has_the_pairs_of_its_own_seed(tmp_path: Path) -> None:
    """Upstream fills up with nulls, and drops pairs that the first seed has not; here neither is done."""
    [rows] = (await Read(CASES["more pairs"], tmp_path).samples()).values()
    [filled] = rows_of("more pairs").values()
    assert [{key: value for key, value in row.items() if value is not None} for row in filled] == rows
    assert any(None in row.values() for row in filled)


def test_every_case_is_recorded() -> None:
    """Nothing is recorded that has no case any more, and every case is recorded."""
    assert list(UPSTREAM) == list(CASES)
