"""The samples of leaf nodes: what the pipelines get as their input rows."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from ..errors import ConfigError, Problem
from .documents import Chunker, Document
from .leaf import KnowledgeLeaf, KnowledgeSeed, LeafNode, SkillLeaf, SkillSeed
from .samples_file import SamplesFile

__all__ = ["columns_of", "samples", "write_samples"]


async def samples(
    leaf: LeafNode, documents: Sequence[Document] = (), chunker: Chunker | None = None
) -> AsyncGenerator[dict[str, Any], None]:
    """The samples of a leaf node: of a skill one a seed, of knowledge one for each chunk with each seed.

    Only one chunk is held at a time. The keys and their order are upstream's, except that each sample of
    knowledge has just the pairs of its own seed.

    Raises:
        ConfigError: knowledge has no chunker, its documents hold no text, or one cannot be read.
    """
    if isinstance(leaf, SkillLeaf):
        for example in leaf.seeds:
            yield _skill_sample(leaf, example)
        return
    if chunker is None:
        raise ConfigError(Problem(file=leaf.file, message="knowledge needs a chunker for its documents"))
    is_empty = True
    for document in documents:
        async with aclosing(chunker.chunks(document)) as chunks:
            async for chunk in chunks:
                is_empty = False
                for seed in leaf.seeds:
                    yield _knowledge_sample(leaf, chunk, seed)
    if is_empty:
        raise ConfigError(
            Problem(file=leaf.file, line=leaf.line, message="there is no text in the documents")
        )


def columns_of(leaf: LeafNode) -> list[str]:
    """The columns that every sample of a leaf node has, known before there is any."""
    if isinstance(leaf, SkillLeaf):
        return list(_skill_sample(leaf, leaf.seeds[0]))
    seed = min(leaf.seeds, key=lambda seed: len(seed.questions_and_answers))
    return list(_knowledge_sample(leaf, "", seed))


def _knowledge_sample(leaf: KnowledgeLeaf, chunk: str, seed: KnowledgeSeed) -> dict[str, Any]:
    sample = {
        "document": chunk,
        "icl_document": seed.context,
        "document_outline": leaf.document_outline,
        "domain": leaf.domain,
        "leaf_node_type": leaf.kind,
    }
    for number, pair in enumerate(seed.questions_and_answers, start=1):
        sample[f"icl_query_{number}"] = pair.question
        sample[f"icl_response_{number}"] = pair.answer
    return {**sample, "leaf_node_path": leaf.name}


def _skill_sample(leaf: SkillLeaf, seed: SkillSeed) -> dict[str, Any]:
    context = {"seed_context": seed.context} if leaf.kind == "grounded_skill" else {}
    return {
        "task_description": leaf.task_description,
        **context,
        "seed_question": seed.question,
        "seed_response": seed.answer,
        "leaf_node_type": leaf.kind,
        "leaf_node_path": leaf.name,
    }


async def write_samples(leaf: LeafNode, rows: AsyncGenerator[dict[str, Any], None], folder: Path) -> int:
    """Write the samples of a leaf node to ``<name>.jsonl`` in ``folder``; how many there were.

    The file appears when it is whole and on the disk.

    Raises:
        OutputError: it cannot be written.
    """
    file = SamplesFile(folder / f"{leaf.name}.jsonl")
    await file.write(rows)
    return file.count
