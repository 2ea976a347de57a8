"""A long run with faults: every count exact, memory and file descriptors flat.

    python bench/soak.py [--records 1000000] [--faults 0.01]

Starts a simulated teacher that answers at once, has faults of five kinds at random (500, 503, connections
reset, replies cut off), and refuses one record of a thousand for good. Runs one call a record on it with
``python -m sdg_stream run``: journal and call cache on, in input order. Looks at the process twice a second.
One JSON line at the end; fails if a record is missing or there twice, if a count is off, or if memory or
descriptors grow after the first tenth.
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

from simulated import simulated_teacher

PIPELINE = """
version: "1.0"
blocks:
  - name: ask
    type: LLMBlock
    config: {config_path: prompt.yaml, output_cols: [answer], gen_kwargs: {max_tokens: 32, temperature: 0.7}}
"""

PROMPT = """
system: You answer.
introduction: Answer the question.
principles: ""
examples: ""
generation: "{{text}}"
start_tags: ["[A]"]
end_tags: ["[/A]"]
"""

KINDS = ("503", "500", "reset", "truncated", "torn_json")


def main() -> None:
    """Run, watch, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--faults", type=float, default=0.01)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "pipeline.yaml").write_text(PIPELINE, encoding="utf-8")
        (folder / "prompt.yaml").write_text(PROMPT, encoding="utf-8")
        rate = arguments.faults / len(KINDS)
        faults = [{"rate": rate, "fault": int(kind) if kind.isdigit() else kind} for kind in KINDS]
        faults.append({"match": "poison", "fault": 400})
        (folder / "faults.yaml").write_text(json.dumps(faults), encoding="utf-8")
        with (folder / "in.jsonl").open("w", encoding="utf-8") as file:
            for number in range(arguments.records):
                text = f"question {number}{' poison' if number % 1000 == 999 else ''}"
                file.write(json.dumps({"id": number, "text": text}) + "\n")
        options: tuple[str, ...] = ("--latency", "zero", "--reply", "[A]an answer[/A]")
        options += ("--faults", str(folder / "faults.yaml"))
        with simulated_teacher(*options) as url:
            found = run(folder, url)
        print(json.dumps({"bench": "soak", **found, **count(folder, arguments.records)}), flush=True)


def run(folder: Path, url: str) -> dict[str, float]:
    """The run, watched."""
    command = [sys.executable, "-m", "sdg_stream", "run", str(folder / "pipeline.yaml")]
    command += ["--input", str(folder / "in.jsonl"), "--output", str(folder / "out.jsonl")]
    command += ["--endpoint-url", url, "--concurrency", "64", "--model-family", "mixtral"]
    command += ["--progress", "none"]
    began = time.monotonic()
    samples: list[tuple[float, int]] = []
    with subprocess.Popen(command) as process:
        while process.poll() is None:
            samples.append(look(process.pid))
            time.sleep(0.5)
    assert process.returncode == 0, process.returncode
    samples = [sample for sample in samples if sample[0]]
    tenth = max(1, len(samples) // 10)
    early, late = samples[tenth : 2 * tenth], samples[-tenth:]
    memory = [statistics.median(rss for rss, _ in part) for part in (early, late)]
    files = [max(number for _, number in part) for part in (early, late)]
    assert memory[1] < 1.2 * memory[0] + 5, memory
    assert files[1] <= files[0] + 8, files
    return {
        "seconds": round(time.monotonic() - began, 1),
        "memory_mb_early": memory[0],
        "memory_mb_late": memory[1],
        "memory_mb_peak": max(rss for rss, _ in samples),
        "descriptors_early": files[0],
        "descriptors_late": files[1],
    }


def look(process: int) -> tuple[float, int]:
    """Resident memory in MB, and open file descriptors; zeros once it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
        rss = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(rss.split()[1]) / 1024, len(list(Path(f"/proc/{process}/fd").iterdir()))
    except (OSError, StopIteration):
        return 0.0, 0


def count(folder: Path, records: int) -> dict[str, int]:
    """Every record is a row or a reject, once; the report says the same."""
    report = json.loads((folder / "out.jsonl.run" / "run.json").read_text(encoding="utf-8"))["report"]
    seen = bytearray(records)
    with (folder / "out.jsonl").open("rb") as file:
        for line in file:
            seen[json.loads(line)["id"]] += 1
    rejects = 0
    with (folder / "out.jsonl.run" / "rejects.jsonl").open("rb") as file:
        for line in file:
            rejects += 1
            seen[json.loads(line)["root"]] += 1
    assert seen == bytearray(b"\x01") * records, "a record is missing, or there twice"
    assert report["roots"] == report["accepted"] + report["rejected"] == records
    assert report["rejects"] == rejects
    return {
        "rows": report["rows"],
        "rejects": rejects,
        "failed_attempts": sum(report["teacher"]["failures"].values()),
    }


if __name__ == "__main__":
    main()
