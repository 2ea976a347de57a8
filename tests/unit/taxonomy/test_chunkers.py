"""Which chunker is chosen, and what is said if it cannot be had."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from taxonomies import write_files

from sdg_stream.errors import ConfigError
from sdg_stream.taxonomy import chunkers
from sdg_stream.taxonomy.chunkers import ChunkerKind, make_chunker
from sdg_stream.taxonomy.docling_models import find_models

WORDS = {
    "version": "1.0", "added_tokens": [], "pre_tokenizer": {"type": "WhitespaceSplit"},
    "model": {"type": "WordLevel", "vocab": {"?": 0}, "unk_token": "?"},
}  # fmt: skip


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """A tokenizer, which needs its library."""
    pytest.importorskip("tokenizers")
    return write_files(tmp_path, {"t.json": json.dumps(WORDS)}) / "t.json"


def installed(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    """Have docling's libraries pass for installed, but for these."""
    monkeypatch.setattr(chunkers, "missing_libraries", lambda: list(missing))


@pytest.mark.parametrize(
    ("kind", "missing", "expected"),
    [
        ("auto", (), "docling"), ("auto", ("semchunk",), "markdown"),
        ("markdown", (), "markdown"), ("docling", (), "docling"),
    ],
)  # fmt: skip
def test_with_a_tokenizer(
    kind: ChunkerKind,
    missing: tuple[str, ...],
    expected: str,
    tokenizer: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``auto`` is docling if all of it is installed; the name tells size and tokenizer."""
    installed(monkeypatch, *missing)
    chunker = make_chunker(kind, tokenizer, 100)
    assert chunker.name.startswith(expected)
    assert f"up to 100 tokens by {tokenizer.parent.name}/t.json sha256:" in chunker.name


def test_q_chunk_1_without_a_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    """``auto`` is markdown, with 500 tokens by the estimate; docling says what it wants."""
    installed(monkeypatch)
    assert make_chunker().name.startswith("markdown, up to 500 tokens by estimate")
    with pytest.raises(ConfigError, match="name it with --tokenizer, or use the markdown chunker"):
        make_chunker("docling")


def test_docling_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is told with the command that installs it, before the tokenizer is looked at."""
    installed(monkeypatch, "docling", "semchunk")
    with pytest.raises(
        ConfigError, match=r"not installed: 'docling', 'semchunk'; pip install 'sdg-stream\[docling\]'"
    ):
        make_chunker("docling", tmp_path / "no.json")


def test_where_doclings_models_are(tmp_path: Path) -> None:
    """In the folder that is named, else where the first data directory with a config says."""
    write_files(tmp_path, {
        "own/model.bin": "x", "shared/model.bin": "x", "unused/models/other.yaml": "",
        "data/models/config.yaml": f"models:\n- path: {tmp_path}/shared\n- path: /no\n",
        "late/models/config.yaml": "models: []\n",
    })  # fmt: skip
    data_dirs = [tmp_path / name for name in ("no", "unused", "data", "late")]
    assert find_models(tmp_path / "own", data_dirs) == tmp_path / "own"
    assert find_models(None, data_dirs) == tmp_path / "shared"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (None, "none are configured: 'docling-tools models download"),
        ("models:\n- path: FOLDER/empty\n", "/empty holds none: 'docling-tools models download"),
        ("models:\n- path: FOLDER/no\n", "/no holds none: .*--docling-models"),
        ("models: []\n", r"config\.yaml:1: \$\.models\[0\]\.path: must name the folder"),
        ("- 1\n", "must name the folder"),
        ("models: [", "config.yaml:"),
    ],
)
def test_models_that_are_missing(config: str | None, words: str, tmp_path: Path) -> None:
    """Are told with what to do."""
    (tmp_path / "empty").mkdir()
    if config is not None:
        write_files(tmp_path, {"models/config.yaml": config.replace("FOLDER", str(tmp_path))})
    with pytest.raises(ConfigError, match=words):
        find_models(None, [tmp_path])
