"""The samples of leaf nodes, and the files that they are written to."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from taxonomies import KNOWLEDGE, SKILL, commit, grounded, knowledge, skill, write_files

from sdg_stream.errors import ConfigError
from sdg_stream.taxonomy.clones import Fetcher
from sdg_stream.taxonomy.documents import Document
from sdg_stream.taxonomy.leaf import KnowledgeLeaf, LeafNode
from sdg_stream.taxonomy.preprocess import check_documents, preprocess
from sdg_stream.taxonomy.reading import read_taxonomy
from sdg_stream.taxonomy.samples import samples, write_samples
from sdg_stream.taxonomy.texts import read_text

pytestmark = pytest.mark.anyio

DOCUMENTS = {"a.md": "one\n\ntwo\n", "b.md": "three\n"}


class Paragraphs:
    """A chunk for each paragraph; knows how many it has given, and whether it was closed."""

    name = "paragraphs"

    def __init__(self) -> None:
        self.given = 0
        self.closed = 0

    async def chunks(self, document: Document) -> AsyncGenerator[str, None]:
        """The paragraphs of a document."""
        try:
            for text in (await read_text(document)).split("\n\n"):
                if text.strip():
                    self.given += 1
                    yield text.strip()
        finally:
            self.closed += 1

    async def aclose(self) -> None:
        """There is nothing to end."""


async def read(tmp_path: Path, files: dict[str, Any]) -> tuple[LeafNode, ...]:
    """The leaf nodes of a taxonomy."""
    return read_taxonomy(write_files(tmp_path / "taxonomy", files), local_repos=True).leaf_nodes


def documents(tmp_path: Path) -> list[Document]:
    """Two documents."""
    write_files(tmp_path, DOCUMENTS)
    return [Document(name, tmp_path / name) for name in DOCUMENTS]


async def test_skills(tmp_path: Path) -> None:
    """One sample a seed, with the keys in upstream's order; a context only where there is one."""
    leaves = await read(tmp_path, {SKILL: skill(), "compositional_skills/g/qna.yaml": grounded()})
    with_context, without = [[row async for row in samples(leaf)] for leaf in leaves]
    assert without[0] == {
        "task_description": "Write a haiku.", "seed_question": "Write about rain.", "seed_response": "rain!",
        "leaf_node_type": "freeform_skill", "leaf_node_path": "compositional_skills_writing_haiku",
    }  # fmt: skip
    assert list(with_context[0]) == [
        "task_description", "seed_context", "seed_question", "seed_response", "leaf_node_type",
        "leaf_node_path",
    ]  # fmt: skip
    assert with_context[4]["seed_context"] == "On e."
    assert with_context[4]["leaf_node_type"] == "grounded_skill"


async def test_knowledge(tmp_path: Path) -> None:
    """For each chunk each seed, documents in their order, all pairs of the seed."""
    [leaf] = await read(tmp_path, {KNOWLEDGE: knowledge()})
    rows = [row async for row in samples(leaf, documents(tmp_path), Paragraphs())]
    assert [row["document"] for row in rows] == ["one"] * 5 + ["two"] * 5 + ["three"] * 5
    assert [row["icl_document"] for row in rows[:5]] == [f"Passage {n}." for n in range(5)]
    assert list(rows[0]) == [
        "document", "icl_document", "document_outline", "domain", "leaf_node_type", "icl_query_1",
        "icl_response_1", "icl_query_2", "icl_response_2", "icl_query_3", "icl_response_3", "leaf_node_path",
    ]  # fmt: skip
    assert rows[0]["leaf_node_type"] == "knowledge"
    assert rows[0]["leaf_node_path"] == "knowledge_science_tides"


async def test_samples_stream(tmp_path: Path) -> None:
    """A chunk is asked for when its samples are, and leaving early closes the chunker."""
    [leaf] = await read(tmp_path, {KNOWLEDGE: knowledge()})
    chunker = Paragraphs()
    rows = samples(leaf, documents(tmp_path), chunker)
    for _ in range(5):
        await anext(rows)
    assert (chunker.given, chunker.closed) == (1, 0)
    await anext(rows)
    assert chunker.given == 2
    await rows.aclose()
    assert chunker.closed == 1


