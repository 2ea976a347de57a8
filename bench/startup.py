"""Start-up time: ``import sdg_stream`` and ``python -m sdg_stream --help``, beside an empty interpreter.

    python bench/startup.py [N]

Each case runs N times (default 20) in a fresh process, after one run that warms the file cache, the cases
taking turns so that a busy machine hits all alike. One JSON line: seconds, median and quartiles; ``ok`` is
whether the medians are within their budgets. The exit code is 1 if one is not.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

CASES = {
    "python": (["-c", "pass"], None),
    "import": (["-c", "import sdg_stream"], 0.1),
    "help": (["-m", "sdg_stream", "--help"], 0.2),
}
"""Case to the interpreter's arguments and the budget in seconds."""


def main() -> int:
    """Measure, print, judge."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    times: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(runs + 1):
        for name, (arguments, _budget) in CASES.items():
            times[name].append(_seconds(arguments))
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
