"""A file of samples that is read while it is written: what readers get, when, and after which accidents."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import TaskStatus

from sdg_stream.errors import ConfigError, OutputError
from sdg_stream.taxonomy.samples_file import SamplesFile

pytestmark = pytest.mark.anyio

ROWS = [{"number": number} for number in range(300)]


async def given(rows: Iterable[dict[str, Any]]) -> AsyncGenerator[dict[str, Any], None]:
    """Rows that are all there at once."""
    for row in rows:
        yield row


async def read(file: SamplesFile) -> list[dict[str, Any]]:
    """All rows of a file."""
    return [row async for row in file.rows()]


class Slow:
    """Rows that come one by one, each when the test lets it; an error may stand among them."""

    def __init__(self) -> None:
        self._send, self._receive = anyio.create_memory_object_stream[Any](10)

    async def rows(self) -> AsyncGenerator[dict[str, Any], None]:
        """The rows as they come."""
        with self._send, self._receive:
            async for item in self._receive:
                if isinstance(item, Exception):
                    raise item
                yield item

    async def give(self, item: dict[str, Any] | Exception) -> None:
        """Let a row come."""
        await self._send.send(item)

    def end(self) -> None:
        """No more rows."""
        self._send.close()


class Reader:
    """Reads a file as a task, and can be waited for."""

    def __init__(self, file: SamplesFile) -> None:
        self.rows: list[dict[str, Any]] = []
        self.error: Exception | None = None
        self._file = file
        self._more = anyio.Event()

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Read to the end."""
        task_status.started()
        try:
            async for row in self._file.rows():
                self.rows.append(row)
                self._tell()
        except ConfigError as error:
            self.error = error
        self._tell()

    async def until(self, count: int) -> None:
        """Wait for so many rows."""
        while len(self.rows) < count:
            await self._more.wait()

    def _tell(self) -> None:
        self._more.set()
        self._more = anyio.Event()


async def test_a_reader_gets_each_row_while_the_file_is_written(tmp_path: Path) -> None:
    """A row that somebody waits for is handed on at once; under its name the file appears at the end."""
    file, slow = SamplesFile(tmp_path / "a.jsonl"), Slow()
    reader = Reader(file)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            await tasks.start(reader.run)
            tasks.start_soon(file.write, slow.rows())
            for number in range(5):
                await slow.give({"number": number})
                await reader.until(number + 1)
            assert not file.whole
            assert not file.file.exists()
            slow.end()
    assert file.whole
    assert file.count == 5
    assert reader.rows == ROWS[:5]
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


async def test_a_row_does_not_wait_for_the_next_one(tmp_path: Path) -> None:
    """A reader that comes when the writer waits for its next row gets those that are there."""
    file, slow = SamplesFile(tmp_path / "a.jsonl"), Slow()
    reader = Reader(file)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(file.write, slow.rows())
            await slow.give({"number": 0})
            await slow.give({"number": 1})
            await anyio.wait_all_tasks_blocked()
            await tasks.start(reader.run)
            await reader.until(2)
            assert file.count == 2
            slow.end()
    assert reader.rows == ROWS[:2]


async def test_each_reader_goes_at_its_own_pace(tmp_path: Path) -> None:
    """One that has hardly begun holds up neither the writer nor the others, and gets everything later."""
    file = SamplesFile(tmp_path / "a.jsonl")
    late = file.rows()
    first: list[dict[str, Any]] = []
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(file.write, given(ROWS))
            first.append(await anext(late))
        assert await read(file) == ROWS
        first += [row async for row in late]
    assert first == ROWS


async def test_readers_of_rows_at_once_get_them_all(tmp_path: Path) -> None:
    """Several readers and a writer at the same time, with rows of many pieces."""
    rows = [{"number": number, "text": "x" * 5000} for number in range(200)]
    file = SamplesFile(tmp_path / "a.jsonl")
    readers = [Reader(file) for _ in range(3)]
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            for reader in readers:
                await tasks.start(reader.run)
            tasks.start_soon(file.write, given(rows))
    assert [reader.rows == rows for reader in readers] == [True] * 3


