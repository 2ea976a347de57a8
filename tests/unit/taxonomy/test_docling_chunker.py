"""Chunks by docling: how its process is treated, with a double of it, and what the real one gives."""

from __future__ import annotations

import json
import zipfile
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from docling_double import write_double
from taxonomies import write_files

from sdg_stream.errors import ConfigError
from sdg_stream.taxonomy import docling_chunker
from sdg_stream.taxonomy.chunkers import make_chunker
from sdg_stream.taxonomy.docling_chunker import DoclingChunker, missing_libraries
from sdg_stream.taxonomy.documents import Document
from sdg_stream.taxonomy.tokens import TokenCounter

pytestmark = pytest.mark.anyio

WORDS = {
    "version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "WhitespaceSplit"},
    "model": {"type": "WordLevel", "vocab": {"?": 0}, "unk_token": "?"},
}  # fmt: skip
COUNTER = TokenCounter("words", len)


def no_models() -> Path:
    """There are none."""
    raise ConfigError("no models")


@pytest.fixture
def double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a double of docling, which the process finds, and a tokenizer."""
    monkeypatch.setenv("PYTHONPATH", str(write_double(tmp_path / "path")))
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    return write_files(tmp_path, {"t.json": "{}"})


@pytest.fixture
async def chunker(double: Path) -> AsyncIterator[DoclingChunker]:
    """A chunker whose process has the double."""
    async with aclosing(DoclingChunker(COUNTER, double / "t.json", 7, find_models=no_models)) as made:
        yield made


async def cut(chunker: Any, folder: Path, name: str, content: str | bytes) -> list[str]:
    """The chunks of a document with that content."""
    write_files(folder, {name: content})
    return [chunk async for chunk in chunker.chunks(Document(name, folder / name))]


async def test_one_process_for_all_documents(chunker: DoclingChunker, tmp_path: Path) -> None:
    """Of many that come at once, too, each gets its own chunks; empty ones are left out."""
    made: dict[str, list[str]] = {}

    async def one(name: str) -> None:
        made[name] = await cut(chunker, tmp_path, name, f"{name}\n\n!pid")

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(one, f"{number}.md")
    assert all(chunks[0] == f"# Heading\n{name}" and len(chunks) == 2 for name, chunks in made.items())
    assert len({chunks[1] for chunks in made.values()}) == 1


async def test_what_the_process_gets_to_know(chunker: DoclingChunker, tmp_path: Path) -> None:
    """The tokenizer and the size; no keys, no GPU, and that it must not download. What it prints is lost."""
    text = "!tokenizer\n!env OPENAI_API_KEY\n!env CUDA_VISIBLE_DEVICES\n!env HF_HUB_OFFLINE\n!noise"
    made = await cut(chunker, tmp_path, "a.MARKDOWN", text)
    assert [chunk.removeprefix("# Heading\n") for chunk in made] == [
        "{} 7", "None", "''", "'1'", "!noise",
    ]  # fmt: skip


async def test_plain_text_is_no_markdown(chunker: DoclingChunker, tmp_path: Path) -> None:
    """It comes as its paragraphs."""
    made = await cut(chunker, tmp_path, "a.txt", "# one\nline\n\n\n- two\n")
    assert made == ["# Heading\nparagraph: # one\nline", "# Heading\nparagraph: - two"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.md", "!fail", "a.md: cannot be read: ValueError: no good$"),
        ("a.md", "!die", "a.md: cannot be read: docling ended without an answer"),
        ("a.docx", "no archive", "a.docx: cannot be read: BadZipFile: "),
        ("a.pdf", "", "^no models$"),
        ("a.txt", b"\xff", "a.txt: cannot be read: UnicodeDecodeError: "),
    ],
)
async def test_a_document_that_cannot_be_read(
    name: str, content: str | bytes, words: str, chunker: DoclingChunker, tmp_path: Path
) -> None:
    """Is told with the file and why, and the next one is read."""
    with pytest.raises(ConfigError, match=words):
        await cut(chunker, tmp_path, name, content)
    with pytest.raises(ConfigError, match=r"gone\.md: cannot be read: No such file or directory"):
        await anext(chunker.chunks(Document("gone.md", tmp_path / "gone.md")))
    assert await cut(chunker, tmp_path, "b.md", "text") == ["# Heading\ntext"]


async def test_a_document_that_takes_too_long(
    chunker: DoclingChunker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process is ended; there is another one for the next."""
    bounds = msgspec.structs.replace(docling_chunker._DOCUMENT, seconds=0.3)
    await cut(chunker, tmp_path, "a.md", "text")
    with monkeypatch.context() as changes, pytest.raises(ConfigError, match="docling took longer"):
        changes.setattr(docling_chunker, "_DOCUMENT", bounds)
        await cut(chunker, tmp_path, "a.md", "!hang")
    assert await cut(chunker, tmp_path, "a.md", "text") == ["# Heading\ntext"]


