"""Cuts documents into chunks with upstream, in upstream's environment; started by ``record_chunks.py``.

Reads a JSON object from standard input: ``model`` and ``models``, folders with the teacher's tokenizer and
with docling's models (an empty one will do for Markdown, but upstream fails with docling of today without
one), ``scratch``, and ``documents``. Writes one: ``versions``, and ``chunks`` by name of the document.
"""

from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

from upstream_child import upstream_module

PACKAGES = ("docling", "docling-core", "transformers", "semchunk")


def main() -> None:
    """Do the one job on standard input."""
    job = json.load(sys.stdin)
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no result
    module = upstream_module("utils.chunkers")
    chunks = {}
    for name in job["documents"]:
        chunker = module.DocumentChunker(
            [Path(name)], Path(job["scratch"]), job["model"], docling_model_path=Path(job["models"])
        )
        chunks[Path(name).name] = chunker.chunk_documents()
    json.dump({"versions": {name: version(name) for name in PACKAGES}, "chunks": chunks}, results)
    results.close()


if __name__ == "__main__":
    main()
