"""What journal and call cache cost, and how soon a run of a million settled roots goes on.

    python bench/durability.py                   # all three
    python bench/durability.py --only wall|cpu|resume [--pairs 5] [--calls 4000] [--roots 1000000]

``wall``: 64 slots, 200 ms a call: a run with a run directory, and one into a sink without, in turn.
``cpu``: a server in another process that answers at once, prompts of 2 kB rendered, replies parsed, rows
written; milliseconds of CPU a call of this process, threads included, with and without. Server and client
each get a CPU of their own where the system lets them: threads that share a core slow each other down, which
would count as CPU time of the side that has more of them.
``resume``: one more row is added to the input of a finished run; seconds until the run has made it.
One JSON line a case.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import anyio
from process_use import cpu_seconds, peak_mb
from simulated import apart, simulated_teacher
from transport import REPLY, Setting, running

import sdg_stream as sdg
from sdg_stream.io.jsonl import JsonlSink

ROWS = """
version: "1.0"
blocks:
  - {name: copy, type: DuplicateColumnsBlock, config: {columns_map: {text: copy}}}
"""


def main() -> None:
    """Run the cases that are wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=["wall", "cpu", "resume"])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--calls", type=int, default=4_000)
    parser.add_argument("--roots", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.only in (None, "wall"):
            options = ("--latency", "fixed", "--latency-seconds", "0.2", "--slots", "64", "--reply", REPLY)
            with simulated_teacher(*options) as url:
                compare("wall", Setting(url, arguments.calls, 64, folder), arguments.pairs)
        if arguments.only in (None, "cpu"):
            with apart(), running("canned") as url, apart(first=True):
                compare("cpu", Setting(url, 5 * arguments.calls, 64, folder), arguments.pairs)
        if arguments.only in (None, "resume"):
            anyio.run(resume, folder, arguments.roots, backend_options={"use_uvloop": True})


def compare(case: str, setting: Setting, pairs: int) -> None:
    """Kept and not kept in turn; medians and the spread of the ratios."""
    setting.write_files()
    calls = setting.calls
    found: list[dict[str, float]] = []
    for _ in range(pairs):
        for kept in (True, False):
            measured = anyio.run(one, setting, kept, backend_options={"use_uvloop": True})
            found.append({"kept": kept, **measured})
    on, off = ([run for run in found if bool(run["kept"]) is kept] for kept in (True, False))
    ratios = sorted(a["seconds"] / b["seconds"] for a, b in zip(on, off, strict=True))
    cpu = [statistics.median(run["cpu"] for run in runs) * 1000 / calls for runs in (on, off)]
    more = sorted((a["cpu"] - b["cpu"]) * 1000 / calls for a, b in zip(on, off, strict=True))
    print(
        json.dumps(
            {
                "case": case,
                "calls": calls,
                "seconds_kept": round(statistics.median(run["seconds"] for run in on), 3),
                "seconds_not_kept": round(statistics.median(run["seconds"] for run in off), 3),
                "wall_ratio": round(statistics.median(ratios), 4),
                "wall_ratios": [round(ratio, 4) for ratio in ratios],
                "cpu_ms_a_call_kept": round(cpu[0], 4),
                "cpu_ms_a_call_not_kept": round(cpu[1], 4),
                "cpu_ms_a_call_more": round(statistics.median(more), 4),
                "cpu_ms_a_call_more_spread": [round(more[0], 4), round(more[-1], 4)],
            }
        ),
        flush=True,
    )


async def one(setting: Setting, kept: bool) -> dict[str, float]:
    """One run."""
    pipeline = sdg.Pipeline.load(setting.folder / "sampled.yaml")
    output: Any = setting.folder / "out.jsonl"
    if not kept:
        output = JsonlSink(setting.folder / "plain.jsonl")
        await output.open()
    async with sdg.connect(setting.url, concurrency=setting.concurrency) as teacher:
        cpu, began = cpu_seconds(), time.monotonic()
        report = await pipeline.run(setting.folder / "in.jsonl", output, teacher, overwrite=True)
        seconds, cpu = time.monotonic() - began, cpu_seconds() - cpu
    assert report.rows == setting.calls
    return {"seconds": seconds, "cpu": cpu}


async def resume(folder: Path, roots: int) -> None:
    """A run with so many settled roots, and the time until it goes on."""
    (folder / "rows.yaml").write_text(ROWS, encoding="utf-8")
    pipeline = sdg.Pipeline.load(folder / "rows.yaml")
    source, output = folder / "many_in.jsonl", folder / "many.jsonl"
    with source.open("w", encoding="utf-8") as file:
        for number in range(roots):
            file.write(json.dumps({"text": f"{number} {'word ' * 150}"}) + "\n")
    began = time.monotonic()
    await pipeline.run(source, output, None)
    first = time.monotonic() - began
    with source.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"text": "one more"}) + "\n")
    began = time.monotonic()
    report = await pipeline.run(source, output, None)
    seconds = time.monotonic() - began
    assert report.rows == roots + 1
    line = {"case": "resume", "roots": roots, "first_run_s": round(first, 1), "going_on_s": round(seconds, 2)}
    sizes = {
        "input_mb": source.stat().st_size / 1e6,
        "state_mb": (folder / "many.jsonl.run/state.db").stat().st_size / 1e6,
    }
    print(
        json.dumps(
            {**line, **{name: round(size) for name, size in sizes.items()}, "peak_mb": round(peak_mb())}
        ),
        flush=True,
    )


if __name__ == "__main__":
    main()
