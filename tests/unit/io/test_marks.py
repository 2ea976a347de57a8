"""Marks of inputs: what was read is found again, passed over fast, and every change of it is told."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdg_stream.errors import RecordError, RunStateError
from sdg_stream.io.iterables import IterableSource
from sdg_stream.io.jsonl import JsonlSource
from sdg_stream.io.mark import InputMark, Meter

pytestmark = pytest.mark.anyio

ROWS = b"".join(b'{"n":%d}\n' % n for n in range(1000))


async def rest_of(source: JsonlSource | IterableSource) -> list[Any]:
    """Everything that a source still gives; bad lines as their messages."""
    found: list[Any] = []
    async with aclosing(source):
        while items := await source.read():
            found += [item.message if isinstance(item, RecordError) else item for item in items]
    return found


async def difference(path: Path, mark: InputMark) -> str:
    """What a file is told to differ in."""
    async with aclosing(JsonlSource(path)) as source:
        return await source.difference(mark)


async def skip_all(source: JsonlSource) -> None:
    """Pass over a thousand roots."""
    async with aclosing(source):
        await source.skip(1000)


def written(path: Path, data: bytes) -> Path:
    """A file with these bytes, packed if its name says so."""
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


async def marked(path: Path, roots: int, **options: Any) -> InputMark:
    """The mark of a file after so many roots."""
    source = JsonlSource(path, **options)
    source.track()
    while roots > 0 and (items := await source.read()):
        roots -= len(items)
    mark = source.mark()
    await source.aclose()
    return mark


async def test_a_mark_is_the_digest_of_the_bytes_before_it(tmp_path: Path) -> None:
    """It reaches as far as whole chunks were read, and to the end of the file at the end."""
    path = written(tmp_path / "in.jsonl", ROWS)
    source = JsonlSource(path, chunk_bytes=4096)
    source.track()
    assert source.mark() == InputMark(bytes=0, digest=hashlib.sha256().hexdigest())
    await source.read()
    mark = source.mark()
    assert (mark.bytes, mark.digest) == (4096, hashlib.sha256(ROWS[:4096]).hexdigest())
    assert not mark.ended
    await rest_of(source)
    digest = hashlib.sha256(ROWS).hexdigest()
    assert source.mark() == InputMark(bytes=len(ROWS), digest=digest, ended=True)


async def test_marks_are_only_made_where_they_are_wanted() -> None:
    """Without ``track`` nothing is hashed and there is no mark; in the midst of an input it is too late."""
    for source in (JsonlSource(io.BytesIO(ROWS)), IterableSource([{"a": 1}])):
        with pytest.raises(RuntimeError, match="see track"):
            source.mark()
        await source.read()
        with pytest.raises(RuntimeError, match="say before"):
            source.track()
        with pytest.raises(RuntimeError, match="say before"):
            source.expect(InputMark(bytes=0, digest=""))


@pytest.mark.parametrize("name", ["in.jsonl", "in.jsonl.gz"])
@pytest.mark.parametrize("at_end", [False, True])
async def test_an_input_that_is_what_it_was_does_not_differ(tmp_path: Path, name: str, at_end: bool) -> None:
    """Neither when it is the same nor, packed or not, when rows have been added to it."""
    path = written(tmp_path / name, ROWS)
    mark = await marked(path, 5000 if at_end else 10, chunk_bytes=500)
    assert mark.ended is at_end
    assert await difference(path, mark) == ""
    more = gzip.compress(ROWS) if name.endswith(".gz") else ROWS
    path.write_bytes(path.read_bytes() + more)
    source = JsonlSource(path)
    source.expect(mark)
    assert await source.difference(mark) == ""
    assert len(await rest_of(source)) == 2000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:3000], "it ends after 3000 bytes, and 4096 had been read"),
        (lambda data: b"", "it ends after 0 bytes, and 4096 had been read"),
        (lambda data: data.replace(b'{"n":1}', b'{"n":2}'), "its first 4096 bytes are not what they were"),
        (lambda data: data[:4095] + b"x" + data[4096:], "its first 4096 bytes are not what they were"),
        (lambda data: data[:4096] + b"x" + data[4097:], ""),
    ],
    ids=["shorter", "empty", "begin", "last byte", "byte behind"],
)
async def test_what_differs_is_said(tmp_path: Path, change: Any, words: str) -> None:
    """The same words before a run, where a file is read again, and while rows are read or passed over."""
    path = written(tmp_path / "in.jsonl", ROWS)
    mark = await marked(path, 1, chunk_bytes=4096)
    written(path, change(ROWS))
    message = f"{path} is not the input that it was: {words}" if words else ""
    assert await difference(path, mark) == message
    for go in (rest_of, skip_all):
        source = JsonlSource(path)
        source.expect(mark)
        if message:
            with pytest.raises(RunStateError) as caught:
                await go(source)
            assert str(caught.value) == message
        else:
            await go(source)


@pytest.mark.parametrize(
    ("more", "differs"),
    [(b"", False), (b"\n", False), (b'\r\n{"n":2}\n', False), (b"0}\n", True), (b' {"n":2}', True)],
)
async def test_a_last_line_without_a_line_feed_must_not_go_on(
    tmp_path: Path, more: bytes, differs: bool
) -> None:
    """It was read as a row; if it is longer now it is another row. A line feed behind it changes nothing."""
    path = written(tmp_path / "in.jsonl", b'{"n":1}\n{"n":2}')
    mark = await marked(path, 5)
    assert (mark.ended, mark.terminated) == (True, False)
    written(path, path.read_bytes() + more)
    words = f"{path} is not the input that it was: its last line had no line feed, and goes on now"
    assert await difference(path, mark) == (words if differs else "")


async def test_a_pipe_is_held_against_its_mark_as_it_is_read() -> None:
    """It cannot be read again, so nothing is known before; it is refused where it turns out to differ."""
    for data, fine in ((ROWS, True), (ROWS[:200], False), (ROWS.replace(b"7", b"8"), False)):
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb") as file:
            os.write(writing, data)
            os.close(writing)
            source = JsonlSource(file)
            mark = InputMark(bytes=500, digest=hashlib.sha256(ROWS[:500]).hexdigest())
            source.expect(mark)
            assert await source.difference(mark) == ""
            if fine:
                assert len(await rest_of(source)) == 1000
            else:
                with pytest.raises(RunStateError, match="is not the input that it was"):
                    await rest_of(source)


@settings(max_examples=80, deadline=None)
@given(
    lines=st.lists(
        st.sampled_from(
            [b'{"a":1}', b"", b" \t\r", b"nonsense", b'{"long":"................"}', b"\xef\xbb\xbf"]
        )
    ),
    roots=st.integers(0, 8),
    chunk_bytes=st.integers(1, 40),
    peeks=st.booleans(),
    peeks_after=st.booleans(),
)
async def test_skipping_is_reading_without_looking(
    lines: list[bytes], roots: int, chunk_bytes: int, peeks: bool, peeks_after: bool
) -> None:
    """What comes after is what would have come, line numbers and limit included; peeking disturbs nothing."""
    data = b"\n".join(lines)

    def source() -> JsonlSource:
        return JsonlSource(io.BytesIO(data), chunk_bytes=chunk_bytes, max_line_bytes=20, limit=6)

    whole = await rest_of(source())
    skipping = source()
    if peeks:
        await skipping.peek_columns()
    if roots > len(whole) and len(whole) < 6:
        with pytest.raises(RunStateError, match=f"has {len(whole)} roots where {roots} had been read"):
            await skipping.skip(roots)
        return
    await skipping.skip(roots)
    if peeks_after:
        await skipping.peek_columns()
    assert await rest_of(skipping) == whole[roots:]
    assert skipping.lines <= len(lines)


async def later(rows: list[Any]) -> AsyncIterator[Any]:
    """Rows that come one by one."""
    for row in rows:
        yield row


def now(rows: list[Any]) -> Iterator[Any]:
    """Rows that are there."""
    return iter(rows)


@pytest.mark.parametrize("rows_of", [now, later])
async def test_the_rows_of_an_iterable_have_marks_too(rows_of: Any) -> None:
    """Read, marked, given again, skipped and gone on with; a changed or missing row is told."""
    rows: list[Any] = [{"n": n, 3: "key"} for n in range(200)] + [{"odd": object()}, "text"]
    first = IterableSource(rows_of(rows), "rows")
    first.track()
    while first.mark().rows < 70:
        await first.read()
    mark = first.mark()
    assert (mark.bytes, mark.ended) == (0, False)
    await first.aclose()

    again = IterableSource(rows_of(rows))
    assert await again.difference(mark) == ""
    again.expect(mark)
    await again.skip(70)
    assert (await rest_of(again))[:130] == rows[70:200]
    assert (again.mark().rows, again.mark().ended) == (202, True)

    changed = IterableSource(rows_of([*rows[:69], {"n": 70, 3: "key"}, *rows[70:]]), "rows")
    changed.expect(mark)
    with pytest.raises(
        RunStateError, match=f"rows is not .*: its first {mark.rows} rows are not what they were"
    ):
        await rest_of(changed)
    shorter = IterableSource(rows_of(rows[:60]), "rows")
    shorter.expect(mark)
    with pytest.raises(RunStateError, match=f"it ends after 60 rows, and {mark.rows} had been read"):
        await rest_of(shorter)
    with pytest.raises(RunStateError, match="it has 60 rows where 70 had been read"):
        await IterableSource(rows_of(rows[:60]), "rows").skip(70)


@given(st.binary(max_size=60), st.lists(st.integers(0, 60)), st.integers(0, 70))
def test_wherever_bytes_are_cut_the_meter_finds_the_mark(data: bytes, cuts: list[int], place: int) -> None:
    """The digest is held against the mark at just its byte, whatever pieces the bytes come in."""
    for changed in (False, True):
        meter = Meter("input")
        before = data[:place]
        digest = hashlib.sha256(before + b"?" if changed else before).hexdigest()
        meter.expect(InputMark(bytes=place, digest=digest))
        edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
        try:
            for begin, end in pairwise(edges):
                meter.feed(data[begin:end])
            meter.end()
            fine = True
        except RunStateError:
            fine = False
        assert fine is (place <= len(data) and not (changed and data))
