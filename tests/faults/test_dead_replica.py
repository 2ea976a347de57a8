"""Row 33 of the catalogue: one replica of several is gone for a while, over real sockets."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

import sdg_stream as sdg
from sdg_stream.simulator.server import serve
from sdg_stream.simulator.settings import SimulatorSettings

pytestmark = pytest.mark.anyio

ROWS = 1100
SETTINGS = SimulatorSettings(latency="fixed", latency_seconds=0.04, slots=16)
PROMPT = """\
system: You are brief.
introduction: ""
principles: ""
examples: ""
generation: Tell me about {{topic}}.
start_tags: [""]
end_tags: [""]
"""
PIPELINE = """\
version: "1.0"
blocks:
  - {name: ask, type: LLMBlock, config: {config_path: prompt.yaml, output_cols: [answer]}}
"""


async def test_row_33_a_replica_that_is_gone_for_a_while_costs_no_record(tmp_path: Path) -> None:
    """Its share moves to the other one at once; when it is back, a trial call finds out and it comes back."""
    (tmp_path / "prompt.yaml").write_text(PROMPT)
    (tmp_path / "ask.yaml").write_text(PIPELINE)
    pipeline = sdg.Pipeline.load(tmp_path / "ask.yaml")
    rows = [{"topic": f"topic {number}"} for number in range(ROWS)]
    answered: list[int] = []

    async with serve(SETTINGS) as steady, anyio.create_task_group() as tasks:
        gone, port = anyio.Event(), 0

        async def restart() -> None:
            """Serve a while, be gone, and come back on the same port."""
            nonlocal port
            for requests in (200, 50):
                async with serve(SETTINGS, port=port) as server:
                    port = int(server.url.split(":")[2].split("/")[0])
                    gone.set()
                    while server.stats.requests < requests:  # noqa: ASYNC110 - there is no event for it
                        await anyio.sleep(0.01)
                    answered.append(server.stats.requests)
                await anyio.sleep(0.2)

        tasks.start_soon(restart)
        await gone.wait()
        urls = [steady.url, f"http://127.0.0.1:{port}/v1"]
        async with sdg.connect(urls, concurrency=32) as teacher:
            report = await pipeline.run(rows, tmp_path / "out.jsonl", teacher)
        tasks.cancel_scope.cancel()
    assert (report.rows, report.rejects) == (ROWS, 0)
    assert len(answered) == 2
    assert report.teacher is not None
    assert report.teacher.outages == 0
