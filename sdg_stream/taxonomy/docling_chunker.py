"""Chunks by docling: its conversion, and docling-core's hybrid chunker as upstream sets it up.

docling takes seconds to start and hundredths of a second for a document, so one process serves all of
them; it is bounded like the other parsers (:mod:`.texts`), sees no GPU, since that is the teacher's, and
cannot download. Only PDF needs models.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncGenerator, Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anyio
import msgspec
from anyio.to_thread import run_sync as in_thread

from ..errors import ConfigError, Problem
from .chunking import CHUNK_TOKENS
from .documents import Document
from .gguf import MAGIC
from .processes import Bounds, Exceeded
from .texts import CONVERSION, INHERITED, LONGEST_TEXT
from .tokens import TOKENIZER, TokenCounter
from .workers import Ended, Worker, start_worker

__all__ = ["EXTRA", "DoclingChunker", "missing_libraries"]

EXTRA = "pip install 'sdg-stream[docling]'"
_LIBRARIES = ("docling", "docling_core", "semchunk", "transformers")
_WORKER = Path(__file__).with_name("docling_worker.py")
_MEMORY = 16 * 1024**3  # bytes of address space: torch alone maps more than it uses
_FILES = 64 * 1024**2  # bytes of a file: torch does not load where none can be written
_START = Bounds(seconds=300, memory=_MEMORY, file_size=_FILES, output=LONGEST_TEXT)
_DOCUMENT = CONVERSION
_PDF = msgspec.structs.replace(_START, seconds=3600)
"""A page takes seconds without a GPU, and a minute if it must be read by OCR."""

_OWN = {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}


class _Answer(msgspec.Struct, forbid_unknown_fields=True):
    """What the process says to a request."""

    chunks: list[str] = []
    error: str = ""


def missing_libraries() -> list[str]:
    """Those of the ``docling`` extra that are not installed; looking loads none of them."""
    return [name for name in _LIBRARIES if find_spec(name) is None]


class DoclingChunker:
    """A :class:`~.documents.Chunker` that gives upstream's chunks.

    Its process starts with the first document and serves one document at a time until :meth:`aclose`.

    Args:
        tokens: describes the tokenizer, for :attr:`name`.
        tokenizer: a ``tokenizer.json``, a model's folder with one, or a GGUF file.
        most_tokens: of a chunk, with its headings.
        find_models: the folder with docling's models; called for the first PDF, raises ConfigError if there
            is none.
    """

    def __init__(
        self,
        tokens: TokenCounter,
        tokenizer: Path,
        most_tokens: int = CHUNK_TOKENS,
        *,
        find_models: Callable[[], Path],
    ) -> None:
        self._tokenizer = tokenizer
        self._most_tokens = most_tokens
        self._find_models = find_models
        self._turn = anyio.Lock()
        self._worker: Worker | None = None
        self.name = f"{_versions()} hybrid, up to {most_tokens} tokens by {tokens.name}"
        """What the chunks depend on beside the document, to be recorded with the samples."""

    async def chunks(self, document: Document) -> AsyncGenerator[str, None]:
        """The chunks of one document in their order, none of them empty; all of it is read at once.

        Raises:
            ConfigError: the document or the tokenizer cannot be read, a library is missing, or for a PDF
                docling's models are.
        """
        async with self._turn:
            found = await self._cut(document)
        for chunk in found:
            yield chunk

    async def aclose(self) -> None:
        """End the process; the next document starts another."""
        if self._worker is not None:
            await self._worker.aclose()

    async def _cut(self, document: Document) -> list[str]:
        suffix = document.file.suffix.lower()
        bounds = _PDF if suffix == ".pdf" else _DOCUMENT
        request = {"file": str(document.file.absolute()), "suffix": suffix, "seconds": bounds.seconds}
        await in_thread(_look, document.file)
        if suffix == ".pdf":
            request["models"] = str(await in_thread(self._find_models))
        if self._worker is None or self._worker.has_ended:
            self._worker = await self._start()
        return await _ask(self._worker, request, bounds, document.file)

    async def _start(self) -> Worker:
        settings = await in_thread(_tokenizer_settings, self._tokenizer)
        env = {name: os.environ[name] for name in INHERITED if name in os.environ} | _OWN
        command = [sys.executable, "-P", str(_WORKER)]
        mapped = self._tokenizer.stat().st_size if "gguf_file" in settings else 0
        bounds = msgspec.structs.replace(_START, memory=_MEMORY + mapped)
        worker = await start_worker(command, bounds, env=env)
        try:
            await _ask(worker, {**settings, "most_tokens": self._most_tokens}, _START, self._tokenizer)
        except ConfigError:
            await worker.aclose()
            raise
        return worker


async def _ask(worker: Worker, request: dict[str, Any], bounds: Bounds, about: Path) -> list[str]:
    try:
        line = await worker.ask(json.dumps(request).encode(), bounds)
    except Exceeded as error:
        raise _unreadable(about, f"is not read: docling {error}") from error
    except Ended as error:
        words = "docling ended without an answer, perhaps for want of memory"
        raise _unreadable(about, f"cannot be read: {words}") from error
    answer = msgspec.json.decode(line, type=_Answer)
    if answer.error:
        raise _unreadable(about, f"cannot be read: {answer.error}")
    return answer.chunks


def _look(file: Path) -> None:
    """Tell at once what cannot be opened, or is too long."""
    try:
        with file.open("rb") as opened:
            size = os.fstat(opened.fileno()).st_size
    except OSError as error:
        raise _unreadable(file, f"cannot be read: {error.strerror}") from error
    if file.suffix.lower() != ".pdf" and size > LONGEST_TEXT:
        raise _unreadable(file, f"is longer than {LONGEST_TEXT} bytes")


def _tokenizer_settings(path: Path) -> dict[str, str]:
    """Models are read as ``transformers`` does, which is what upstream counts by."""
    if path.is_dir() and (path / "tokenizer_config.json").exists():
        return {"tokenizer": str(path.absolute())}
    file = path / TOKENIZER if path.is_dir() else path
    with file.open("rb") as opened:
        if opened.read(len(MAGIC)) == MAGIC:
            return {"tokenizer": str(file.parent.absolute()), "gguf_file": file.name}
    return {"tokenizer_json": file.read_text("utf-8")}


def _versions() -> str:
    found = []
    for name in ("docling", "docling-core"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(name)
    return " with ".join(found)


def _unreadable(file: Path, words: str) -> ConfigError:
    return ConfigError(Problem(file=str(file), message=words))
