"""Several servers in one run: replicas, and a pool of its own for a judge."""

from __future__ import annotations

from pathlib import Path

import pytest

import sdg_stream as sdg
from sdg_stream.errors import TeacherUnusable
from sdg_stream.simulator.server import serve
from sdg_stream.simulator.settings import SimulatorSettings

pytestmark = pytest.mark.anyio

PROMPT = """
system: You are brief.
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
  - name: answer
    type: LLMBlock
    config: {config_path: prompt.yaml, output_cols: [answer]}
  - name: judge
    type: LLMBlock
    config: {config_path: prompt.yaml, output_cols: [verdict], model_id: JUDGE, endpoint: judge}
"""


def write(folder: Path, judge: str = "judge-model") -> Path:
    """The pipeline: one block asks the default pool, one the judge."""
    (folder / "prompt.yaml").write_text(PROMPT)
    file = folder / "pipeline.yaml"
    file.write_text(PIPELINE.replace("JUDGE", judge))
    return file


async def test_a_block_asks_the_endpoints_of_its_name(tmp_path: Path) -> None:
    """Two replicas share the answers, the judge on another server gets its own calls and no others."""
    rows = [{"text": f"question {n}"} for n in range(40)]
    settings = SimulatorSettings(latency="fixed", latency_seconds=0.01, slots=4)
    judging = SimulatorSettings(latency="zero", model="judge-model")
    async with serve(settings) as one, serve(settings) as two, serve(judging) as judge:
        urls = [one.url, two.url, f"judge={judge.url}"]
        async with sdg.connect(urls, model="simulated-teacher", concurrency=8) as teacher:
            report = await sdg.Pipeline.load(write(tmp_path)).run(rows, tmp_path / "out.jsonl", teacher)
        assert report.rows == 40
        asked = [server.stats.requests for server in (one, two, judge)]
    probes = 1  # what connecting asks of each
    assert sum(asked[:2]) == 40 + 2 * probes
    assert min(asked[:2]) >= 10
    assert asked[2] == 40 + probes


async def test_a_model_that_no_endpoint_has_is_told_before_the_first_call(tmp_path: Path) -> None:
    """The models of all blocks are held against what the endpoints list."""
    pipeline = sdg.Pipeline.load(write(tmp_path, "missing-model"))
    async with (
        serve(SimulatorSettings(latency="zero")) as one,
        serve(SimulatorSettings(latency="zero", model="judge-model")) as judge,
        sdg.connect([one.url, f"judge={judge.url}"]) as teacher,
    ):
        before = one.stats.requests
        with pytest.raises(TeacherUnusable, match="missing-model"):
            await pipeline.run([{"text": "a"}], tmp_path / "out.jsonl", teacher)
        assert one.stats.requests == before
