"""Calls that a knowledge run saves: every chunk of a document comes with five seed examples.

    python bench/saved_calls.py [CHUNKS]       # default 40

Runs ``full/knowledge`` on CHUNKS chunks with five seed examples each, over a simulated teacher without delay.
``calls`` is what the blocks asked for, one call a record and block, which is what a library that sends every
prompt makes; ``made`` is what was sent, since identical greedy requests are one call. One JSON line.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import anyio

import sdg_stream as sdg
from sdg_stream.catalog import pipelines_dir
from sdg_stream.simulator.server import serve
from sdg_stream.simulator.settings import SimulatorSettings

SEEDS = 5


async def main(chunks: int) -> None:
    """One run, one line."""
    pipeline = sdg.Pipeline.load("full/knowledge")
    with tempfile.TemporaryDirectory() as folder:
        async with serve(SimulatorSettings(latency="zero")) as server, sdg.connect(server.url) as teacher:
            report = await pipeline.run(rows(chunks), Path(folder) / "out.jsonl", teacher)
    told = report.teacher
    assert told is not None
    made = told.calls - told.saved_calls
    print(
        json.dumps(
            {
                "bench": "saved_calls",
                "chunks": chunks,
                "seed_examples": SEEDS,
                "rows": report.rows,
                "calls": told.calls,
                "made": made,
                "made_over_calls": round(made / told.calls, 3),
            }
        )
    )


def rows(chunks: int) -> list[dict[str, Any]]:
    """Chunk-major, as they come from a taxonomy: each chunk with every seed example."""
    text = (pipelines_dir() / "examples" / "seeds" / "knowledge.jsonl").read_text(encoding="utf-8")
    samples = [json.loads(line) for line in text.splitlines()]
    found = []
    for chunk in range(chunks):
        sample = samples[chunk % len(samples)]
        document = f"Chapter {chunk + 1}. {sample['document']}"
        for seed in range(SEEDS):
            example = samples[(chunk + seed) % len(samples)]
            icl = {name: value for name, value in example.items() if name.startswith("icl_")}
            found.append({**sample, **icl, "document": document})
    return found


if __name__ == "__main__":
    anyio.run(main, int(sys.argv[1]) if len(sys.argv) > 1 else 40)
