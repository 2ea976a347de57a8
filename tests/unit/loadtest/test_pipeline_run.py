"""A pipeline that is run and watched on a simulated teacher in the same process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from sdg_stream.config.settings import Settings
from sdg_stream.errors import ConfigError, OutputError
from sdg_stream.events import Event, Notice
from sdg_stream.loadtest.call_log import CallLog, WatchedBackend, WatchedTeacher
from sdg_stream.loadtest.load import Phases, Wire
from sdg_stream.loadtest.pipeline_run import Surroundings, Wanted, count_rows, run_watched
from sdg_stream.loadtest.pipeline_trial import PipelineTrial, Trial
from sdg_stream.pipeline import Pipeline
from sdg_stream.simulator.server import serve
from sdg_stream.simulator.settings import SimulatorSettings
from sdg_stream.teacher.connect import connect
from sdg_stream.teacher.http import AiohttpBackend

pytestmark = pytest.mark.anyio

PROMPT = """
system: ""
introduction: ""
principles: ""
examples: ""
generation: "{{text}}"
start_tags: [""]
end_tags: [""]
"""
PIPELINE = """
version: "1.0"
blocks:
  - name: first
    type: LLMBlock
    config: {config_path: prompt.yaml, output_cols: [one], gen_kwargs: {max_tokens: 16}}
  - name: drop
    type: FilterByValueBlock
    config: {filter_column: keep, filter_value: 1, operation: eq}
  - name: second
    type: LLMBlock
    config: {config_path: prompt.yaml, output_cols: [two], gen_kwargs: {max_tokens: 16, temperature: 0.5}}
