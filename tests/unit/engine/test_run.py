"""The engine: what becomes of records, roots and rows."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Iterable

import anyio
import pytest
from engine_blocks import Call, Events, Group, Row, engine_of, fail_on, planned, run, yields

from sdg_stream.engine import run as engine_run
from sdg_stream.engine.run import MIN_WINDOW
from sdg_stream.errors import OutputError, RecordError
from sdg_stream.events import Notice, Progress, RecordRejected, RunFinished
from sdg_stream.record import Columns, Record
from sdg_stream.testing.edges import ListSink

pytestmark = pytest.mark.anyio


async def overtaken(record: Record) -> list[Columns]:
    """Answers late for even roots, so that odd ones overtake."""
    await yields(20 if record.root % 2 == 0 else 1)
    return [{**record.columns, "asked": record.root}]


async def test_an_empty_pipeline_returns_its_input() -> None:
    """No blocks: rows pass in order, each root accepted."""
    report, rows, _ = await run([], [{"a": n} for n in range(5)])
    assert rows == [{"a": n} for n in range(5)]
    assert (report.roots, report.accepted, report.rows) == (5, 5, 5)


async def test_an_empty_input_ends() -> None:
    """No roots: nothing hangs, nothing is counted."""
    report, rows, _ = await run([planned(Call("ask", overtaken))], [])
    assert rows == []
    assert report.roots == 0


@pytest.mark.parametrize("seed", range(8))
async def test_input_order_holds_through_fan_out_filters_and_overtaking(seed: int) -> None:
    """Whatever the timing, rows leave in root order, then path order: the same as done one by one."""
    dice = random.Random(seed)

    async def fan_out(record: Record) -> list[Columns]:
        await yields(dice.randrange(30))
        return [{**record.columns, "part": part} for part in range(record.root % 4)]

    def keep(columns: Columns) -> Iterable[Columns]:
        return [{**columns, "half": h} for h in range(2)] if (columns["n"] + columns["part"]) % 3 else ()

    blocks = [
        planned(Call("fan", fan_out)),
        planned(Row("keep", keep)),
        planned(Call("ask", overtaken), drop_columns=["asked"]),
    ]
    _, rows, _ = await run(blocks, [{"n": n} for n in range(100)])
    expected = [
        {"n": n, "part": part, "half": half}
        for n in range(100)
        for part in range(n % 4)
        if (n + part) % 3
        for half in range(2)
    ]
    assert rows == expected
    _, unordered, _ = await run(blocks, [{"n": n} for n in range(100)], "none")
    assert sorted(map(str, unordered)) == sorted(map(str, expected))


async def test_rows_of_a_root_are_put_together() -> None:
    """One append per settled root."""

    async def three(record: Record) -> list[Columns]:
        await yields(random.Random(record.root).randrange(9))
        return [{"n": record.root, "i": i} for i in range(3)]

    engine, sink = engine_of([planned(Call("three", three))], [{} for _ in range(20)], "none")
    await engine.run()
    assert sorted(rows[0]["n"] for rows in sink.puts) == list(range(20))
    assert all([row["i"] for row in rows] == [0, 1, 2] for rows in sink.puts)


@pytest.mark.parametrize("order", ["input", "none"])
async def test_every_root_has_one_fate_and_the_counts_add_up(order: str) -> None:
    """Accepted, filtered, rejected: a root with rows and rejects is accepted, and counted as losing some."""

    async def split(record: Record) -> list[Columns]:
        await yields(record.root % 5)
        if record.root % 10 == 9:
            raise RecordError("unparsed_reply", "no tags", server="hm")
        return [{**record.columns, "k": k} for k in range(2)]

    def judge(columns: Columns) -> Iterable[Columns]:
        if columns["n"] % 10 == 8 and columns["k"] == 0:
            raise RecordError("bad_type", "k is 0")
        return (columns,) if columns["n"] % 10 != 7 else ()

    report, rows, rejects = await run(
        [planned(Call("split", split)), planned(Row("judge", judge))],
        [{"n": n} for n in range(100)],
        order,  # type: ignore[arg-type]
    )
    assert (report.accepted, report.filtered, report.rejected) == (80, 10, 10)
    assert report.roots_with_rejects == 20
    assert report.rejects == len(rejects) == 20
    assert len(rows) == report.rows == 70 * 2 + 10
    first, second = report.blocks
    assert (first.records_in, first.records_out, first.rejected) == (100, 180, {"unparsed_reply": 10})
    assert (second.records_in, second.records_out, second.filtered) == (180, 150, 20)
    assert second.rejected == {"bad_type": 10}
    reject = next(row for row in rejects if row["root"] == 9)
    assert reject == {
        "root": 9,
        "path": [],
        "stage": "split",
        "reason": "unparsed_reply",
        "message": "no tags",
        "server": "hm",
        "columns": {"n": 9},
    }


async def test_of_duplicates_the_first_in_input_order_is_kept() -> None:
    """A record that comes early does not win over one of an earlier root."""
    blocks = [planned(Call("ask", overtaken), drop_duplicates=["key"])]
    rows = [{"n": n, "key": n // 2} for n in range(40)]
    report, kept, _ = await run(blocks, rows)
    assert [row["n"] for row in kept] == list(range(0, 40, 2))
    assert report.blocks[0].duplicates == 20
    assert (report.accepted, report.filtered) == (20, 20)


async def test_duplicates_are_compared_by_content() -> None:
    """Nulls equal each other, lists and mappings are compared by value, 1 and "1" differ."""
    values = [None, None, [1, {"a": 2, "b": 3}], [1, {"b": 3, "a": 2}], 1, "1", "\xe9", "e\u0301"]
    _, kept, _ = await run(
        [planned(Row("same", lambda columns: (columns,)), drop_duplicates=["v"])],
        [{"v": value} for value in values],
    )
    assert [row["v"] for row in kept] == [None, [1, {"a": 2, "b": 3}], 1, "1", "\xe9", "e\u0301"]


async def test_duplicates_of_a_missing_column_are_rejects() -> None:
    """A record without the column cannot be compared: it is rejected by name, not dropped."""
    report, kept, rejects = await run(
        [planned(Row("same", lambda columns: (columns,)), drop_duplicates=["v"])], [{"v": 1}, {"w": 1}]
    )
    assert kept == [{"v": 1}]
    assert rejects[0]["reason"] == "missing_column"
    assert "'v'" in rejects[0]["message"]
    assert report.blocks[0].records_out == 1


async def test_a_barrier_sees_all_records_in_order() -> None:
    """A group block gets everything at once, sorted; what it makes leaves in order, through a later stage."""
    seen: list[int] = []

    def every(records: list[Record]) -> list[Record]:
        seen.extend(record.columns["n"] for record in records)
        return [record.fork({**record.columns, "c": c}, c) for record in records[1:] for c in range(2)]

    blocks = [planned(Call("ask", overtaken)), planned(Group("all", every)), planned(Call("more", overtaken))]
    report, rows, _ = await run(blocks, [{"n": n} for n in range(50)])
    assert seen == list(range(50))
    assert [(row["n"], row["c"]) for row in rows] == [(n, c) for n in range(1, 50) for c in range(2)]
    assert (report.accepted, report.filtered) == (49, 1)


async def test_two_barriers_and_more_roots_than_the_window() -> None:
    """Barriers hold back more roots than may be open at once, and still let go of them in order."""
    count = MIN_WINDOW + 500

    def same(records: list[Record]) -> list[Record]:
        assert len(records) == count
        return records

    blocks = [planned(Group("one", same)), planned(Call("ask", overtaken)), planned(Group("two", same))]
    report, rows, _ = await run(blocks, [{"n": n} for n in range(count)], slots=lambda: 4)
    assert [row["n"] for row in rows] == list(range(count))
    assert report.accepted == count


async def test_a_group_that_rejects_rejects_all_its_records() -> None:
    """A RecordError of a group block ends every record that it had."""

    def refuse(records: list[Record]) -> list[Record]:
        raise RecordError("bad_value", "only nulls")

    report, rows, rejects = await run([planned(Group("all", refuse))], [{"n": 1}, {"n": 2}])
    assert rows == []
    assert (report.rejected, len(rejects)) == (2, 2)


async def test_memory_is_bounded_by_the_window() -> None:
    """The feed never has more roots open than the window, even when the first root is the slowest."""
    most = 0
    release = anyio.Event()

    async def slow_first(record: Record) -> list[Columns]:
        nonlocal most
        most = max(most, len(engine._tracker.roots))
        if record.root == 0:
            await release.wait()
        if record.root == MIN_WINDOW - 1:
            release.set()
        return [record.columns]

    engine, sink = engine_of(
        [planned(Call("ask", slow_first))], ({"n": n} for n in range(5000)), slots=lambda: 4
    )
    await engine.run()
    assert most == MIN_WINDOW
    assert [row["n"] for row in sink.rows] == list(range(5000))


async def test_a_bad_input_row_is_a_root_of_its_own() -> None:
    """What is no record is rejected at the input, and the others go on."""
    report, rows, rejects = await run([], [{"a": 1}, 7, {"a": 3}])  # type: ignore[list-item]
    assert rows == [{"a": 1}, {"a": 3}]
    assert (report.accepted, report.rejected) == (2, 1)
    assert rejects[0]["stage"] == "input"
    assert report.blocks[0].name == "input"
    assert report.blocks[0].rejected == {"bad_input": 1}


async def test_a_bug_in_a_block_surfaces_as_itself_with_its_place() -> None:
    """The exception keeps its type and gets the stage and the root as a note; settled roots are committed."""

    async def broken(record: Record) -> list[Columns]:
        await yields(5)
        if record.root == 30:
            raise ZeroDivisionError("oops")
        return [record.columns]

    events = Events()
    engine, sink = engine_of([planned(Call("broken", broken))], [{"n": n} for n in range(60)], hook=events)
    with pytest.raises(ZeroDivisionError) as caught:
        await engine.run()
    assert "in block 'broken' (Call), root 30" in "".join(caught.value.__notes__)
    assert sink.closed
    report = events.of(RunFinished)[0].report
    assert report.stopped == "ZeroDivisionError"
    assert report.accepted == len(sink.rows)
    assert report.pending == report.roots - report.accepted > 0

    engine, _ = engine_of([planned(Row("row", lambda columns: columns["x"]))], [{"n": 1}])
    with pytest.raises(KeyError) as missing:
        await engine.run()
    assert "in block 'row' (Row), root 0" in missing.value.__notes__


async def test_an_output_that_fails_ends_the_run() -> None:
    """An OutputError of the sink is what surfaces, also when many roots are ready to be committed."""

    class Full(ListSink):
        async def put(self, rows: object) -> None:
            raise OutputError("disk full")

    full = Full()
    engine, _ = engine_of([planned(Call("ask", overtaken))], [{"n": n} for n in range(50)], sink=full)
    with pytest.raises(OutputError, match="disk full"):
        await engine.run()
    assert full.closed


async def test_cancelling_commits_what_is_settled() -> None:
    """A run that is cancelled from outside writes its settled roots and closes its sink."""

    async def stuck(record: Record) -> list[Columns]:
        if record.root >= 5:
            await anyio.sleep_forever()
        return [record.columns]

    engine, sink = engine_of([planned(Call("stuck", stuck))], [{"n": n} for n in range(100)], "none")
    with anyio.move_on_after(0.3):
        await engine.run()
    assert [row["n"] for row in sink.rows] == list(range(5))
    assert sink.closed


async def test_independent_one_to_one_blocks_run_side_by_side() -> None:
    """Two blocks that do not read each other's columns are under way for one record at the same time."""
    from sdg_stream.abc import Flow

    under_way, most = 0, 0

    def asks(name: str) -> Call:
        async def apply(record: Record) -> list[Columns]:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await yields(5)
            under_way -= 1
            return [{**record.columns, name: record.root}]

        return Call(name, apply, Flow(reads=frozenset({"n"}), adds=(name,), one_to_one=True))

    blocks = [planned(asks("a")), planned(asks("b")), planned(asks("c"))]
    engine, sink = engine_of(blocks, [{"n": 1}])
    assert len(engine.plan.stages) == 1
    assert "3 calls side by side" in str(engine.plan)
    await engine.run()
    assert most == 3
    assert sink.rows == [{"n": 1, "a": 0, "b": 0, "c": 0}]
    assert list(sink.rows[0]) == ["n", "a", "b", "c"]


