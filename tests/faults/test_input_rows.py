"""Rows 39, 43, 46, 47 and 53 of the fault catalogue: inputs that are odd, damaged, huge, or change."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdg_stream.config.yaml import parse_yaml
from sdg_stream.errors import ConfigError, RecordError, RunStateError
from sdg_stream.io.jsonl import JsonlSource

pytestmark = pytest.mark.anyio

MIXED = b'{"a":1}\n[1]\n{"a":\n{"a":"\xff"}\n{"a":2}\nnull\n{"a":3'


async def rows_of(source: JsonlSource) -> list[Any]:
    """Rows, and the messages of bad lines."""
    found: list[Any] = []
    async with aclosing(source):
        while items := await source.read():
            found += [item.message if isinstance(item, RecordError) else item for item in items]
    return found


def written(folder: Path, data: bytes) -> Path:
    """An input file."""
    path = folder / "in.jsonl"
    path.write_bytes(data)
    return path


# ---------------------------------------------------------------- 39: keys that stand twice


def test_row_39_a_key_twice_in_yaml_is_a_mistake() -> None:
    """Each of them is listed with its line and path."""
    with pytest.raises(ConfigError) as caught:
        parse_yaml("blocks:\n  - name: a\n    type: b\n    name: c\nblocks: []\n", "p.yaml")
    assert str(caught.value).splitlines() == [
        "p.yaml:4: $.blocks[0]: the key 'name' stands here twice",
        "p.yaml:5: $: the key 'blocks' stands here twice",
    ]


async def test_row_39_a_key_twice_in_a_row_is_told_once(tmp_path: Path) -> None:
    """The row is taken as JSON readers do, with a warning that names the first such line and the option."""
    data = b'{"a":1,"b":{"c":1}}\n{"a":1,"b":{"c":1,"c":2}}\n{"a":1,"a":2}\n'
    told: list[tuple[str, str]] = []
    source = JsonlSource(written(tmp_path, data))
    source.on_warning = lambda code, words: told.append((code, words))
    assert await rows_of(source) == [{"a": 1, "b": {"c": 1}}, {"a": 1, "b": {"c": 2}}, {"a": 2}]
    [(code, words)] = told
    assert code == "duplicate_keys"
    assert words.startswith(
        f"{tmp_path}/in.jsonl, line 2: the key 'c' stands there twice; the last one counts."
    )
    assert "--strict-input" in words


async def test_row_39_a_key_twice_in_a_row_can_be_refused(tmp_path: Path) -> None:
    """Strictly, each such row is a bad line, also after the rows that are looked at otherwise."""
    data = b'{"a":1}\n' * 2000 + b'{"a":1,"b":1,"b":1}\n{"b":1}\n'
    found = await rows_of(JsonlSource(written(tmp_path, data), strict=True))
    assert found[2000:] == ["line 2001: the key 'b' stands there twice", {"b": 1}]
    assert (await rows_of(JsonlSource(tmp_path / "in.jsonl")))[2000:] == [{"a": 1, "b": 1}, {"b": 1}]


# ---------------------------------------------------------------- 43: lines without end


async def test_row_43_a_line_of_300_mb_costs_no_memory(tmp_path: Path) -> None:
    """Through a pipe, between two rows: it is one bad line with its number, and both rows come."""
    resource = pytest.importorskip("resource")
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(b'{"a":1}\n')
            for _ in range(300):
                file.write(b"x" * 1_000_000)
            file.write(b'\n{"a":2}\n')

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(reading, "rb") as file:
        found = await rows_of(JsonlSource(file))
    writer.join()
    assert found == [{"a": 1}, "line 2: longer than 16777216 bytes", {"a": 2}]
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * (
        1 if sys.platform == "darwin" else 1024
    )
    assert grown < 60_000_000


# ---------------------------------------------------------------- 46: numbers

HUGE = ["18446744073709551616", "-9223372036854775809", "1" * 30, "-" + "9" * 300]


@pytest.mark.parametrize("number", HUGE)
@pytest.mark.parametrize(
    "form",
    ['{"a":%s}', '{"s":"12345678901234567890, \\" 1","b":[1.5,{"c":[\t%s]}]}', '{"é":1e30, "a": {"b":\r%s}}'],
)
async def test_row_46_integers_beyond_64_bits_are_refused(tmp_path: Path, form: str, number: str) -> None:
    """Wherever one stands the line is bad, with the column; it never becomes a float without a word."""
    line = form % number
    data = b'{"a":1}\n' + line.encode() + b'\n{"a":2}'
    first, words, last = await rows_of(JsonlSource(written(tmp_path, data)))
    assert (first, last) == ({"a": 1}, {"a": 2})
    assert words.startswith(f"line 2: the integer {number[:37]}")
    assert f"needs more than 64 bits (column {line.index(number) + 1})" in words
    assert len(words) < 200


async def test_row_46_nan_and_infinities_are_refused(tmp_path: Path) -> None:
    """Each with line and column, as what they are: not JSON."""
    data = b'{"a":NaN}\n{"a":Infinity}\n{"a":[-Infinity]}\n{"a":1e999}\n'
    found = await rows_of(JsonlSource(written(tmp_path, data)))
    assert [words.split(":")[0] for words in found] == [f"line {number}" for number in range(1, 5)]
    assert all("not JSON" in words and "(column " in words for words in found)


async def test_row_46_numbers_that_fit_stay_what_they_are(tmp_path: Path) -> None:
    """The edges of 64 bits, large floats written as such, and digits in texts."""
    row = {
        "low": -(2**63),
        "high": 2**64 - 1,
        "id": [1234567890123456789],
        "f": [1e30, -1e300, 9.3e18, 0.1],
        "t": "1" * 40,
        "1" * 40: {},
    }
    line = repr(row).replace("'", '"').encode()
    [found] = await rows_of(JsonlSource(written(tmp_path, line)))
    assert repr(found) == repr(row)


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.integers()
        | st.integers(2**62, 2**66)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text('-1,[ "'),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text("a1", max_size=2), inner, max_size=3)
        ),
        max_leaves=6,
    )
)
async def test_row_46_a_row_is_read_exactly_or_not_at_all(
    tmp_path_factory: pytest.TempPathFactory, value: Any
) -> None:
    """Any values: what Python's own exact reader sees is what comes, unless an integer does not fit."""
    import io
    import json

    [found] = await rows_of(JsonlSource(io.BytesIO(json.dumps({"v": value}).encode())))
    if isinstance(found, str):
        assert "needs more than 64 bits" in found
        assert any(not -(2**63) <= number < 2**64 for number in integers(value))
    else:
        assert repr(found) == repr({"v": value})


