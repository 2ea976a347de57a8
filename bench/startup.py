"""Start-up time: import, ``--help`` and the first row of ``run``, beside an empty interpreter.

    python bench/startup.py [N]

Each case runs N times (default 20) in a fresh process, after one run that warms the file cache, the cases
taking turns so that a busy machine hits all alike. ``first_row`` is the time from the command to a whole row
in the output, on a server that answers at once (bench/canned.py). One JSON line: seconds, median and
quartiles; ``ok`` is whether the medians are within their budgets. The exit code is 1 if one is not.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from transport import Setting, running

CASES = {
    "python": (["-c", "pass"], None),
    "import": (["-c", "import sdg_stream"], 0.1),
    "help": (["-m", "sdg_stream", "--help"], 0.2),
    "first_row": (["-m", "sdg_stream", "run"], 1.0),
}
"""Case to the interpreter's arguments and the budget in seconds."""
LOOK_SECONDS = 0.002


def main() -> int:
    """Measure, print, judge."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    times: dict[str, list[float]] = {name: [] for name in CASES}
    with running("canned") as url, tempfile.TemporaryDirectory() as name:
        setting = Setting(url, 1_000, 64, Path(name))
        setting.write_files()
        for run in range(runs + 1):
            for case, (arguments, _budget) in CASES.items():
                first = case == "first_row"
                times[case].append(_first_row(arguments, setting, run) if first else _seconds(arguments))
    result = {name: _described(values[1:], CASES[name][1]) for name, values in times.items()}
    ok = all(case.get("ok", True) for case in result.values())
    print(
        json.dumps(
            {"bench": "startup", "runs": runs, "python": sys.version.split()[0], "cases": result, "ok": ok}
        )
    )
    return 0 if ok else 1


def _seconds(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def _first_row(arguments: list[str], setting: Setting, run: int) -> float:
    """From the command to a row in the output."""
    output = setting.folder / f"{run}.jsonl"
    files = [setting.folder / "sampled.yaml", "--input", setting.folder / "in.jsonl", "--output", output]
    command = [sys.executable, *arguments, *map(str, files), "--endpoint-url", setting.url]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not (output.exists() and b"\n" in output.read_bytes()):
            if process.poll() is not None:
                raise RuntimeError(f"no row, exit code {process.returncode}")
            time.sleep(LOOK_SECONDS)
        seconds = time.perf_counter() - start
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}")
    return seconds


def _described(values: list[float], budget: float | None) -> dict[str, float | bool]:
    low, median, high = statistics.quantiles(values, n=4)
    described: dict[str, float | bool] = {
        "median": round(median, 4),
        "q1": round(low, 4),
        "q3": round(high, 4),
        "min": round(min(values), 4),
        "max": round(max(values), 4),
    }
    return described if budget is None else {**described, "budget": budget, "ok": median <= budget}


if __name__ == "__main__":
    raise SystemExit(main())