async def test_a_reject_beside_others_ends_the_record_once() -> None:
    """One of several side-by-side blocks rejects: the record is a reject of that block, the others stop."""
    from sdg_stream.abc import Flow

    async def good(record: Record) -> list[Columns]:
        await anyio.sleep_forever()
        raise AssertionError

    async def bad(record: Record) -> list[Columns]:
        raise RecordError("unparsed_reply", "nothing found")

    blocks = [
        planned(Call("good", good, Flow(adds=("a",), one_to_one=True))),
        planned(Call("bad", bad, Flow(adds=("b",), one_to_one=True))),
    ]
    report, rows, rejects = await run(blocks, [{"n": 1}])
    assert rows == []
    assert report.rejected == 1
    assert [reject["stage"] for reject in rejects] == ["bad"]


async def test_a_blocking_block_is_noticed_and_named() -> None:
    """Code that holds up the event loop is told by the name of its block, once."""

    def slow(columns: Columns) -> Iterable[Columns]:
        time.sleep(0.6)
        return (columns,)

    events = Events()
    engine, _ = engine_of([planned(Row("sleepy", slow))], [{"n": 1}, {"n": 2}], hook=events)
    await engine.run()
    await anyio.lowlevel.checkpoint()
    notices = [event for event in events.of(Notice) if event.code == "blocking_block"]
    assert len(notices) == 1
    assert "'sleepy'" in notices[0].message


