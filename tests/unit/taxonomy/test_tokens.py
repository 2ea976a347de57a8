"""Counting tokens: tokenizers that are here, and the estimate."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path
from typing import Any

import pytest
from taxonomies import write_files

from sdg_stream.errors import ConfigError
from sdg_stream.taxonomy.tokens import MARGIN, estimate, load_tokens

WORDS: dict[str, Any] = {
    "version": "1.0",
    "truncation": {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
    "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": {"type": "WhitespaceSplit"},
    "post_processor": None, "decoder": None,
    "model": {"type": "WordLevel", "vocab": {"?": 0, "a": 1}, "unk_token": "?"},
}  # fmt: skip
"""A tokenizer to which each word is a token, that would not read more than three."""


def test_a_file_or_a_folder(tmp_path: Path) -> None:
    """A ``tokenizer.json`` counts all of a text; its name and digest are what is recorded."""
    pytest.importorskip("tokenizers")
    write_files(tmp_path / "model", {"tokenizer.json": json.dumps(WORDS)})
    for path in (tmp_path / "model", tmp_path / "model" / "tokenizer.json"):
        tokens = load_tokens(path)
        assert tokens.count("a b c d e") == 5
        assert tokens.name.startswith("model/tokenizer.json sha256:")


@pytest.mark.parametrize(
    ("files", "name", "words"),
    [
        ({}, "gone.json", "gone.json: cannot be read: No such file or directory$"),
        ({"m/config.json": "{}"}, "m", "a model's folder must hold its tokenizer.json"),
        ({"t.json": "{}"}, "t.json", "t.json: holds no tokenizer: "),
        ({"t.gguf": b"GGUF"}, "t.gguf", "t.gguf: is a damaged GGUF file"),
        ({"t.gguf": b"GGUF" + struct.pack("<IQQ", 1, 0, 0)}, "t.gguf", "of version 1; known are 2 and 3"),
        ({"t.gguf": b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**60)}, "t.gguf", "damaged"),
        ({"t.gguf": b"GGUF" + struct.pack("<IQQ", 3, 0, 0)}, "t.gguf", "has no tokenizer in its metadata"),
    ],
)
def test_what_is_no_tokenizer(tmp_path: Path, files: dict[str, Any], name: str, words: str) -> None:
    """Is told with the file and why."""
    pytest.importorskip("tokenizers")
    with pytest.raises(ConfigError, match=words):
        load_tokens(write_files(tmp_path, files) / name)


def test_a_missing_library_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    write_files(tmp_path, {"tokenizer.json": json.dumps(WORDS)})
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(
        ConfigError, match=r"'tokenizers', which is missing; pip install 'sdg-stream\[tokenizers\]'"
    ):
        load_tokens(tmp_path)


def string(text: str) -> bytes:
    """A string in a GGUF file."""
    return struct.pack("<Q", len(text.encode())) + text.encode()


def gguf(kind: str, tokens: list[str], **more: list[str] | list[float]) -> bytes:
    """A GGUF file without weights: a number that is of no interest, and a tokenizer."""
    entries = [string("general.alignment") + struct.pack("<II", 4, 32)]
    entries.append(string("tokenizer.ggml.model") + struct.pack("<I", 8) + string(kind))
    for name, values in {"tokens": tokens, **more}.items():
        packed = [string(item) if isinstance(item, str) else struct.pack("<f", item) for item in values]
        kind_of = 8 if isinstance(values[0], str) else 6
        entries.append(string(f"tokenizer.ggml.{name}") + struct.pack("<IIQ", 9, kind_of, len(values)))
        entries[-1] += b"".join(packed)
    return b"GGUF" + struct.pack("<IQQ", 3, 0, len(entries)) + b"".join(entries)


def test_byte_pairs_of_a_gguf_file(tmp_path: Path) -> None:
    """Its merges are used, and a space belongs to the word behind it."""
    pytest.importorskip("tokenizers")
    data = gguf("gpt2", ["a", "b", "\u0120", "ab", "\u0120ab"], merges=["a b", "\u0120 ab"])
    tokens = load_tokens(write_files(tmp_path, {"m.gguf": data}) / "m.gguf")
    assert tokens.count("ab ab ba") == 5
    assert "/m.gguf sha256:" in tokens.name


def test_sentence_pieces_of_a_gguf_file(tmp_path: Path) -> None:
    """Merges follow from the scores; what is no token counts by bytes."""
    pytest.importorskip("tokenizers")
    tokens = ["<unk>", "\u2581", "a", "b", "ab", "\u2581a", "bb", "<0xC3>", "<0xA9>"]
    scores = [0.0, -9.0, -9.0, -9.0, -2.0, -1.0, -3.0, 0.0, 0.0]
    file = write_files(tmp_path, {"m.gguf": gguf("llama", tokens, scores=scores)}) / "m.gguf"
    assert load_tokens(file).count("abb ab") == 4
    assert load_tokens(file).count("a\u00e9") == 3
    short = write_files(tmp_path, {"n.gguf": gguf("llama", tokens, scores=[0.0])}) / "n.gguf"
    with pytest.raises(ConfigError, match="no score for each token"):
        load_tokens(short)
    other = write_files(tmp_path, {"o.gguf": gguf("bert", tokens)}) / "o.gguf"
    with pytest.raises(ConfigError, match="of the kind 'bert'; known are 'gpt2' and 'llama'"):
        load_tokens(other)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [("", 0), ("The tide is high.", 5), ("extraordinarily", 3), ("1024", 4), ("a\n\n\nb", 3),
     ("\u65e5\u672c", 3), ("\u043f\u0440\u0438\u043b\u0438\u0432", 3),
     ("\u03ac\u03bd\u03b5\u03bc\u03bf\u03c2", 5), ("\u00fc", 1)],
)  # fmt: skip
def test_the_estimate(text: str, tokens: int) -> None:
    """By scripts: words of English, letters of others, digits and signs."""
    assert estimate(text) == tokens


def test_without_a_tokenizer_tokens_are_estimated() -> None:
    """How far that may be off is in the name that is recorded."""
    assert load_tokens().name == f"estimate ({MARGIN})"
    assert load_tokens().count is estimate