async def test_knowledge_needs_text(tmp_path: Path) -> None:
    """Without a chunker, or with documents that hold nothing, there is an error and no empty result."""
    [leaf] = await read(tmp_path, {KNOWLEDGE: knowledge()})
    with pytest.raises(ConfigError, match="needs a chunker"):
        [row async for row in samples(leaf)]
    write_files(tmp_path, {"empty.md": "\n\n\n"})
    with pytest.raises(ConfigError, match=r"qna\.yaml:5: there is no text in the documents"):
        [row async for row in samples(leaf, [Document("empty.md", tmp_path / "empty.md")], Paragraphs())]


async def test_q_io_1_files_hold_one_sample_a_line(tmp_path: Path) -> None:
    """Text is kept as it is, also where it holds signs that some take for line ends."""
    odd = "a\u2028b\u0085c \u00fc"
    [leaf] = await read(tmp_path, {SKILL: skill(task_description=odd)})
    assert await write_samples(leaf, samples(leaf), tmp_path) == 5
    data = (tmp_path / "compositional_skills_writing_haiku.jsonl").read_bytes()
    assert odd.encode() in data
    assert [json.loads(line)["task_description"] for line in data.split(b"\n")[:-1]] == [odd] * 5


async def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """Samples that end in an error leave no file of that name."""
    [leaf] = await read(tmp_path, {SKILL: skill()})

    async def broken() -> AsyncGenerator[dict[str, Any], None]:
        yield {"a": 1}
        raise ConfigError("no more")

    with pytest.raises(ConfigError, match="no more"):
        await write_samples(leaf, broken(), tmp_path)
    assert not list(tmp_path.glob("*.jsonl"))


async def test_preprocessing_a_taxonomy(tmp_path: Path) -> None:
    """A file for each leaf node, documents and the chunker's name beside them; what finds nothing warns."""
    head = commit(tmp_path / "repo", DOCUMENTS)
    document = {"repo": str(tmp_path / "repo"), "commit": head, "patterns": ["*.md", "*.pdf"]}
    files = {SKILL: skill(), KNOWLEDGE: knowledge(document=document)}
    taxonomy = read_taxonomy(write_files(tmp_path / "taxonomy", files), local_repos=True)
    fetcher = Fetcher(tmp_path / "cache", local_repos=True)
    done = await preprocess(taxonomy, tmp_path / "out", fetcher, Paragraphs())
    assert done.rows == {"compositional_skills_writing_haiku": 5, "knowledge_science_tides": 15}
    assert [warning.message for warning in done.warnings] == ["the pattern '*.pdf' finds no document"]
    made = sorted(file.relative_to(tmp_path / "out").as_posix() for file in (tmp_path / "out").rglob("*.*"))
    assert made == [
        "chunker.json", "compositional_skills_writing_haiku.jsonl", "documents/knowledge_science_tides/a.md",
        "documents/knowledge_science_tides/b.md", "knowledge_science_tides.jsonl",
    ]  # fmt: skip
    assert json.loads((tmp_path / "out" / "chunker.json").read_bytes()) == {"chunker": "paragraphs"}


async def test_without_a_chunker_knowledge_is_left_out_and_told(tmp_path: Path) -> None:
    """And nothing is fetched for it."""
    files = {SKILL: skill(), KNOWLEDGE: knowledge()}
    taxonomy = read_taxonomy(write_files(tmp_path / "taxonomy", files))
    done = await preprocess(taxonomy, tmp_path / "out", Fetcher(tmp_path / "cache"))
    assert list(done.rows) == ["compositional_skills_writing_haiku"]
    assert [leaf.name for leaf in done.left_out] == ["knowledge_science_tides"]
    assert not (tmp_path / "cache").exists()


async def test_documents_can_be_checked_before(tmp_path: Path) -> None:
    """All that cannot be read is told at once."""
    head = commit(tmp_path / "repo", {"a.md": b"\xff", "b.md": "text", "c.md": b"\0"})
    files = {KNOWLEDGE: knowledge(tmp_path / "repo", head)}
    taxonomy = read_taxonomy(write_files(tmp_path / "taxonomy", files), local_repos=True)
    [leaf] = taxonomy.leaf_nodes
    assert isinstance(leaf, KnowledgeLeaf)
    with pytest.raises(ConfigError) as caught:
        await check_documents(taxonomy, Fetcher(tmp_path / "cache", local_repos=True), tmp_path / "out")
    assert [Path(problem.file).name for problem in caught.value.problems] == ["a.md", "c.md"]