def integers(value: Any) -> list[int]:
    """All integers in a value."""
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return [number for part in parts for number in integers(part)]
    return [value] if isinstance(value, int) else []


# ---------------------------------------------------------------- 47: bad lines


async def test_row_47_bad_lines_are_roots_with_a_reason(tmp_path: Path) -> None:
    """No object, cut off, not UTF-8: each is told with its line, and the others are read."""
    found = await rows_of(JsonlSource(written(tmp_path, MIXED)))
    assert [item if isinstance(item, dict) else item.split(":")[0] for item in found] == [
        {"a": 1}, "line 2", "line 3", "line 4", {"a": 2}, "line 6", "line 7",
    ]  # fmt: skip


async def test_row_47_too_many_bad_lines_end_the_run(tmp_path: Path) -> None:
    """As many as are allowed are taken; the next is a mistake that names its line and the option."""
    path = written(tmp_path, MIXED)
    assert len(await rows_of(JsonlSource(path, max_bad=5))) == 7
    with pytest.raises(ConfigError) as caught:
        await rows_of(JsonlSource(path, max_bad=2))
    [problem] = caught.value.problems
    assert (problem.file, problem.line) == (str(path), 4)
    assert problem.message.endswith("; bad lines so far: 3, --max-bad-input is 2")
    async with aclosing(JsonlSource(path, max_bad=5)) as source:
        source.bad = 4  # of an earlier run
        with pytest.raises(ConfigError, match=r"bad lines so far: 6"):
            await source.read()
    with pytest.raises(ConfigError, match=r"in\.jsonl:2: not a JSON object; bad lines so far: 1"):
        async with aclosing(JsonlSource(path, max_bad=0)) as source:
            await source.peek_columns()


# ---------------------------------------------------------------- 53: files that change


async def begun(path: Path) -> JsonlSource:
    """A source that has read the first rows of a file."""
    source = JsonlSource(path, chunk_bytes=1000)
    source.track()
    await source.read()
    return source


ROWS = b"".join(b'{"n":%d}\n' % n for n in range(1000))


async def test_row_53_rows_that_are_added_are_left_for_another_run(tmp_path: Path) -> None:
    """The file is read as far as it went at the start; a row that was half written then is left as well."""
    path = written(tmp_path, ROWS + b'{"n":10')
    source = await begun(path)
    with path.open("ab") as file:
        file.write(b'00}\n{"n":1001}\n')
    told: list[str] = []
    source.on_warning = lambda code, words: told.append(f"{code}: {words}")
    found = await rows_of(source)
    assert found[-1] == {"n": 999}
    assert source.grew == 15
    assert told == [f"input_grew: {path} has got 15 more bytes since it was opened; another run takes them"]

    again = JsonlSource(path)
    mark = source.mark()
    assert mark.terminated
    again.expect(mark)
    assert await again.difference(mark) == ""
    await again.skip(1000)
    assert await rows_of(again) == [{"n": 1000}, {"n": 1001}]


@pytest.mark.parametrize("size", [0, 4000])
async def test_row_53_a_file_that_shrinks_ends_the_run(tmp_path: Path, size: int) -> None:
    """Whether it was cut before or behind what had been read: nobody knows what the rest would have been."""
    path = written(tmp_path, ROWS)
    source = await begun(path)
    os.truncate(path, size)
    with pytest.raises(RunStateError) as caught:
        await rows_of(source)
    words = f"it had {len(ROWS)} bytes, now there are {size}"
    assert str(caught.value) == f"{path} was changed while it was read: {words}"
    assert caught.value.exit_code == 6


async def test_row_53_a_file_that_is_written_over_ends_the_run(tmp_path: Path) -> None:
    """Same size, another time of change."""
    path = written(tmp_path, ROWS)
    source = await begun(path)
    with path.open("r+b") as file:
        file.write(b'{"n":7}\n')
    os.utime(path, ns=(0, 1))
    with pytest.raises(RunStateError, match=f"it still has {len(ROWS)} bytes, and was written to"):
        await rows_of(source)
