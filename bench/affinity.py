"""Four replicas with prefix caches, and documents that many records share: affinity against round robin.

    python bench/affinity.py                                  # both orders of the input, both ways to route
    python bench/affinity.py --documents 80 --records 10 --slots 16 --surplus 1.1

Each simulated replica is a process of its own. It reads prompts one after the other, slowly, except for the
beginnings in its cache, which has room for about a third of the documents. The pipeline is one shipped judge
whose prompts begin with its rules and the document. In the order ``documents`` the records of a document are
neighbours, as they come out of a taxonomy; ``shuffled`` is the worst case.

One JSON line a case: accepted rows a second, the share of the prompt tokens that the replicas found in their
caches, and their loads (sequences running and waiting, as the replicas count them), largest over mean:
of the averages over the run, and of the worst sample.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from simulated import page, served, stats

import sdg_stream as sdg
from sdg_stream.catalog import pipelines_dir
from sdg_stream.simulator.server import serve_forever
from sdg_stream.simulator.settings import SimulatorSettings

REPLICAS = 4
PREFILL = 10_000.0  # tokens/s
TOKENS = 2_000  # of a prompt, about
SAMPLE_SECONDS = 0.1
THINGS = ("tides", "winds", "rocks", "rivers")
PIPELINE = f"""
version: "1.0"
blocks:
  - name: judge
    type: LLMBlock
    config:
      config_path: {pipelines_dir()}/prompts/knowledge/evaluate_faithfulness.yaml
      output_cols: [explanation, judgment]
"""


def main() -> None:
    """Run the cases and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--order", choices=["documents", "shuffled"], nargs="+")
    parser.add_argument("--documents", type=int, default=80)
    parser.add_argument("--records", type=int, default=10, help="of each document")
    parser.add_argument("--slots", type=int, default=16, help="of each replica")
    parser.add_argument("--surplus", type=float, default=1.1, help="calls in flight, over all slots")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    settings = SimulatorSettings(
        slots=options.slots,
        prefill_tokens_per_s=PREFILL,
        kv_cache_tokens=max(options.slots * TOKENS, options.documents * TOKENS // 3),
    )
    if options.serve:
        anyio.run(serve_forever, settings, "127.0.0.1", 0, lambda url: print(url, flush=True))
        return
    command = [sys.executable, __file__, "--serve", *sys.argv[1:]]
    with ExitStack() as stack:
        urls = [stack.enter_context(served(command)) for _ in range(REPLICAS)]
        concurrency = round(REPLICAS * options.slots * options.surplus)
        for order in options.order or ["documents", "shuffled"]:
            rows = input_rows(options.documents, options.records, shuffled=order == "shuffled")
            for affinity in (False, True):
                found = anyio.run(measure, urls, rows, concurrency, affinity)
                case = {
                    "order": order,
                    "route": "affinity" if affinity else "round robin",
                    "calls": len(rows),
                }
                print(json.dumps({**case, "in_flight": concurrency, **found}), flush=True)


def input_rows(documents: int, records: int, *, shuffled: bool) -> list[dict[str, Any]]:
    """Rows of documents of about 1,500 tokens, each shared by some records."""
    dice = random.Random(documents)
    rows = []
    for number in range(documents):
        facts = (
            f"The {dice.choice(THINGS)} of chapter {number} have {dice.random():.3f} units."
            for _ in range(150)
        )
        document = " ".join(facts)
        for record in range(records):
            rows.append({"document": document, "response": f"Response {record} is about {dice.random()}."})
    if shuffled:
        dice.shuffle(rows)
    return rows


async def measure(
    urls: list[str], rows: list[dict[str, Any]], concurrency: int, affinity: bool
) -> dict[str, Any]:
    """One run over all replicas, with cold caches."""
    samples: list[list[int]] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "judge.yaml"
        file.write_text(PIPELINE)
        pipeline = sdg.Pipeline.load(file, allow_paths=[pipelines_dir()])
        async with sdg.connect(urls, concurrency=concurrency, affinity=affinity) as teacher:
            for url in urls:
                await anyio.to_thread.run_sync(page, url, "reset", "POST")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_watch, urls, samples)
                report = await pipeline.run(rows, file.with_name("out.jsonl"), teacher)
                tasks.cancel_scope.cancel()
    texts = [page(url, "metrics") for url in urls]
    hits = sum(_metric(text, "vllm:prefix_cache_hits_total") for text in texts)
    read = sum(_metric(text, "vllm:prefix_cache_queries_total") for text in texts)
    full = [loads for loads in samples if sum(loads) >= 0.9 * concurrency]
    averages = [sum(loads) / len(loads) for loads in zip(*full, strict=True)]
    return {
        "rows": report.rows,
        "rows_per_s": round(report.rows_per_second, 2),
        "cached": round(hits / read, 4),
        "load_max_over_mean": round(REPLICAS * max(averages) / sum(averages), 3),
        "worst_sample": round(max(REPLICAS * max(loads) / sum(loads) for loads in full), 3),
    }


async def _watch(urls: list[str], samples: list[list[int]]) -> None:
    while True:
        await anyio.sleep(SAMPLE_SECONDS)
        samples.append(await anyio.to_thread.run_sync(_loads, urls))


def _loads(urls: list[str]) -> list[int]:
    return [int(one["running"]) + int(one["waiting"]) for one in map(stats, urls)]


def _metric(text: str, name: str) -> float:
    found = re.search(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
    assert found is not None, f"{name} is not among the metrics"
    return float(found.group(1))


if __name__ == "__main__":
    main()
