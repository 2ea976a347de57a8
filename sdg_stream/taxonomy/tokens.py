"""How many tokens a text is to the teacher: by its tokenizer, if there is one, else by an estimate.

Nothing is ever downloaded: a tokenizer is a file that is already here. Without one tokens are estimated from
words and signs; how far off that is stands at :data:`MARGIN`, and in the help of the commands.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from ..errors import ConfigError, Problem
from .gguf import MAGIC, GgufError, gguf_tokenizer

__all__ = ["MARGIN", "TokenCounter", "estimate", "load_tokens"]

EXTRA = "pip install 'sdg-stream[tokenizers]'"
MARGIN = "within 15 % for European languages and code, 40 % for others"
"""What the estimate is worth, in words: measured on manuals and code in 30 languages against the tokenizer of
Llama 2. Lists of names are like other languages; old tokenizers, GPT-2's say, need up to twice as many tokens
for other scripts."""

TOKENIZER = "tokenizer.json"
_PARTS = re.compile(r"[A-Za-z]+|[^\W\d_]+|\n+|[^\w\s]|[\d_]")
_LETTERS = 7  # of an English word for each token
_BY_SCRIPT = (("\u2e80", 1.5), ("\u0530", 1.1), ("\u0400", 0.45), ("\u0370", 0.8))
"""Tokens of a letter, from this one on: Chinese, Japanese and Korean, then Asia, Cyrillic, Greek."""

_ACCENTED = 0.8  # tokens of a letter in a Latin word, or part of one, with accents


class TokenCounter(msgspec.Struct, frozen=True):
    """Counts the tokens of texts; ``name`` says by what, to be recorded with what is made with it."""

    name: str
    count: Callable[[str], int]


def load_tokens(path: Path | None = None) -> TokenCounter:
    """The tokenizer of a file or folder that is here already; without one the estimate.

    Args:
        path: a ``tokenizer.json``, a model's folder with one, or a GGUF file.

    Raises:
        ConfigError: there is no such tokenizer, or the library that reads it is not installed.
    """
    if path is None:
        return TokenCounter(f"estimate ({MARGIN})", estimate)
    file = path / TOKENIZER if path.is_dir() else path
    try:
        tokenizer, digest = _read(file)
    except ImportError as error:
        raise _unusable(file, f"is read by the library {error.name!r}, which is missing; {EXTRA}") from error
    except OSError as error:
        hint = f"; a model's folder must hold its {TOKENIZER}" if path.is_dir() else ""
        raise _unusable(file, f"cannot be read: {error.strerror}{hint}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    name = f"{file.parent.name}/{file.name} sha256:{digest[:12]}"
    return TokenCounter(name, lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids))


def _read(file: Path) -> tuple[Any, str]:
    """A tokenizer of the library ``tokenizers``, and the SHA-256 of what describes it."""
    with file.open("rb") as opened:
        is_gguf = opened.read(len(MAGIC)) == MAGIC
    library = import_module("tokenizers")
    try:
        tokenizer = gguf_tokenizer(file) if is_gguf else library.Tokenizer.from_file(str(file))
    except OSError:
        raise
    except GgufError as error:
        raise _unusable(file, str(error)) from error
    except Exception as error:  # the library raises nothing more special
        raise _unusable(file, f"holds no tokenizer: {error}") from error
    described = tokenizer.to_str().encode() if is_gguf else file.read_bytes()
    return tokenizer, sha256(described).hexdigest()


def estimate(text: str) -> int:
    """About how many tokens a text is to tokenizers of teachers; how exactly says :data:`MARGIN`."""
    return round(sum(_estimate_part(found.group()) for found in _PARTS.finditer(text)))


def _estimate_part(part: str) -> float:
    """Of a run of letters or line feeds, or of a digit or sign."""
    if part.isascii():
        return 1 + (len(part) - 1) // _LETTERS
    for first, tokens in _BY_SCRIPT:
        if part[0] >= first:
            return len(part) * tokens
    return len(part) * _ACCENTED


def _unusable(file: Path, words: str) -> ConfigError:
    return ConfigError(Problem(file=str(file), message=words))
