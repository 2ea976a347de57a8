"""Every shipped pipeline against the simulated teacher, over real sockets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

import sdg_stream as sdg
from sdg_stream.catalog import list_pipelines, pipelines_dir
from sdg_stream.events import Event, RecordRejected
from sdg_stream.simulator.server import SimulatorServer, serve
from sdg_stream.simulator.settings import Fault, FaultRule, SimulatorSettings

pytestmark = pytest.mark.anyio

SEEDS = pipelines_dir() / "examples" / "seeds"


@pytest.fixture
async def simulator() -> AsyncIterator[SimulatorServer]:
    """A simulated teacher without latency."""
    async with serve(SimulatorSettings(latency="zero")) as server:
        yield server


def seeds_of(name: str) -> Path:
    """The sample input of a pipeline."""
    kind = "knowledge" if name == "eval/mmlu_bench" else name.split("/")[1]
    return SEEDS / f"{kind}.jsonl"


@pytest.mark.parametrize("name", list_pipelines())
async def test_rows_come_out_and_the_counts_add_up(
    name: str, simulator: SimulatorServer, tmp_path: Path
) -> None:
    """Each input row has one fate, no reply goes unparsed, and the judges let most but not all through."""
    settings = sdg.Settings(num_instructions=5, model_id="simulated-teacher")
    pipeline = sdg.Pipeline.load(name, settings, plugins=[SEEDS.parent])
    output = tmp_path / "rows.jsonl"
    async with sdg.connect(simulator.url) as teacher:
        report = await pipeline.run(seeds_of(name), output, teacher)
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert report.rows == len(rows) > 0
    assert (
        report.roots
        == report.accepted + report.filtered + report.rejected
        == len(seeds_of(name).read_text(encoding="utf-8").splitlines())
    )
    assert report.pending == 0
    assert sum(block.unparsed_replies for block in report.blocks) == 0
    assert report.teacher is not None
    assert report.teacher.calls == report.teacher.attempts + report.teacher.saved_calls > 0
    for before, after in zip(report.blocks, report.blocks[1:], strict=False):
        assert after.records_in == before.records_out, (before, after)
    judged = sum(block.filtered for block in report.blocks if block.type == "FilterByValueBlock")
    assert judged or not name.startswith("full/")


async def test_input_order_makes_runs_equal_byte_for_byte(simulator: SimulatorServer, tmp_path: Path) -> None:
    """Two runs, one of them with another concurrency, give the same file."""
    pipeline = sdg.Pipeline.load("full/knowledge")
    for number, concurrency in enumerate((64, 3)):
        async with sdg.connect(simulator.url, concurrency=concurrency) as teacher:
            await pipeline.run(seeds_of("full/knowledge"), tmp_path / f"{number}.jsonl", teacher)
    assert (tmp_path / "0.jsonl").read_bytes() == (tmp_path / "1.jsonl").read_bytes()


async def test_one_poison_record_among_a_hundred(tmp_path: Path) -> None:
    """The server answers 400 for one record: 99 roots go on, the reject has stage, reason and its words."""
    rule = FaultRule(fault=Fault(kind="status", status=400, message="This prompt is poison."), match="POISON")
    rows = [
        {"task_description": "t", "seed_question": f"Why {n}?", "seed_response": "so"} for n in range(100)
    ]
    rows[42]["seed_question"] = "POISON"
    events: list[Event] = []
    async with (
        serve(SimulatorSettings(latency="zero", faults=(rule,))) as simulator,
        sdg.connect(simulator.url) as teacher,
    ):
        pipeline = sdg.Pipeline.load("simple/freeform_skills", sdg.Settings(num_instructions=2))
        report = await pipeline.run(rows, tmp_path / "rows.jsonl", teacher, hook=events.append)
    assert (report.roots, report.accepted, report.rejected) == (100, 99, 1)
    [reject] = [event for event in events if isinstance(event, RecordRejected)]
    assert (reject.root, reject.stage, reject.reason) == (42, "gen_skill_freeform", "request_refused")
    assert "This prompt is poison." in reject.server


async def test_the_output_grows_while_the_run_goes_on(tmp_path: Path) -> None:
    """A reader that follows the file sees whole rows, more and more of them, long before the end."""
    output = tmp_path / "rows.jsonl"
    rows = [{"task_description": "t", "seed_question": f"Why {n}?", "seed_response": "so"} for n in range(40)]
    seen: list[bytes] = []
    pipeline = sdg.Pipeline.load("simple/freeform_skills", sdg.Settings(num_instructions=1))
    settings = SimulatorSettings(latency="fixed", latency_seconds=0.1, slots=4)

    async def follow() -> None:
        while True:
            await anyio.sleep(0.1)
            seen.append(output.read_bytes() if output.exists() else b"")

    async with (
        serve(settings) as server,
        sdg.connect(server.url, concurrency=4) as teacher,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(follow)
        await pipeline.run(rows, output, teacher)
        tasks.cancel_scope.cancel()
    sizes = [len(text.splitlines()) for text in seen]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) >= 4
    final = output.read_bytes()
    assert all(final.startswith(text) and (not text or text.endswith(b"\n")) for text in seen)


async def test_provenance_tells_what_each_row_cost(simulator: SimulatorServer) -> None:
    """With provenance on, each row has its root, path and calls, and is otherwise the same."""
    plain = sdg.Pipeline.load("full/knowledge")
    told = sdg.Pipeline.load("full/knowledge", sdg.Settings(provenance=True))
    found = []
    for pipeline in (plain, told):
        async with (
            sdg.connect(simulator.url) as teacher,
            pipeline.stream(seeds_of("full/knowledge"), teacher, order="input") as stream,
        ):
            found.append([row async for row in stream])
    expected, rows = found
    origins = [row.pop("provenance") for row in rows]
    assert rows == expected
    assert [origin["root"] for origin in origins] == sorted(origin["root"] for origin in origins)
    calls = origins[0]["calls"]
    assert [call["block"] for call in calls] == [
        "gen_spellcheck",
        "gen_knowledge",
        "eval_faithfulness_qa_pair",
        "eval_relevancy_qa_pair",
        "eval_verify_question",
    ]
    assert all(call["attempts"] == 1 and call["completion_tokens"] > 0 for call in calls)
    asked_before = [call for origin in origins for call in origin["calls"] if not call["attempts"]]
    assert all(call["completion_tokens"] == 0 for call in asked_before)  # what was saved costs nothing
    assert all(call["endpoint"] == simulator.url for call in calls)