"""
ROWS = 12


def pipeline(folder: Path) -> Pipeline:
    """Two calls for a row, or one: every other row is filtered in between."""
    (folder / "prompt.yaml").write_text(PROMPT)
    (folder / "p.yaml").write_text(PIPELINE)
    lines = [f'{{"text": "question {n}", "keep": {n % 2}}}\n' for n in range(ROWS)]
    (folder / "in.jsonl").write_text("".join(lines) + "\n")
    settings = Settings(provenance=True, model_family="mixtral")
    return Pipeline.load(folder / "p.yaml", settings)


def wanted(folder: Path) -> Wanted:
    """All rows, three calls at a time."""
    return Wanted(rows=folder / "in.jsonl", limit=100, slots=3, output=folder / "out.jsonl", salt="[1] ")


@asynccontextmanager
async def surroundings(
    seconds: float, events: list[Event] | None = None
) -> AsyncIterator[tuple[Surroundings, str]]:
    """A server whose replies take so long, and its URL."""
    async with serve(SimulatorSettings(latency="fixed", latency_seconds=seconds)) as server:

        @asynccontextmanager
        async def connecting(log: CallLog, slots: int) -> AsyncIterator[WatchedTeacher]:
            wire = WatchedBackend(AiohttpBackend(), log)
            async with connect(server.url, backend=wire, concurrency=slots) as client:
                yield WatchedTeacher(client, log)

        backend = AiohttpBackend()
        try:
            hook = events.append if events is not None else _deaf
            yield Surroundings(connect=connecting, backend=backend, pages=[], hook=hook), server.url
        finally:
            await backend.aclose()


def _deaf(_event: Event, /) -> None:
    """Nobody listens."""


async def test_a_watched_run_knows_its_calls_and_its_rows(tmp_path: Path) -> None:
    """Twelve rows, six of them filtered: 18 calls, and where the accepted ones come from."""
    async with surroundings(0.01) as (around, _):
        ran = await run_watched(pipeline(tmp_path), wanted(tmp_path), around)
    assert (ran.report.roots, ran.report.accepted, ran.report.filtered, ran.settled) == (12, 6, 6, 12)
    assert ran.accepted == [(root, ()) for root in range(1, 12, 2)]
    sent = [call for call in ran.log.calls if call.flights]
    assert len(sent) == 18
    assert all(call.asked <= call.flights[0][0] < call.flights[0][1] <= call.ended for call in sent)
    assert (ran.cut, ran.begin < ran.end) == ("", True)


async def test_a_run_without_a_run_directory_leaves_the_file_alone(tmp_path: Path) -> None:
    """The same rows, and nothing beside them."""
    async with surroundings(0.0) as (around, _):
        again = msgspec.structs.replace(wanted(tmp_path), durable=False)
        ran = await run_watched(pipeline(tmp_path), again, around)
    assert ran.report.rows == 6
    assert not (tmp_path / "out.jsonl.run").exists()


async def test_a_run_that_takes_too_long_is_stopped_and_told(tmp_path: Path) -> None:
    """What is settled by then counts, the rest is pending."""
    async with surroundings(0.15) as (around, _):
        short = msgspec.structs.replace(wanted(tmp_path), slots=1, longest=1.5)
        ran = await run_watched(pipeline(tmp_path), short, around)
    assert "the run was stopped" in ran.cut
    assert ran.report.pending > 0
    assert ran.settled == ran.report.roots - ran.report.pending
    assert all(root < ran.settled for root, _ in ran.accepted)


async def test_no_row_begins_when_the_time_is_over(tmp_path: Path) -> None:
    """Those that have begun are finished: none is pending."""
    async with surroundings(0.05) as (around, _):
        short = msgspec.structs.replace(wanted(tmp_path), slots=1, feed_seconds=0.1)
        ran = await run_watched(pipeline(tmp_path), short, around)
    assert "no row was begun after" in ran.cut
    assert 0 < ran.report.roots < ROWS
    assert ran.report.pending == 0


async def test_a_trial_puts_everything_together(tmp_path: Path) -> None:
    """The run, the run without a directory, the plain loop; and the folder is gone."""
    events: list[Event] = []
    folder = tmp_path / "runs"
    folder.mkdir()
    async with surroundings(0.02, events) as (around, url):
        wire = Wire(backend=around.backend, urls=[url], headers={"Content-Type": "application/json"})  # type: ignore[arg-type]
        trial = PipelineTrial(
            pipeline(tmp_path),
            tmp_path / "in.jsonl",
            100,
            Trial(gpus=2, project=1200, durability=True, folder=folder),
            Phases(warmup=0.0, duration=0.2),
            wire,
            around,
        )
        found = await trial.run(3)
    assert (found.roots, found.rows, found.calls, found.concurrency) == (12, 6, 18, 3)
    assert found.rows_per_gpu_hour == pytest.approx(1800 * found.rows_per_s)
    assert 0 < found.wasted < 0.5
    assert found.ceiling is not None
    assert found.ceiling.ratio is not None
    assert found.ceiling.ratio > 0
    assert 9 < found.ceiling.kept_prompts <= 18
    assert found.projection is not None
    assert found.projection.calls.value == pytest.approx(1800)
    assert found.projection.rows.low is not None
    assert found.durability is not None
    assert found.durability.rows_per_s_off > 0
    assert [block.name for block in found.tokens] == ["first", "second"]
    assert [block.records_in for block in found.funnel] == [12, 12, 6]
    said = [event.message for event in events if isinstance(event, Notice)]
    assert [words.split()[0] for words in said] == ["running", "running", "asking"]
    assert list(folder.iterdir()) == []


async def test_mistakes_are_told_before_anything_runs(tmp_path: Path) -> None:
    """Columns that are not there, an input that can be read only once, a folder that is not there."""
    loaded = pipeline(tmp_path)
    (tmp_path / "in.jsonl").write_text('{"other": 1}\n')
    async with surroundings(0.0) as (around, url):
        with pytest.raises(ConfigError, match="the first row of"):
            await run_watched(loaded, wanted(tmp_path), around)
        wire = Wire(backend=around.backend, urls=[url], headers={})  # type: ignore[arg-type]
        for rows, trial, error, words in (
            (Path("-"), Trial(), ConfigError, "--input takes a file"),
            (tmp_path / "in.jsonl", Trial(folder=tmp_path / "no"), OutputError, "no folder for the run"),
        ):
            with pytest.raises(error, match=words):
                await PipelineTrial(loaded, rows, 9, trial, Phases(), wire, around).run(3)


async def test_rows_are_counted_without_reading_them(tmp_path: Path) -> None:
    """Blank lines are none, bad ones are some."""
    (tmp_path / "in.jsonl").write_text('{"a": 1}\n\nnot JSON\n  \n{"a": 2}')
    assert await count_rows(tmp_path / "in.jsonl") == 3