async def test_events_tell_progress_rejects_and_the_end() -> None:
    """A hook sees the rejects, the state on a beat, and the report at the end."""

    async def wait(record: Record) -> list[Columns]:
        if record.root == 3:
            await anyio.sleep(0.6)
        return [record.columns]

    events = Events()
    engine, _ = engine_of(
        [planned(Call("wait", wait)), planned(Row("no", fail_on("n", 1)))],
        [{"n": n} for n in range(4)],
        hook=events,
    )
    report = await engine.run()
    assert events.of(RecordRejected)[0].message == "n is 1"
    assert events.of(Progress)[0].report.pending == 1
    assert events.of(RunFinished) == [RunFinished(report=report)]


async def test_the_limit_counts_input_rows() -> None:
    """``limit`` stops the feed."""
    report, rows, _ = await run([], ({"n": n} for n in range(10**9)), limit=7)
    assert [row["n"] for row in rows] == list(range(7))
    assert report.roots == 7


async def test_provenance_names_root_path_and_calls() -> None:
    """With provenance on, each row tells where it comes from, and what its calls cost."""

    async def ask(record: Record) -> list[Columns]:
        assert record.calls is not None
        record.calls.append({"block": "ask", "tokens": 3})
        return [{"k": k} for k in range(2)]

    _, rows, _ = await run([planned(Call("ask", ask))], [{}, {}], provenance="provenance")
    assert rows[3] == {
        "k": 1,
        "provenance": {"root": 1, "path": [1], "calls": [{"block": "ask", "tokens": 3}]},
    }


async def test_a_run_that_waits_for_its_teacher_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The beats begin when a root has settled and end when it is synced: many runs may wait side by side."""
    monkeypatch.setattr(engine_run, "FLUSH_SECONDS", 1e-6)
    monkeypatch.setattr(engine_run, "SYNC_SECONDS", 4e-6)
    beats: list[str] = []
    counts: list[int] = []

    async def answer(record: Record) -> list[Columns]:
        await yields(40)  # two roots, one after the other
        counts.append(len(beats))
        return [record.columns]

    def beating(name: str) -> Callable[[], Awaitable[None]]:
        async def beat() -> None:
            beats.append(name)

        return beat

    engine, sink = engine_of([planned(Call("ask", answer))], [{"n": 1}, {"n": 2}])
    engine._slots = lambda: -8  # a single worker
    for name in ("flush", "sync"):
        monkeypatch.setattr(sink, name, beating(name))
    await engine.run()
    assert counts == [0, 4]
    assert beats[:4] == ["flush", "flush", "flush", "sync"]
