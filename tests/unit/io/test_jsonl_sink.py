"""JsonlSink: what is refused, what is in the file when, and what a failed write says."""

from __future__ import annotations

import gzip
import io
import os
import stat
import threading
from datetime import date
from pathlib import Path
from typing import Any

import anyio
import pytest

from sdg_stream.errors import OutputError, RecordError
from sdg_stream.io import appending
from sdg_stream.io.jsonl import JsonlSink

pytestmark = pytest.mark.anyio


async def opened(*args: Any, **options: Any) -> JsonlSink:
    """A sink, open."""
    sink = JsonlSink(*args, **options)
    await sink.open()
    return sink


async def put(sink: JsonlSink, *rows: dict[str, Any]) -> None:
    """Put rows of one root."""
    await sink.put([sink.prepare(row) for row in rows])


class Disk(io.BytesIO):
    """A file that takes at most ``step`` bytes at a time, and ``size`` in all."""

    def __init__(self, step: int, size: int) -> None:
        super().__init__()
        self.step = step
        self.left = size

    def write(self, data: Any) -> int:
        """Take some of it."""
        if not self.left:
            raise OSError(28, "No space left on device")
        part = bytes(data[: min(self.step, self.left)])
        self.left -= len(part)
        return super().write(part)


async def test_rows_are_lines_in_the_order_of_putting(tmp_path: Path) -> None:
    """Column order and text are as given; nothing is in the file before a flush."""
    path = tmp_path / "out.jsonl"
    sink = await opened(path)
    await put(sink, {"b": 1, "a": "ü\u2028\n"}, {"b": 2})
    assert path.read_bytes() == b""
    await sink.flush()
    assert path.read_bytes() == '{"b":1,"a":"ü\u2028\\n"}\n{"b":2}\n'.encode()
    assert (sink.rows_written, sink.bytes_written) == (2, path.stat().st_size)
    await put(sink, {"b": 3})
    await sink.aclose()
    await sink.aclose()
    assert path.read_bytes().endswith(b'{"b":3}\n')
    assert sink.name == str(path)


async def test_nothing_is_touched_before_open(tmp_path: Path) -> None:
    """Making a sink makes no file; rows are not taken by one that is not open."""
    sink = JsonlSink(tmp_path / "out.jsonl")
    with pytest.raises(RuntimeError, match="not open"):
        await put(sink, {"a": 1})
    await sink.aclose()
    assert list(tmp_path.iterdir()) == []


async def test_append_keeps_and_without_it_the_file_starts_empty(tmp_path: Path) -> None:
    """The two ways to begin."""
    path = tmp_path / "out.jsonl"
    for append, expected in ((True, b'x\n{"a":1}\n'), (False, b'{"a":1}\n')):
        path.write_bytes(b"x\n")
        sink = await opened(path, append=append)
        await put(sink, {"a": 1})
        await sink.aclose()
        assert path.read_bytes() == expected


async def test_the_umask_decides_who_may_read(tmp_path: Path) -> None:
    """A new file has mode 0666 less the umask."""
    before = os.umask(0o027)
    try:
        sink = await opened(tmp_path / "out.jsonl")
    finally:
        os.umask(before)
    await sink.aclose()
    assert stat.S_IMODE((tmp_path / "out.jsonl").stat().st_mode) == 0o640


async def test_very_much_is_written_without_a_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is held is bounded: ``put`` writes when it is over the bound."""
    monkeypatch.setattr(appending, "MAX_HELD_BYTES", 100)
    path = tmp_path / "out.jsonl"
    sink = await opened(path)
    for _ in range(30):
        await put(sink, {"a": 1})
    assert path.stat().st_size > 100
    await sink.aclose()
    assert path.read_bytes() == b'{"a":1}\n' * 30


async def test_sync_writes_and_reaches_the_disk_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are in the file after ``sync``; the file and, once, its folder are fsynced; not when idle."""
    calls: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        calls.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    sink = await opened(tmp_path / "out.jsonl")
    await put(sink, {"a": 1})
    await sink.sync()
    assert (tmp_path / "out.jsonl").read_bytes() == b'{"a":1}\n'
    await sink.sync()
    assert calls == ["file", "folder"]
    await put(sink, {"a": 2})
    await sink.flush()
    await sink.sync()
    await sink.aclose()
    assert calls == ["file", "folder", "file"]


async def test_short_writes_are_looped() -> None:
    """A system that takes three bytes at a time gets all of them."""
    disk = Disk(step=3, size=10**6)
    sink = await opened(disk)
    await put(sink, {"a": "long enough"}, {"a": 2})
    await sink.aclose()
    assert disk.getvalue() == b'{"a":"long enough"}\n{"a":2}\n'
    assert not disk.closed


@pytest.mark.parametrize(("size", "rows"), [(0, 0), (7, 0), (8, 1), (15, 1), (16, 2), (23, 2)])
async def test_a_full_disk_says_how_many_rows_are_written(size: int, rows: int) -> None:
    """Whole rows count; the torn one does not, and nothing is written after it."""
    disk = Disk(step=5, size=size)
    sink = await opened(disk)
    await put(sink, {"a": 1}, {"a": 2}, {"a": 3})
    with pytest.raises(OutputError, match=f"output: cannot be written: No space left on device; {rows} rows"):
        await sink.flush()
    disk.left = 100
    assert (sink.rows_written, sink.bytes_written) == (rows, size)
    await put(sink, {"a": 4})
    with pytest.raises(OutputError, match="No space left"):
        await sink.flush()
    await put(sink, {"a": 5})
    with pytest.raises(OutputError, match="No space left"):
        await sink.aclose()
    assert len(disk.getvalue()) == size


