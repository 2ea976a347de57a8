"""What a whole job wants, and the account of it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from ..config.settings import Settings
from ..events import RunReport
from ..state.keep import Keep

__all__ = ["SYSTEM_PROMPT", "GenerationOptions", "GenerationReport", "LeafReport"]

SYSTEM_PROMPT = (
    "You are a helpful assistant. Answer truthfully and to the point, and say so when you do not know."
)
"""Stands in training rows unless the user gives another."""

ChunkerName: TypeAlias = Literal["auto", "markdown", "docling"]


class GenerationOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a taxonomy is made into training data.

    Attributes:
        taxonomy_base: ``empty`` for the whole taxonomy, or a git ref: then what has changed since.
        pipeline: ``simple``, ``full``, ``llama``, a name in the data directories, or a folder with
            ``knowledge.yaml``, ``freeform_skills.yaml`` and ``grounded_skills.yaml``.
        settings: what the caller decides beside the pipeline files.
        chunker: how documents are cut; see :func:`~sdg_stream.taxonomy.chunkers.make_chunker`.
        chunk_tokens: tokens of the longest chunk, with its headings.
        tokenizer: what counts them; None estimates.
        docling_models: folder with docling's models for PDF; None looks in the data directories.
        system_prompt: for every training row; None is :data:`SYSTEM_PROMPT`.
        yaml_rules: a yamllint configuration to use instead of the default.
        local_repos: documents may come from git repositories on this machine.
        documents_cache: where commits with documents are kept; None is ``documents`` in the output folder.
        data_dirs: where default recipes and pipelines of the user are looked for.
        date_suffix: the end of all names; None is the time of the first start.
        seed: of everything that is chosen, from 0 to 2**32 - 1.
        replacement: whether mixing draws with replacement.
        plugins: folders that ``module:Class`` block types may be imported from.
        allow_paths: folders in which files may lie that a pipeline names.
        keep: what to do with what an earlier start has made.
        another: leave a finished job, and one that was begun with something else, as it is, and begin another
            set of files; an unfinished one that was begun with the same is gone on with.
        at_once: how many leaf nodes are worked on at a time.
    """

    taxonomy_base: str = "empty"
    pipeline: str = "simple"
    settings: Settings = Settings()
    chunker: ChunkerName = "auto"
    chunk_tokens: int = 500
    tokenizer: Path | None = None
    docling_models: Path | None = None
    system_prompt: str | None = None
    yaml_rules: Path | None = None
    local_repos: bool = False
    documents_cache: Path | None = None
    data_dirs: tuple[Path, ...] = ()
    date_suffix: str | None = None
    seed: int = 42
    replacement: bool = True
    plugins: tuple[Path, ...] = ()
    allow_paths: tuple[Path, ...] = ()
    keep: Keep = Keep()
    another: bool = False
    at_once: int = 32


class LeafReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one leaf node.

    Attributes:
        name: of its files.
        kind: its ``leaf_node_type``.
        samples: input rows that were read.
        rows: generated rows.
        used: of them, those that training rows were made of.
        rejects: records that something was wrong with.
        benchmark: questions in its benchmark; None for skills.
        left_out: rows that no training row was made of, by reason.
        error: why it did not come to its end; empty if it did.
    """

    name: str
    kind: str
    samples: int = 0
    rows: int = 0
    used: int = 0
    rejects: int = 0
    benchmark: int | None = None
    left_out: dict[str, int] = {}
    error: str = ""


class GenerationReport(msgspec.Struct, frozen=True, kw_only=True):
    """The account of a whole job.

    Attributes:
        date_suffix: the end of all names.
        output_dir: where they are.
        leaves: by name.
        run: all runs together, those of benchmarks as well.
        chunker: what cut the documents; empty if there were none.
        files: the training files that were written, relative to ``output_dir``.
        finished_before: nothing was left to do.
    """

    date_suffix: str
    output_dir: str
    leaves: tuple[LeafReport, ...]
    run: RunReport
    chunker: str = ""
    files: tuple[str, ...] = ()
    finished_before: bool = False

    @property
    def failed(self) -> tuple[LeafReport, ...]:
        """Leaf nodes that did not come to their end."""
        return tuple(leaf for leaf in self.leaves if leaf.error)