async def test_an_error_reaches_writer_and_readers(tmp_path: Path) -> None:
    """After the rows that came before it; the file does not appear."""
    file, slow = SamplesFile(tmp_path / "a.jsonl"), Slow()
    early = Reader(file)
    broken = ConfigError("the document is broken")
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            await tasks.start(early.run)
            await slow.give({"number": 0})
            await slow.give(broken)
            with pytest.raises(ConfigError, match="the document is broken"):
                await file.write(slow.rows())
        with pytest.raises(ConfigError) as told:
            await read(file)
    assert early.rows == ROWS[:1]
    assert early.error is broken
    assert told.value is broken
    assert not file.file.exists()


async def test_readers_that_wait_learn_that_the_writer_was_cancelled(tmp_path: Path) -> None:
    """When all are cancelled together nobody hangs, and nothing appears."""
    file, slow = SamplesFile(tmp_path / "a.jsonl"), Slow()
    reader = Reader(file)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            await tasks.start(reader.run)
            tasks.start_soon(file.write, slow.rows())
            await slow.give({"number": 0})
            await reader.until(1)
            tasks.cancel_scope.cancel()
    assert not file.file.exists()
    assert not SamplesFile(file.file).whole


async def test_one_that_was_killed_halfway_starts_anew(tmp_path: Path) -> None:
    """What it left beside is not read, whatever it is."""
    (tmp_path / ".a.jsonl.partial").write_text('{"number": 99}\n{"num')
    file = SamplesFile(tmp_path / "a.jsonl")
    assert not file.whole
    await file.write(given(ROWS[:3]))
    assert await read(file) == ROWS[:3]
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


async def test_a_whole_file_is_read_again(tmp_path: Path) -> None:
    """By a later start, as often as wanted; nobody writes it."""
    await SamplesFile(tmp_path / "a.jsonl").write(given(ROWS))
    file = SamplesFile(tmp_path / "a.jsonl")
    assert file.whole
    assert await read(file) == ROWS
    assert await read(file) == ROWS


async def test_a_file_without_rows_is_whole_too(tmp_path: Path) -> None:
    """Its readers come to their end."""
    file = SamplesFile(tmp_path / "a.jsonl")
    await file.write(given(()))
    assert file.whole
    assert await read(file) == []


async def test_q_io_1_marks_that_look_like_line_ends_stay_in_texts(tmp_path: Path) -> None:
    """U+2028, U+2029 and U+0085 stand in the file as they are, and cut no line."""
    rows = [{"document": "one\u2028two\u2029three\u0085four\r\nfive"}, {"document": "next"}]
    file = SamplesFile(tmp_path / "a.jsonl")
    await file.write(given(rows))
    assert await read(SamplesFile(file.file)) == rows
    assert "\u2028" in file.file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "words"), [('{"a": 1}\n{"a"\n', "unexpected end"), ("[1]\n", "a line is no object")]
)
async def test_a_damaged_file_is_told(tmp_path: Path, text: str, words: str) -> None:
    """With its name."""
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(ConfigError, match=rf"a\.jsonl: is damaged: .*{words}"):
        await read(SamplesFile(tmp_path / "a.jsonl"))


async def test_a_file_that_is_taken_away_is_told(tmp_path: Path) -> None:
    """A reader is not left waiting for it."""
    await SamplesFile(tmp_path / "a.jsonl").write(given(ROWS))
    file = SamplesFile(tmp_path / "a.jsonl")
    file.file.unlink()
    with pytest.raises(ConfigError, match="was taken away"):
        await read(file)


async def test_a_folder_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    """And readers get it as well."""
    file = SamplesFile(tmp_path / "nowhere" / "a.jsonl")
    with pytest.raises(OutputError):
        await file.write(given(ROWS))
    with pytest.raises(OutputError):
        await read(file)


async def test_samples_hold_what_json_holds(tmp_path: Path) -> None:
    """Each line is one JSON object, with nothing escaped that need not be."""
    file = SamplesFile(tmp_path / "a.jsonl")
    await file.write(given([{"text": "déjà \u2028 vu", "null": None, "list": [1, 2.5]}]))
    text = file.file.read_text(encoding="utf-8")
    assert json.loads(text) == {"text": "déjà \u2028 vu", "null": None, "list": [1, 2.5]}
    assert text == '{"text":"déjà \u2028 vu","null":null,"list":[1,2.5]}\n'