async def test_what_unpacks_to_too_much_is_not_read(chunker: DoclingChunker, tmp_path: Path) -> None:
    """A DOCX of a kilobyte can be anything."""
    file = tmp_path / "a.docx"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        packed.writestr("a", bytes(2 * 1024**2))
    data = file.read_bytes().replace((2 * 1024**2).to_bytes(4, "little"), (2**30).to_bytes(4, "little"))
    with pytest.raises(ConfigError, match="unpacks to more than"):
        await cut(chunker, tmp_path, "a.docx", data)


@pytest.mark.parametrize("missing", ["docling_core", "transformers", "docling"])
async def test_a_library_that_is_missing(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is told with the command that installs it, and nothing stays behind."""
    monkeypatch.setenv("PYTHONPATH", str(write_double(tmp_path / "path", without=missing)))
    write_files(tmp_path, {"t.json": "{}"})
    async with aclosing(DoclingChunker(COUNTER, tmp_path / "t.json", find_models=no_models)) as chunker:
        with pytest.raises(ConfigError, match=rf"'{missing}.*' is missing; pip install 'sdg-stream\[docl"):
            await cut(chunker, tmp_path, "a.md", "text")


async def test_tokenizers(double: Path) -> None:
    """A model goes to ``transformers``, which may run no code of it; a lone ``tokenizer.json`` as it is."""
    write_files(double, {
        "m/tokenizer_config.json": "{}", "m/tokenizer.json": "1", "n/tokenizer.json": "2", "g/a.gguf": "GGUF",
    })  # fmt: skip
    model = f"{double}/m True False"
    for name, told in (("m", model), ("n", "2"), ("g/a.gguf", f"{double}/g True Falsea.gguf")):
        async with aclosing(DoclingChunker(COUNTER, double / name, 9, find_models=no_models)) as chunker:
            assert await cut(chunker, double, "a.md", "!tokenizer") == [f"# Heading\n{told} 9"]
    write_files(double, {"n/tokenizer.json": ""})
    with pytest.raises(ConfigError, match="n: cannot be read: Exception: empty"):
        await cut(DoclingChunker(COUNTER, double / "n", find_models=no_models), double, "a.md", "text")


@pytest.mark.parametrize("ocr", [False, True])
async def test_pdf_gets_the_models(ocr: bool, double: Path) -> None:
    """And OCR if Tesseract is there; models that cannot be loaded are told with what to do."""
    if ocr:
        write_files(double / "path", {"tesserocr.py": ""})
    places = iter([double / "models", double / "bad"])
    async with aclosing(DoclingChunker(COUNTER, double / "t.json", find_models=places.__next__)) as chunker:
        assert await cut(chunker, double, "a.pdf", "!models") == [f"# Heading\n{double}/models {ocr}"]
        with pytest.raises(ConfigError, match=r"OSError: No such model\.; 'docling-tools models download"):
            await cut(chunker, double, "b.PDF", "!models")


# ---------------------------------------------------------------- docling itself

REAL = pytest.mark.skipif(bool(missing_libraries()), reason="needs the docling extra")
TEXT = """# Tides

## Ebb

The sea goes out.

- one
- two

| day | high |
|---|---|
| Monday | 4.1 |

```python
print(1)
```

## Flow

It comes in.
"""
PAGE = "<h1>Tides</h1><p>High and low.</p><img src='http://127.0.0.1:9/x.png'><script>alert(1)</script>"


@REAL
async def test_q_chunk_3_docling_needs_no_models_for_markdown(tmp_path: Path) -> None:
    """Headings, lists, tables and code come as docling gives them; HTML and plain text are read as well."""
    write_files(tmp_path, {"t.json": json.dumps(WORDS)})
    async with aclosing(make_chunker("auto", tmp_path / "t.json", 20)) as chunker:
        made = await cut(chunker, tmp_path, "a.md", TEXT)
        page = await cut(chunker, tmp_path, "a.html", PAGE)
        plain = await cut(chunker, tmp_path, "a.txt", "one\n\ntwo")
        with pytest.raises(ConfigError, match="docling needs models to read PDF"):
            await cut(chunker, tmp_path, "a.pdf", "%PDF-1.4")
    assert all(len(chunk.split()) <= 20 for chunk in made)
    assert made[0].startswith("Tides\nEbb\nThe sea goes out.\n- one\n- two")
    assert made[-1] == "Tides\nFlow\nIt comes in."
    assert any("Monday, high = 4.1" in chunk for chunk in made)
    assert any("print(1)" in chunk for chunk in made)
    assert page == ["Tides\nHigh and low."]
    assert plain == ["one\ntwo"]


@REAL
async def test_docling_tells_models_that_it_cannot_load(tmp_path: Path) -> None:
    """With the command that gets them; nothing is downloaded."""
    write_files(tmp_path, {"t.json": json.dumps(WORDS), "models/readme": "none"})
    models = tmp_path / "models"
    async with aclosing(make_chunker("docling", tmp_path / "t.json", docling_models=models)) as chunker:
        with pytest.raises(ConfigError, match=r"docling cannot load its models from .*models download"):
            await cut(chunker, tmp_path, "a.pdf", "%PDF-1.4")
