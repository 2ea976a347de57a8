"""The samples of a leaf node as a file that is read while it is still being written.

The file is the buffer between the chunker and the pipelines: each reader goes at its own pace, and memory
holds no more than a few rows of each. It appears under its name when it is whole and on the disk; a later
session then reads it instead of cutting documents again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from pathlib import Path

import anyio
import orjson
from anyio.to_thread import run_sync as in_thread

from ..disk import sync_folder
from ..errors import ConfigError, OutputError
from ..io.jsonl import JsonlSink
from ..record import Columns

__all__ = ["SamplesFile"]

_BATCH = 64  # rows that may wait to be handed to the file while nobody waits for them
_PIECE = 256 * 1024  # bytes that a reader takes at once


class SamplesFile:
    """One JSONL file of samples, with one writer and any number of readers, all of one event loop.

    Attributes:
        file: where it is when it is whole.
        count: samples that readers can get so far; unknown (0) of a file that was whole before.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.count = 0
        self._beside = file.with_name(f".{file.name}.partial")
        self._whole = file.exists()
        self._ready = file.stat().st_size if self._whole else 0  # bytes
        self._places = (file,) if self._whole else (self._beside, file)  # it gets its name at any moment
        self._error: Exception | None = None
        self._more = anyio.Event()
        self._waiting = 0
        self._sink: JsonlSink | None = None  # while it is being written
        self._held = 0  # rows that readers cannot get yet

    @property
    def whole(self) -> bool:
        """Whether nothing needs to be written any more."""
        return self._whole

    async def write(self, rows: AsyncGenerator[Columns, None]) -> None:
        """Write all samples. Readers get the error if there is one.

        Raises:
            ConfigError: as ``rows``.
            OutputError: the file cannot be written.
        """
        try:
            async with aclosing(rows):
                await self._write(rows)
        except Exception as error:
            self._error = error
            raise
        finally:
            self._tell()

    async def rows(self) -> AsyncGenerator[Columns, None]:
        """The samples in their order, waiting for those that are still to come.

        Raises:
            ConfigError: the file is damaged; or what the writer met.
        """
        at, rest = 0, b""
        while True:
            if at < self._ready:
                piece = await in_thread(self._read, at, min(_PIECE, self._ready - at))
                at += len(piece)
                *lines, rest = (rest + piece).split(b"\n")
                for line in filter(None, lines):
                    yield self._parsed(line)
            elif self._error is not None:
                raise self._error
            elif self._whole:
                return
            else:
                await self._wait()

    async def _wait(self) -> None:
        """Wait until there is more to read; what the writer holds is not waited for."""
        self._waiting += 1
        try:
            if self._sink is not None and self._held:
                await self._hand_over(self._sink)
            else:
                await self._more.wait()
        finally:
            self._waiting -= 1

    async def _write(self, rows: AsyncIterable[Columns]) -> None:
        await in_thread(lambda: self._beside.unlink(missing_ok=True))
        sink = JsonlSink(self._beside)
        await sink.open()
        try:
            self._sink = sink
            async for row in rows:
                await sink.put([sink.prepare(row)])
                self._held += 1
                if self._waiting or self._held >= _BATCH:
                    await self._hand_over(sink)
            await sink.sync()
        finally:
            self._sink = None
            await sink.aclose()
        await in_thread(self._appear)
        self._whole = True
        self._let_read(sink)

    async def _hand_over(self, sink: JsonlSink) -> None:
        self._held = 0
        await sink.flush()
        self._let_read(sink)

    def _appear(self) -> None:
        try:
            self._beside.replace(self.file)
        except OSError as error:
            raise OutputError(f"{self.file}: cannot be written: {error.strerror}") from error
        sync_folder(self.file.parent)

    def _let_read(self, sink: JsonlSink) -> None:
        self.count, self._ready = sink.rows_written, sink.bytes_written
        self._tell()

    def _tell(self) -> None:
        self._more.set()
        self._more = anyio.Event()

    def _read(self, at: int, size: int) -> bytes:
        for path in self._places:
            try:
                with path.open("rb") as opened:
                    opened.seek(at)
                    return opened.read(size)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
        raise ConfigError(f"{self.file} was taken away")

    def _parsed(self, line: bytes) -> Columns:
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise ConfigError(f"{self.file}: is damaged: {error}") from error
        if not isinstance(row, dict):
            raise ConfigError(f"{self.file}: is damaged: a line is no object")
        return row
