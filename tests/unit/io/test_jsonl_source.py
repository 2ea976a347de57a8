"""JsonlSource: every line is a root, whatever is in it; memory stays bounded; waiting can be cancelled."""

from __future__ import annotations

import gzip
import io
import json
import os
from pathlib import Path
from typing import Any

import anyio
import pytest

from sdg_stream.abc import Source
from sdg_stream.errors import ConfigError, RecordError
from sdg_stream.io.jsonl import JsonlSource

pytestmark = pytest.mark.anyio


async def items_of(source: Source) -> list[Any]:
    """Everything that a source gives."""
    found: list[Any] = []
    try:
        while batch := await source.read():
            assert len(batch) <= 256
            found += batch
    finally:
        await source.aclose()
    return found


async def read(data: bytes, **options: Any) -> list[Any]:
    """What is in some bytes: rows, and the messages of bad lines."""
    found = await items_of(JsonlSource(io.BytesIO(data), **options))
    return [item.message if isinstance(item, RecordError) else item for item in found]


async def test_rows_come_in_order_in_batches(tmp_path: Path) -> None:
    """A file of many rows comes whole, and position reaches size."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"".join(b'{"n":%d}\n' % n for n in range(1000)))
    source = JsonlSource(path, chunk_bytes=4096)
    assert [item["n"] for item in await items_of(source) if isinstance(item, dict)] == list(range(1000))
    assert source.name == str(path)
    assert source.position == source.size == path.stat().st_size
    assert source.lines == 1000


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1}\n{"a":2}\n',
        b'{"a":1}\n{"a":2}',
        b'\xef\xbb\xbf{"a":1}\n{"a":2}\n',
        b'{"a":1}\r\n{"a":2}\r\n',
        b'\n{"a":1}\n\n \r\n{"a":2}\n\n',
        b'\xef\xbb\xbf\n{"a":1}\n{"a":2}\n\r\n ',
    ],
    ids=["plain", "no final line feed", "byte order mark", "CR LF", "blank lines", "all but rows"],
)
@pytest.mark.parametrize("chunk_bytes", [1, 2, 3, 7, 8, 9, 1000])
async def test_row_44_what_surrounds_rows_does_not_matter(data: bytes, chunk_bytes: int) -> None:
    """The same two rows come wherever chunks end; blank lines are no roots."""
    assert await read(data, chunk_bytes=chunk_bytes) == [{"a": 1}, {"a": 2}]


async def test_q_io_1_only_a_line_feed_ends_a_line() -> None:
    """U+2028, U+2029, U+0085, form feed and a lone CR in a text leave the row whole."""
    text = "a\u2028b\u2029c\u0085d\x0ce\x1df\rg"
    data = json.dumps({"t": text}, ensure_ascii=False).encode() + b"\n"
    assert await read(data) == [{"t": text}]


async def test_row_47_a_bad_line_is_a_root_with_a_reason() -> None:
    """Not JSON, not an object, not UTF-8, NaN and a lone surrogate: each says its line and why."""
    lines = [b'{"a":1', b"[1]", b'{"a":"\xff"}', b'{"a":NaN}', b'{"a":"\\ud800"}', b'{"a":1e999}', b'{"a":1}']
    found = await items_of(JsonlSource(io.BytesIO(b"\n".join(lines))))
    errors = [item for item in found if isinstance(item, RecordError)]
    assert [error.reason for error in errors] == ["bad_input"] * 6
    assert [error.message.partition(":")[0] for error in errors] == [f"line {n}" for n in range(1, 7)]
    assert errors[1].message == "line 2: not a JSON object"
    assert "not valid UTF-8" in errors[2].message
    assert found[-1] == {"a": 1}


async def test_line_numbers_count_blank_lines() -> None:
    """A message names the line that an editor shows."""
    assert await read(b'\n\n{"a":1}\nx\n') == [
        {"a": 1},
        "line 4: not JSON: unexpected character, expected a JSON value (column 1)",
    ]


@pytest.mark.parametrize("chunk_bytes", [1, 5, 16, 64, 1000])
async def test_row_43_a_line_over_the_cap_is_bad_and_the_next_is_fine(chunk_bytes: int) -> None:
    """The cap holds at the start, in the midst and at the end; a line of just its length passes."""
    just = b'{"a":"' + b"x" * 12 + b'"}'
    data = b"y" * 500 + b"\n" + just + b"\n" + b"z" * 21 + b"\n" + just + b"\n" + b"y" * 500
    too_long = "longer than 20 bytes"
    row = {"a": "x" * 12}
    assert await read(data, max_line_bytes=20, chunk_bytes=chunk_bytes) == [
        f"line 1: {too_long}",
        row,
        f"line 3: {too_long}",
        row,
        f"line 5: {too_long}",
    ]


class Endless(io.RawIOBase):
    """A file of one line that never ends, up to ``size`` bytes."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.left = size

    def readable(self) -> bool:
        """Can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Some of the line."""
        size = min(size, self.left)
        self.left -= size
        return b"x" * size


