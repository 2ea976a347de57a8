"""Whatever JSON can hold goes through a sink and a source unchanged, wherever chunks end."""

from __future__ import annotations

import io
from typing import Any

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from sdg_stream.errors import RecordError
from sdg_stream.io.jsonl import JsonlSink, JsonlSource

TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.text(
    'a\n\r\u2028\u2029\x85\x0b\x0c\x1c\ufeff\x00"\\{}'
)
VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
ROWS = st.lists(st.dictionaries(TEXT, VALUE, max_size=4), max_size=8)


async def written(rows: list[dict[str, Any]]) -> bytes:
    """The rows as a sink writes them."""
    file = io.BytesIO()
    sink = JsonlSink(file)
    await sink.open()
    for row in rows:
        await sink.put([sink.prepare(row)])
    await sink.aclose()
    return file.getvalue()


async def read(data: bytes, chunk_bytes: int) -> list[Any]:
    """What a source makes of some bytes."""
    source = JsonlSource(io.BytesIO(data), chunk_bytes=chunk_bytes)
    found: list[Any] = []
    while items := await source.read():
        found += items
    return found


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(1, 60), st.booleans())
def test_row_45_rows_survive(rows: list[dict[str, Any]], chunk_bytes: int, cut: bool) -> None:
    """Rows come back equal, with equal types and column order, also without the last line feed."""

    async def there_and_back() -> list[Any]:
        data = await written(rows)
        return await read(data[:-1] if cut else data, chunk_bytes)

    assert list(map(repr, anyio.run(there_and_back))) == list(map(repr, rows))


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(1, 60), st.data())
def test_a_torn_tail_costs_one_row_at_most(
    rows: list[dict[str, Any]], chunk_bytes: int, data: st.DataObject
) -> None:
    """Cut anywhere, the file still gives every whole row, and at most one bad line behind them."""

    async def torn() -> tuple[int, list[Any]]:
        whole = await written(rows)
        kept = whole[: data.draw(st.integers(0, len(whole)))]
        return kept.count(b"\n"), await read(kept, chunk_bytes)

    count, found = anyio.run(torn)
    assert found[:count] == rows[:count]
    assert len(found) <= count + 1
    assert all(isinstance(item, RecordError) or item == rows[count] for item in found[count:])
