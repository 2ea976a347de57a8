"""A taxonomy's documents looked at, and its samples written: what can be done before a teacher is asked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import anyio
import msgspec
from anyio.to_thread import run_sync as in_thread

from ..errors import ConfigError, OutputError, Problem
from ..io.folders import made_folder
from .clones import Fetcher
from .documents import Chunker, Document, fetch_all
from .leaf import KnowledgeLeaf, LeafNode, Taxonomy
from .samples import samples, write_samples
from .texts import read_text

__all__ = ["CHUNKER_FILE", "Preprocessed", "check_documents", "preprocess", "write_chunker"]

CHUNKER_FILE = "chunker.json"
"""Beside the samples: ``{"chunker": NAME}``; tools that take every ``*.jsonl`` pass it by."""

_READERS = 2  # documents that are converted at once


class Preprocessed(msgspec.Struct, frozen=True):
    """What has been written.

    Attributes:
        rows: number of samples by name of the leaf node.
        left_out: knowledge for which there was no chunker.
        warnings: what is odd about documents.
    """

    rows: dict[str, int]
    left_out: tuple[KnowledgeLeaf, ...] = ()
    warnings: tuple[Problem, ...] = ()


async def preprocess(
    taxonomy: Taxonomy, folder: Path, fetcher: Fetcher, chunker: Chunker | None = None
) -> Preprocessed:
    """Write the samples of each leaf node to ``<name>.jsonl`` in ``folder``, documents below ``documents``.

    Nothing is written before all documents are there. Without a ``chunker`` knowledge is left out; with one,
    :data:`CHUNKER_FILE` tells which it was.

    Raises:
        ConfigError: documents cannot be fetched, with all that is wrong, or one cannot be read.
        OutputError: a file cannot be written.
    """
    knowledge = _knowledge(taxonomy.leaf_nodes)
    left_out = () if chunker is not None else knowledge
    await in_thread(made_folder, folder)
    fetched = await fetch_all(() if left_out else knowledge, fetcher, folder / "documents")
    if chunker is not None and knowledge:
        await in_thread(write_chunker, folder, chunker.name)
    rows: dict[str, int] = {}
    for leaf in taxonomy.leaf_nodes:
        if leaf not in left_out:
            documents = fetched[leaf.name].documents if leaf.name in fetched else ()
            rows[leaf.name] = await write_samples(leaf, samples(leaf, documents, chunker), folder)
    warnings = tuple(problem for found in fetched.values() for problem in found.warnings)
    return Preprocessed(rows, left_out, warnings)


def write_chunker(folder: Path, name: str) -> None:
    """Write which chunker has cut the documents of the samples in ``folder``; whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    file = folder / CHUNKER_FILE
    partial = file.with_name(f".{file.name}.partial")
    try:
        with partial.open("wb") as opened:
            opened.write(msgspec.json.encode({"chunker": name}) + b"\n")
            opened.flush()
            os.fsync(opened.fileno())
        partial.replace(file)
    except OSError as error:
        raise OutputError(f"{file}: cannot be written: {error.strerror}") from error


async def check_documents(taxonomy: Taxonomy, fetcher: Fetcher, folder: Path) -> tuple[Problem, ...]:
    """Fetch all documents to ``folder`` and read their texts; what is odd but does not hinder.

    Raises:
        ConfigError: with everything that is wrong with any of them.
        OutputError: ``folder`` or the cache cannot be written.
    """
    fetched = await fetch_all(_knowledge(taxonomy.leaf_nodes), fetcher, folder)
    problems = await _unreadable([document for found in fetched.values() for document in found.documents])
    if problems:
        raise ConfigError(problems)
    return tuple(problem for found in fetched.values() for problem in found.warnings)


async def _unreadable(documents: Sequence[Document]) -> list[Problem]:
    slots = anyio.CapacityLimiter(_READERS)
    problems: dict[Path, Sequence[Problem]] = {}

    async def look(document: Document) -> None:
        async with slots:
            try:
                await read_text(document)
            except ConfigError as error:
                problems[document.file] = error.problems

    async with anyio.create_task_group() as tasks:
        for document in documents:
            tasks.start_soon(look, document)
    return [problem for document in documents for problem in problems.get(document.file, ())]


def _knowledge(leaves: Sequence[LeafNode]) -> tuple[KnowledgeLeaf, ...]:
    return tuple(leaf for leaf in leaves if isinstance(leaf, KnowledgeLeaf))
