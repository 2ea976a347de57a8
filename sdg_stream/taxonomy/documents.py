"""The documents of knowledge leaf nodes: fetched side by side, found by their patterns, laid out as files."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import anyio
import msgspec
from anyio.to_thread import run_sync as in_thread

from ..errors import ConfigError, Problem
from .clones import Fetcher
from .git import GitError
from .leaf import KnowledgeLeaf
from .patterns import matcher
from .trees import TreeFile, list_files, write_files

__all__ = ["Chunker", "Document", "LeafDocuments", "fetch_all", "fetch_documents"]

ALWAYS = (".md", ".pdf")
"""What every pattern finds, in any case of letters."""

NAMED = (".markdown", ".txt", ".html", ".htm", ".docx")
"""What a pattern finds that ends like this: a wide one means what it means to upstream."""

_KINDS = f"documents end in {' or '.join(ALWAYS)}, or as the pattern does: {', '.join(NAMED)}"


class Document(msgspec.Struct, frozen=True):
    """A document of a leaf node.

    ``name`` is its path in its repository, ``file`` a regular file with its bytes, of the same suffix.
    """

    name: str
    file: Path


class LeafDocuments(msgspec.Struct, frozen=True):
    """The documents of a leaf node, the whole hash of their commit, and the patterns that find nothing."""

    documents: tuple[Document, ...]
    commit: str
    warnings: tuple[Problem, ...] = ()


class Chunker(Protocol):
    """Cuts documents into the texts that samples are made of."""

    @property
    def name(self) -> str:
        """What the chunks depend on beside the document, to be recorded with the samples."""
        ...

    def chunks(self, document: Document) -> AsyncGenerator[str, None]:
        """The chunks of one document in their order, none of them empty; several may be cut at once.

        Raises:
            ConfigError: the document cannot be read.
        """
        ...

    async def aclose(self) -> None:
        """End what it has started, if anything; no document is being cut any more."""
        ...


async def fetch_all(
    leaves: Iterable[KnowledgeLeaf], fetcher: Fetcher, folder: Path
) -> dict[str, LeafDocuments]:
    """The documents of many leaf nodes, by name of the leaf node.

    Raises:
        ConfigError: with everything that is wrong with any of them.
        OutputError: ``folder`` or the cache cannot be written.
    """
    found: dict[str, LeafDocuments] = {}
    problems: dict[str, Sequence[Problem]] = {}

    async def fetch(leaf: KnowledgeLeaf) -> None:
        try:
            found[leaf.name] = await fetch_documents(leaf, fetcher, folder)
        except ConfigError as error:
            problems[leaf.name] = error.problems

    leaves = list(leaves)
    async with anyio.create_task_group() as tasks:
        for leaf in leaves:
            tasks.start_soon(fetch, leaf)
    if problems:
        raise ConfigError([problem for leaf in leaves for problem in problems.get(leaf.name, ())])
    return {leaf.name: found[leaf.name] for leaf in leaves}


async def fetch_documents(leaf: KnowledgeLeaf, fetcher: Fetcher, folder: Path) -> LeafDocuments:
    """The documents of a leaf node, as files below ``folder``, in a folder of the leaf node's name.

    They come in the order of the patterns, then of their paths; each once, however many patterns find it.

    Raises:
        ConfigError: they cannot be fetched, there are none, or one must not or cannot be read.
        OutputError: ``folder`` or the cache cannot be written.
    """
    try:
        clone = await fetcher.fetch(leaf.source)
        files, missed = _choose(leaf.source.patterns, await list_files(clone))
        problems = [_problem(leaf, f"{file.path} {file.wrong}") for file in files if file.wrong]
        if not files:
            problems = [_problem(leaf, f"{words}; {_KINDS}") for words in missed]
        if not problems:
            places = [(file, folder / leaf.name / file.path) for file in files]
            unusable = await in_thread(write_files, clone, places)
            problems = [_problem(leaf, f"{file.path} {words}") for file, words in unusable]
    except GitError as error:
        raise ConfigError(_problem(leaf, f"{leaf.source.repo}: {error}")) from error
    if problems:
        raise ConfigError(problems)
    documents = tuple(Document(file.path, place) for file, place in places)
    return LeafDocuments(documents, clone.commit, tuple(_problem(leaf, words) for words in missed))


def _choose(patterns: Sequence[str], files: Sequence[TreeFile]) -> tuple[list[TreeFile], list[str]]:
    """The files that patterns find, and, in words, which of them find none."""
    chosen: dict[str, TreeFile] = {}
    missed: list[str] = []
    for pattern in patterns:
        suffixes = (*ALWAYS, *(suffix for suffix in NAMED if pattern.lower().endswith(suffix)))
        is_found = matcher(pattern)
        found = [file for file in files if file.path.lower().endswith(suffixes) and is_found(file.path)]
        if not found:
            missed.append(f"the pattern {pattern!r} finds no document")
        chosen |= {file.path: file for file in found}
    return list(chosen.values()), missed


def _problem(leaf: KnowledgeLeaf, words: str) -> Problem:
    return Problem(file=leaf.file, line=leaf.line, path="$.document", message=words)