async def test_a_full_device() -> None:
    """The same from the system itself."""
    sink = await opened("/dev/full")
    await put(sink, {"a": 1})
    with pytest.raises(OutputError, match="/dev/full: cannot be written: No space left on device; 0 rows"):
        await sink.sync()
    await sink.aclose()


async def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """The message says which folder, and what to do."""
    with pytest.raises(OutputError, match=r"the folder .*/none does not exist; make it, or name another"):
        await opened(tmp_path / "none" / "out.jsonl")
    with pytest.raises(OutputError, match="cannot be opened: Is a directory"):
        await opened(tmp_path)


async def test_gzip_can_be_read_at_any_flush_and_appended_to(tmp_path: Path) -> None:
    """Flushed rows can be unpacked before the end; appending adds a member; an empty file is sound."""
    path = tmp_path / "out.jsonl.gz"
    sink = await opened(path)
    await put(sink, {"a": 1})
    await sink.flush()
    await sink.flush()
    with gzip.open(path) as file:
        assert file.read(8) == b'{"a":1}\n'
    await sink.aclose()
    sink = await opened(path, append=True)
    await sink.aclose()
    sink = await opened(path, append=True)
    await put(sink, {"a": 2})
    await sink.aclose()
    assert gzip.decompress(path.read_bytes()) == b'{"a":1}\n{"a":2}\n'
    assert sink.bytes_written < path.stat().st_size
    empty = await opened(path)
    await empty.aclose()
    assert gzip.decompress(path.read_bytes()) == b""


async def test_a_reader_that_has_gone() -> None:
    """Writing to a closed pipe is an error about the output, not a crash."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb", buffering=0) as file:
        sink = await opened(file)
        await put(sink, {"a": 1})
        with pytest.raises(OutputError, match="its reader is gone; 0 rows are written"):
            await sink.flush()
        await sink.aclose()


async def test_standard_output_may_be_a_non_blocking_pipe() -> None:
    """``-`` is file descriptor 1; a full pipe that does not block is waited for."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    read: list[bytes] = []

    def drain() -> None:
        with os.fdopen(reading, "rb") as file:
            read.append(file.read())

    saved = os.dup(1)
    try:
        os.dup2(writing, 1)
        os.close(writing)
        sink = await opened("-")
        assert sink.name == "stdout"
        await put(sink, *({"a": "x" * 1000} for _ in range(300)))
        reader = threading.Thread(target=drain)
        reader.start()
        await sink.sync()
        await sink.aclose()
    finally:
        os.dup2(saved, 1)
        os.close(saved)
    await anyio.to_thread.run_sync(reader.join)
    assert read[0].count(b"\n") == 300


async def test_a_cancelled_flush_loses_nothing(tmp_path: Path) -> None:
    """Rows put before a flush that is cancelled are written once by closing, also in a cancelled scope."""
    path = tmp_path / "out.jsonl"
    sink = await opened(path)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await put(sink, {"a": 1})
        await sink.flush()
    assert scope.cancelled_caught
    await put(sink, {"a": 2})
    with anyio.CancelScope() as scope:
        scope.cancel()
        await sink.aclose()
    assert path.read_bytes() == b'{"a":1}\n{"a":2}\n'


async def test_many_tasks_at_a_time_write_each_row_once(tmp_path: Path) -> None:
    """Putting, flushing and syncing beside each other neither loses nor doubles rows; roots stay together."""
    path = tmp_path / "out.jsonl"
    sink = await opened(path)

    async def work(name: int) -> None:
        for number in range(20):
            await put(sink, *({"t": name, "n": number, "i": index} for index in range(3)))
            await (sink.sync() if number % 5 == 0 else sink.flush())

    async with anyio.create_task_group() as tasks:
        for name in range(5):
            tasks.start_soon(work, name)
    await sink.aclose()
    lines = path.read_bytes().splitlines()
    assert len(set(lines)) == len(lines) == 300
    assert all(line.endswith(b'"i":%d}' % (place % 3)) for place, line in enumerate(lines))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("nan"), "not finite"),
        ([{"deep": float("inf")}], "not finite"),
        (({"deep": [1, float("-inf")]},), "not finite"),
        ("\ud800", "surrogates"),
        ({"\ud800": 1}, "surrogates"),
        (2**64, "64-bit"),
        ({1: 2}, "key must be str"),
        ({1, 2}, "not JSON serializable: set"),
        (b"bytes", "not JSON serializable: bytes"),
    ],
)
async def test_what_json_cannot_hold_is_rejected_with_its_column(value: Any, words: str) -> None:
    """The reason is ``bad_value``, and the message names the column."""
    with pytest.raises(RecordError, match=words) as caught:
        JsonlSink("unused").prepare({"fine": None, "bad": value})
    assert caught.value.reason == "bad_value"
    assert "column 'bad'" in caught.value.message


async def test_a_column_name_that_is_not_text_is_rejected() -> None:
    """JSON has text keys only; the name is shown."""
    with pytest.raises(RecordError, match="column 1 cannot be written"):
        JsonlSink("unused").prepare({1: 2})  # type: ignore[dict-item]


async def test_null_and_what_looks_like_it_is_written() -> None:
    """Nulls, the word in a text, and values that JSON has a form for."""
    row = {"a": None, "null": "null", "b": [None, 1.5], "d": date(2024, 2, 1), "t": (1, 2)}
    expected = b'{"a":null,"null":"null","b":[null,1.5],"d":"2024-02-01","t":[1,2]}\n'
    assert JsonlSink("unused").prepare(row) == expected
