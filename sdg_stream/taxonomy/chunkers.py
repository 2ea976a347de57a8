"""Which chunker: chosen by name, or by what is installed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from ..errors import ConfigError
from .chunking import CHUNK_TOKENS, MarkdownChunker
from .docling_chunker import EXTRA, DoclingChunker, missing_libraries
from .docling_models import find_models
from .documents import Chunker
from .tokens import load_tokens

__all__ = ["ChunkerKind", "make_chunker"]

ChunkerKind = Literal["auto", "markdown", "docling"]
"""Names of chunkers."""


def make_chunker(
    kind: ChunkerKind = "auto",
    tokenizer: Path | None = None,
    chunk_tokens: int = CHUNK_TOKENS,
    *,
    docling_models: Path | None = None,
    data_dirs: Sequence[Path] = (),
) -> Chunker:
    """A chunker; its ``name`` says which it is. Close it when the last document is read.

    ``markdown`` is light and needs no tokenizer. ``docling`` gives upstream's chunks; it needs the extra of
    that name, the teacher's tokenizer, and models for PDF. ``auto`` is docling if the extra is installed and
    a tokenizer is given, else markdown: who has installed it wants it. What the documents are does not
    matter, so all samples of a run are made by one chunker.

    Args:
        kind: which.
        tokenizer: of the teacher: a ``tokenizer.json``, a model's folder with one, or a GGUF file.
        chunk_tokens: of the longest chunk, with its headings.
        docling_models: folder with docling's models for PDF.
        data_dirs: where ``models/config.yaml`` is looked for if there is no such folder.

    Raises:
        ConfigError: the tokenizer cannot be read; docling was asked for, and it or the tokenizer is missing.
    """
    missing = missing_libraries() if kind != "markdown" else []
    if kind == "docling" and missing:
        names = ", ".join(map(repr, missing))
        raise ConfigError(f"the docling chunker needs libraries that are not installed: {names}; {EXTRA}")
    if kind == "docling" and tokenizer is None:
        raise ConfigError(
            "the docling chunker counts by the teacher's tokenizer: name it with --tokenizer, or use the"
            " markdown chunker"
        )
    tokens = load_tokens(tokenizer)
    if kind == "markdown" or missing or tokenizer is None:
        return MarkdownChunker(tokens, chunk_tokens)
    models = partial(find_models, docling_models, data_dirs)
    return DoclingChunker(tokens, tokenizer, chunk_tokens, find_models=models)