async def test_row_43_memory_is_bounded_on_a_line_without_end() -> None:
    """64 MiB without a line feed are one bad line, and no more than the cap and a chunk are held."""
    import tracemalloc

    source = JsonlSource(Endless(64 * 2**20), max_line_bytes=2**20, chunk_bytes=2**18)  # type: ignore[arg-type]
    tracemalloc.start()
    try:
        found = await items_of(source)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [type(item) for item in found] == [RecordError]
    assert peak < 4 * 2**20


async def test_limit_counts_roots(tmp_path: Path) -> None:
    """Blank lines do not count, bad lines do."""
    data = b'\n{"a":1}\n\nx\n{"a":2}\n{"a":3}\n'
    assert len(await read(data, limit=3)) == 3
    assert (await read(data, limit=3))[-1] == {"a": 2}
    assert await read(data, limit=0) == []
    assert len(await read(b'{"a":1}\n' * 700, limit=600)) == 600


async def test_peeking_takes_nothing() -> None:
    """The first sound row's columns can be seen; all rows still come, and the limit still holds."""
    source = JsonlSource(io.BytesIO(b'x\n{"b":1,"a":2}\n{"c":3}\n'), limit=2)
    assert await source.peek_columns() == ["b", "a"]
    assert await source.peek_columns() == ["b", "a"]
    assert len(await items_of(source)) == 2
    assert await JsonlSource(io.BytesIO(b"")).peek_columns() is None


async def test_gzip_is_unpacked(tmp_path: Path) -> None:
    """A ``.gz`` file reads like the plain one, several members included; position is the file's."""
    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a":1}\n{"a"') + gzip.compress(b":2}\n"))
    source = JsonlSource(path, chunk_bytes=5)
    assert await items_of(source) == [{"a": 1}, {"a": 2}]
    assert source.position == source.size == path.stat().st_size


@pytest.mark.parametrize("cut", [0, 5, 30])
async def test_an_unsound_gzip_file_is_a_config_error(tmp_path: Path, cut: int) -> None:
    """A torn or foreign file says that it cannot be read, with its name."""
    path = tmp_path / "in.jsonl.gz"
    whole = gzip.compress(os.urandom(1000).hex().encode())
    path.write_bytes(whole[:-cut] if cut else b'{"a":1}\n')
    with pytest.raises(ConfigError, match=r"in\.jsonl\.gz: cannot be read: "):
        await items_of(JsonlSource(path))


async def test_a_missing_file_is_a_config_error(tmp_path: Path) -> None:
    """The message has the path and the system's words, at ``open`` or at the first read."""
    source = JsonlSource(tmp_path / "none.jsonl")
    for attempt in (source.open, source.read):
        with pytest.raises(ConfigError, match=r"none\.jsonl: cannot be read: No such file"):
            await attempt()
    await source.aclose()
    with pytest.raises(ConfigError, match="Is a directory"):
        await JsonlSource(tmp_path).open()


async def test_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    """Nothing at all, and reading on at the end, give nothing; devices work, too."""
    source = JsonlSource(io.BytesIO(b""))
    assert (await source.read(), await source.read()) == ([], [])
    assert await items_of(JsonlSource("/dev/null")) == []


async def test_rows_of_a_pipe_come_while_it_is_open() -> None:
    """What has been written to a pipe is read before it is closed, half lines are waited for."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as file:
        source = JsonlSource(file)
        os.write(writing, b'{"a":1}\n{"a"')
        assert await source.read() == [{"a": 1}]
        os.write(writing, b":2}")
        os.close(writing)
        assert await source.read() == [{"a": 2}]
        assert await source.read() == []
        assert (source.size, source.position) == (None, 15)


async def test_waiting_for_a_pipe_can_be_cancelled() -> None:
    """A source that waits for rows that do not come lets go at once, also in the midst of a line."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as file, os.fdopen(writing, "wb", buffering=0) as other:
        source = JsonlSource(file)
        other.write(b'{"a"')
        with anyio.move_on_after(0.05) as scope:
            await source.read()
        assert scope.cancelled_caught
        await source.aclose()


async def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """``-`` is file descriptor 0, which stays open."""
    reading, writing = os.pipe()
    saved = os.dup(0)
    try:
        os.dup2(reading, 0)
        os.write(writing, b'{"a":1}\n')
        os.close(writing)
        source = JsonlSource("-")
        assert await items_of(source) == [{"a": 1}]
        assert source.name == "stdin"
        os.fstat(0)
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(reading)
