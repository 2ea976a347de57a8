"""sdg_stream's docling chunker against upstream: the chunks of the same documents, by the same tokenizer.

Upstream's chunks were recorded by ``record_chunks.py``. What docling makes of a document changes with its
versions, so they are compared where those that were recorded with are installed.
"""

from __future__ import annotations

import json
from contextlib import aclosing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
from chunk_cases import RECORDED, documents, write_model

from sdg_stream.taxonomy.chunkers import make_chunker
from sdg_stream.taxonomy.documents import Document

pytestmark = pytest.mark.anyio

FOUND: dict[str, Any] = json.loads(RECORDED.read_text(encoding="utf-8"))


def is_installed() -> bool:
    """Whether the versions are here that upstream's chunks were recorded with."""
    try:
        return all(version(name) == recorded for name, recorded in FOUND["versions"].items())
    except PackageNotFoundError:
        return False


@pytest.mark.skipif(not is_installed(), reason=f"needs {FOUND['versions']}")
@pytest.mark.parametrize("tokenizer", [".", "tokenizer.json"])
async def test_chunks_are_upstreams(tokenizer: str, tmp_path: Path) -> None:
    """The same texts in the same order, by a model's folder and by its tokenizer alone; no models for PDF."""
    chunker = make_chunker("docling", write_model(tmp_path / "model") / tokenizer)
    made = {}
    async with aclosing(chunker):
        for file in documents():
            made[file.name] = [chunk async for chunk in chunker.chunks(Document(file.name, file))]
    assert made == FOUND["chunks"]


def test_all_documents_are_recorded() -> None:
    """And some of them have many chunks, so that it matters where they are cut."""
    assert list(FOUND["chunks"]) == [file.name for file in documents()]
    assert max(map(len, FOUND["chunks"].values())) > 5
