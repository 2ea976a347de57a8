"""The tokenizer that a GGUF file describes: its metadata alone is read, never its weights.

Format: version 2 and 3 of https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, little-endian.
"""

from __future__ import annotations

import struct
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["MAGIC", "GgufError", "gguf_tokenizer"]

MAGIC = b"GGUF"

_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_LONGEST = 16 * 1024**2  # bytes of a string, and items of an array
_WANTED = "tokenizer.ggml."
_SPACE = "\u2581"  # what SentencePiece has in the place of a space


class GgufError(Exception):
    """A file that is no GGUF file, or whose tokenizer is none of ours; the text says why."""


def gguf_tokenizer(file: Path) -> Any:
    """A tokenizer of the library ``tokenizers`` that counts as the model's own does.

    Known are ``llama`` (byte pairs of SentencePiece) and ``gpt2`` (byte pairs; before them text is split as
    for GPT-2, which newer models do slightly otherwise, so their counts may be off by a few per cent).

    Raises:
        GgufError: it is no such file, or has another kind of tokenizer.
        ImportError: the library is not installed.
        OSError: it cannot be read.
    """
    found = _read_metadata(file)
    tokens, kind = found.get("tokens"), found.get("model")
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise GgufError("has no tokenizer in its metadata")
    if kind == "gpt2":
        return _byte_pairs(tokens, [tuple(line.split(" ", 1)) for line in found.get("merges", ())])
    if kind == "llama":
        return _sentence_pieces(tokens, found.get("scores", ()))
    raise GgufError(f"has a tokenizer of the kind {kind!r}; known are 'gpt2' and 'llama'")


def _byte_pairs(tokens: list[str], merges: list[tuple[str, ...]]) -> Any:
    library = import_module("tokenizers")
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = library.Tokenizer(library.models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


def _sentence_pieces(tokens: list[str], scores: list[float]) -> Any:
    """Two tokens merge if a third is both together; the one with the higher score goes first."""
    library = import_module("tokenizers")
    vocabulary = {token: number for number, token in enumerate(tokens)}
    if len(scores) != len(tokens):
        raise GgufError("has no score for each token in its metadata")
    score = dict(zip(tokens, scores, strict=True))
    merges = [
        (token[:at], token[at:])
        for token in sorted(vocabulary, key=lambda token: -score[token])
        for at in range(1, len(token))
        if token[:at] in vocabulary and token[at:] in vocabulary
    ]
    model = library.models.BPE(vocabulary, merges, unk_token=tokens[0], fuse_unk=True, byte_fallback=True)
    tokenizer = library.Tokenizer(model)
    normalizers = library.normalizers
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend(_SPACE), normalizers.Replace(" ", _SPACE)]
    )
    return tokenizer


def _read_metadata(file: Path) -> dict[str, Any]:
    """What the metadata has about the tokenizer, by the last part of its name."""
    found: dict[str, Any] = {}
    with file.open("rb") as opened:
        try:
            if opened.read(4) != MAGIC:
                raise GgufError("is no GGUF file")
            version, _, count = _numbers(opened, "IQQ")
            if version not in {2, 3}:
                raise GgufError(f"is a GGUF file of version {version}; known are 2 and 3")
            for _ in range(count):
                key, (kind,) = _string(opened), _numbers(opened, "I")
                value = _value(opened, kind)
                if key.startswith(_WANTED):
                    found[key.removeprefix(_WANTED)] = value
        except (struct.error, UnicodeDecodeError, KeyError) as error:
            raise GgufError("is a damaged GGUF file") from error
    return found


def _value(opened: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(opened)
    if kind == _ARRAY:
        kind, length = _numbers(opened, "IQ")
        if length > _LONGEST:
            raise GgufError("is a damaged GGUF file")
        if kind in _NUMBERS:
            return list(_numbers(opened, f"{length}{_NUMBERS[kind]}"))
        return [_value(opened, kind) for _ in range(length)]
    return _numbers(opened, _NUMBERS[kind])[0]


def _string(opened: BinaryIO) -> str:
    (length,) = _numbers(opened, "Q")
    if length > _LONGEST:
        raise GgufError("is a damaged GGUF file")
    return str(_numbers(opened, f"{length}s")[0], "utf-8")


def _numbers(opened: BinaryIO, layout: str) -> tuple[Any, ...]:
    layout = f"<{layout}"
    return struct.unpack(layout, opened.read(struct.calcsize(layout)))
