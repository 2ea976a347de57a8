"""``taxonomy samples`` as a process: knowledge from documents to rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import sdg
from taxonomies import KNOWLEDGE, commit, knowledge, write_files

from sdg_stream.taxonomy.docling_chunker import missing_libraries

pytestmark = pytest.mark.anyio

TIDES = "# Tides\n\n## Ebb\n\n" + "The sea goes out. " * 20 + "\n\n## Flow\n\n" + "It comes in. " * 20 + "\n"
WORDS = {
    "version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "WhitespaceSplit"},
    "model": {"type": "WordLevel", "vocab": {"?": 0}, "unk_token": "?"},
}  # fmt: skip
"""A tokenizer to which each word is a token."""


def sound(folder: Path) -> None:
    """A taxonomy of knowledge about a document, and a tokenizer."""
    head = commit(folder / "repo", {"a.md": TIDES})
    write_files(folder / "taxonomy", {KNOWLEDGE: knowledge(folder / "repo", head)})
    write_files(folder / "model", {"tokenizer.json": json.dumps(WORDS)})


async def chunks(folder: Path, *options: str) -> tuple[list[str], str]:
    """The chunks that the samples are made of, and what was said."""
    done = await sdg(
        folder, "taxonomy", "samples", "taxonomy", "--allow-local-repos", "--output-dir", "out",
        "--documents-cache", "cache", *options,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    [made] = (folder / "out").glob("*/knowledge_science_tides.jsonl")
    rows = [json.loads(line) for line in made.read_text(encoding="utf-8").splitlines()]
    assert [row["icl_document"] for row in rows] == [f"Passage {n}." for n in range(5)] * (len(rows) // 5)
    return [row["document"] for row in rows[::5]], done.stderr


async def test_knowledge_is_written(tmp_path: Path) -> None:
    """A small document is one chunk; without a tokenizer it is said what the estimate is worth."""
    sound(tmp_path)
    made, said = await chunks(tmp_path)
    assert made == [TIDES.strip()]
    assert "up to 500 tokens by estimate (within 15 %" in said


async def test_a_tokenizer_counts(tmp_path: Path) -> None:
    """No chunk has more of its tokens than asked for; each begins with its headings."""
    pytest.importorskip("tokenizers")
    sound(tmp_path)
    options = ("--chunk-tokens", "50", "--tokenizer", "model", "--chunker", "markdown")
    made, said = await chunks(tmp_path, *options)
    assert [chunk.splitlines()[:2] for chunk in made] == [
        ["# Tides", "## Ebb"], ["# Tides", "## Ebb"], ["# Tides", "## Flow"], ["# Tides", "## Flow"],
    ]  # fmt: skip
    assert [len(chunk.split()) for chunk in made] == [48, 40, 49, 19]
    assert "up to 50 tokens by model/tokenizer.json sha256:" in said
    [file] = (tmp_path / "out").glob("*/chunker.json")
    assert f"documents cut by: {json.loads(file.read_bytes())['chunker']}" in said


@pytest.mark.skipif(bool(missing_libraries()), reason="needs the docling extra")
async def test_docling_cuts_if_it_is_there(tmp_path: Path) -> None:
    """By itself, if there is a tokenizer; what cut the documents is recorded."""
    sound(tmp_path)
    made, said = await chunks(tmp_path, "--chunk-tokens", "50", "--tokenizer", "model")
    assert [chunk.splitlines()[:2] for chunk in made][::2] == [["Tides", "Ebb"], ["Tides", "Flow"]]
    assert all(len(chunk.split()) <= 50 for chunk in made)
    [file] = (tmp_path / "out").glob("*/chunker.json")
    assert json.loads(file.read_bytes())["chunker"].startswith("docling 2.")
    assert "documents cut by: docling 2." in said


async def test_a_wrong_tokenizer_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    """With exit code 2, and nothing is written."""
    sound(tmp_path)
    done = await sdg(
        tmp_path, "taxonomy", "samples", "taxonomy", "--allow-local-repos", "--tokenizer", "no.json"
    )
    assert done.returncode == 2
    assert done.stderr == "Error: no.json: cannot be read: No such file or directory\n"
    assert not (tmp_path / "datasets").exists()
