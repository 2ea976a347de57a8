"""Peak memory against the number of input rows: it must depend on what is in flight, not on the input.

    python bench/memory.py                       # 1,000 and 1,000,000 rows; 1,000 and 200,000 calls
    python bench/memory.py --rows 1000 100000 --calls 1000 20000

Each size runs in a process of its own, the smallest one five times, of which the median counts: a megabyte
more or less is chance. The row pipeline has five fused row blocks; the call pipeline makes one call a record
to a simulated teacher without latency, in yet another process, over 64 slots: memory does depend on what is
in flight, and ``--concurrency auto`` finds other slots in a short run than in a long one. Inputs and outputs
are real files. One JSON line per case, with peak RSS in MB (``ru_maxrss`` of the process).
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anyio
from process_use import peak_mb
from row_pipelines import TWO_ROWS
from simulated import simulated_teacher

import sdg_stream as sdg

SMALL_RUNS = 5
SLOTS = 64
CALLS = """
version: "1.0"
blocks:
  - name: ask
    type: LLMBlock
    config: {config_path: prompt.yaml, output_cols: [answer], gen_kwargs: {max_tokens: 32}}
"""

PROMPT = """
system: You answer.
introduction: Answer the question.
principles: ""
examples: ""
generation: "{{text}} {{number}}"
start_tags: [""]
end_tags: [""]
"""


def main() -> None:
    """Run every case in a process of its own and compare the largest with the smallest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000, 1_000_000])
    parser.add_argument("--calls", type=int, nargs="+", default=[1_000, 200_000])
    parser.add_argument("--case", nargs=3, metavar=("KIND", "COUNT", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        kind, count, folder = arguments.case
        run_case(kind, int(count), Path(folder))
        return
    for kind, counts in (("rows", arguments.rows), ("calls", arguments.calls)):
        small = statistics.median(case_in_a_process(kind, counts[0]) for _ in range(SMALL_RUNS))
        large = [case_in_a_process(kind, count) for count in counts[1:]][-1]
        print(json.dumps({"case": kind, "largest_over_smallest": round(large / small, 3)}), flush=True)


def case_in_a_process(kind: str, count: int) -> float:
    """One case; its peak in MB."""
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), count)
        command = [sys.executable, __file__, "--case", kind, str(count), folder]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        print(done.stdout.strip(), flush=True)
        return float(json.loads(done.stdout)["peak_mb"])


def write_files(folder: Path, count: int) -> None:
    """The pipelines and the input."""
    (folder / "rows.yaml").write_text(TWO_ROWS)
    (folder / "calls.yaml").write_text(CALLS)
    (folder / "prompt.yaml").write_text(PROMPT)
    text = "a sentence of an input row " * 10
    with (folder / "in.jsonl").open("w") as file:
        for number in range(count):
            file.write(json.dumps({"number": number, "text": text, "score": number % 10}) + "\n")


def run_case(kind: str, count: int, folder: Path) -> None:
    """In its own process: run, and print the peak."""

    async def run(url: str) -> tuple[int, float]:
        pipeline = sdg.Pipeline.load(folder / f"{kind}.yaml")
        started = time.monotonic()
        if kind == "rows":
            report = await pipeline.run(folder / "in.jsonl", folder / "out.jsonl", None)
        else:
            async with sdg.connect(url, concurrency=SLOTS) as teacher:
                report = await pipeline.run(folder / "in.jsonl", folder / "out.jsonl", teacher)
        assert report.roots == count
        assert report.pending == 0
        return report.rows, time.monotonic() - started

    with simulated_teacher("--latency", "zero") as url:
        rows, seconds = anyio.run(run, url, backend_options={"use_uvloop": True})
    print(
        json.dumps(
            {
                "case": kind,
                "input_rows": count,
                "rows": rows,
                "peak_mb": round(peak_mb(), 1),
                "seconds": round(seconds, 2),
                "input_rows_per_s": round(count / seconds),
            }
        )
    )


if __name__ == "__main__":
    main()
