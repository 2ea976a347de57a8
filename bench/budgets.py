"""Every budget of the design, measured: how much is allowed, what it is, by which command, and if it holds.

    python bench/budgets.py                       # all, half an hour
    python bench/budgets.py --quick               # smaller and fewer runs, some minutes
    python bench/budgets.py --only row_blocks cpu_lean
    python bench/budgets.py --write               # and put the table into bench/RESULTS.md

Each budget is read off the JSON lines of another benchmark, run with the command that is shown; a command
that serves several of them runs once. Medians, and the lowest and highest of the runs where there are
several. One JSON line a budget; the exit code is 1 if one does not hold. A busy machine makes times longer:
trust ratios before milliseconds, and look at what a bare loop takes in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from results_file import RESULTS, machine, write_part

HERE = Path(__file__).parent

Lines: TypeAlias = list[dict[str, Any]]


class Found(NamedTuple):
    """A measurement: its median, the lowest and highest run, and what was seen beside it."""

    value: float
    low: float
    high: float
    beside: str = ""


class Budget(NamedTuple):
    """One budget.

    ``limit`` is the most that is allowed, or the least where ``least`` is set. ``read`` finds the measurement
    in the lines of ``command``, or of ``quick`` where that is wanted.
    """

    what: str
    limit: float
    unit: str
    command: str
    quick: str
    read: Callable[[Lines], Found]
    least: bool = False
    aim: float | None = None

    def holds(self, value: float) -> bool:
        """Whether a measurement is within it."""
        return value >= self.limit if self.least else value <= self.limit


def of_case(case: str, value: str, spread: str = "", **more: str) -> Callable[[Lines], Found]:
    """Reads a value, and its spread, from the line of a case."""

    def read(lines: Lines) -> Found:
        line = _line(lines, case=case, **more)
        low, high = line[spread] if spread else (line[value], line[value])
        return Found(line[value], low, high)

    return read


def cpu(case: str) -> Callable[[Lines], Found]:
    """CPU a call, and that of a bare loop beside it."""

    def read(lines: Lines) -> Found:
        low, high = _line(lines, case=case)["spread_cpu_ms"]
        beside = f"a bare aiohttp loop: {_line(lines, case='bare')['cpu_ms']} ms"
        return Found(_line(lines, case=case)["cpu_ms"], low, high, beside)

    return read


def order_over_none(lines: Lines) -> Found:
    """What input order costs: its makespan over that without, each over its own bound."""
    one, other = (_line(lines, case="chain", order=order) for order in ("input", "none"))
    (low, high), (least, most) = one["spread"], other["spread"]
    return Found(one["over_bound"] / other["over_bound"], low / most, high / least)


def peak(case: str) -> Callable[[Lines], Found]:
    """Peak memory of the smallest input."""

    def read(lines: Lines) -> Found:
        value = min(line["peak_mb"] for line in lines if line["case"] == case and "peak_mb" in line)
        return Found(value, value, value)

    return read


def growth(case: str) -> Callable[[Lines], Found]:
    """Peak memory of the largest input over that of the smallest."""

    def read(lines: Lines) -> Found:
        [value] = (line["largest_over_smallest"] for line in lines if "largest_over_smallest" in line
                   and line["case"] == case)  # fmt: skip
        return Found(value, value, value)

    return read


def started(case: str) -> Callable[[Lines], Found]:
    """Seconds of a start."""

    def read(lines: Lines) -> Found:
        found = lines[0]["cases"][case]
        return Found(found["median"], found["min"], found["max"])

    return read


def wall(lines: Lines) -> Found:
    """Wall time with journal and cache over that without."""
    return Found(lines[0]["wall_ratio"], lines[0]["wall_ratios"][0], lines[0]["wall_ratios"][-1])


def _line(lines: Lines, **wanted: str) -> dict[str, Any]:
    [found] = (line for line in lines if all(line.get(key) == value for key, value in wanted.items()))
    return found


ONE_STAGE = ("saturation.py --case one_stage --repeat 3", "saturation.py --case one_stage --calls 1600")
CHAIN = (
    "saturation.py --case chain --order input none --repeat 3",
    "saturation.py --case chain --order input none --seeds 60",
)
CALLS = "transport.py --server canned --case bare whole_aiohttp whole_lean"
WHOLE = (f"{CALLS} --calls 12000 --repeat 7", f"{CALLS} --calls 4000 --repeat 3")
WALL = ("durability.py --only wall --pairs 5", "durability.py --only wall --pairs 2 --calls 2000")
CPU = ("durability.py --only cpu --pairs 5", "durability.py --only cpu --pairs 3 --calls 1000")
MEMORY = ("memory.py", "memory.py --rows 1000 100000 --calls 1000 10000")
START = ("startup.py 20", "startup.py 5")
FUSION = ("hot_path.py --only row_fusion --repeat 15", "hot_path.py --only row_fusion")
AGAINST_BARE = "whole run at zero latency, calls/s over those of a bare aiohttp loop, {} transport"

BUDGETS = {
    "one_stage": Budget(
        "makespan / bound, one stage, 64 slots, long-tailed replies",
        1.01, "", *ONE_STAGE, of_case("one_stage", "over_bound", "spread")),
    "chain": Budget(
        "makespan / bound, four stages with fan-out and filters",
        1.02, "", *CHAIN, of_case("chain", "over_bound", "spread", order="input")),
    "input_order": Budget("input order kept in the output, four stages: makespan over that without",
        1.01, "", *CHAIN, order_over_none),
    "calls_lean": Budget(AGAINST_BARE.format("lean"),
        0.4, "", *WHOLE, of_case("whole_lean", "calls_over_bare", "spread_calls_over_bare"), least=True,
        aim=0.8),
    "calls_aiohttp": Budget(AGAINST_BARE.format("aiohttp"),
        0.4, "", *WHOLE, of_case("whole_aiohttp", "calls_over_bare", "spread_calls_over_bare"), least=True,
        aim=0.8),
    "cpu_lean": Budget("the same: CPU a call, lean transport",
        0.25, "ms", *WHOLE, cpu("whole_lean"), aim=0.12),
    "cpu_aiohttp": Budget("the same: CPU a call, aiohttp transport (TLS, proxies)",
        0.25, "ms", *WHOLE, cpu("whole_aiohttp"), aim=0.12),
    "journal_wall": Budget("journal and cache at 64 slots and 200 ms: wall time over that without",
        1.01, "", *WALL, wall),
    "journal_cpu": Budget("journal and cache at zero latency: CPU a call more",
        0.06, "ms", *CPU, of_case("cpu", "cpu_ms_a_call_more", "cpu_ms_a_call_more_spread")),
    "memory_rows": Budget("peak memory at 1,000 rows through five row blocks",
        80, "MB", *MEMORY, peak("rows")),
    "memory_calls": Budget("peak memory at 1,000 calls", 80, "MB", *MEMORY, peak("calls")),
    "growth_rows": Budget("peak memory at 1,000,000 rows over that at 1,000",
        1.2, "", *MEMORY, growth("rows")),
    "growth_calls": Budget("peak memory at 200,000 calls over that at 1,000",
        1.2, "", *MEMORY, growth("calls")),
    "import": Budget("import sdg_stream", 0.1, "s", *START, started("import")),
    "help": Budget("python -m sdg_stream --help", 0.2, "s", *START, started("help")),
    "first_row": Budget("first row of run on a fast teacher", 1.0, "s", *START, started("first_row")),
    "row_blocks": Budget("five row blocks fused",
        200_000, "records/s a core", *FUSION, of_case("row_fusion", "per_s", "spread_per_s"), least=True),
}  # fmt: skip
"""By name; in the order of the design's table."""


def main() -> int:
    """Measure what is wanted; 1 if something does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=[*BUDGETS], nargs="+", default=[*BUDGETS])
    parser.add_argument("--quick", action="store_true", help="smaller and fewer runs")
    parser.add_argument("--write", action="store_true", help="put the table into the results")
    parser.add_argument("--output", type=Path, default=RESULTS, help="the results")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    found = []
    for name in options.only:
        found.append(measured(name, quick=options.quick))
        print(json.dumps({key: value for key, value in found[-1].items() if value is not None}), flush=True)
    if options.write:
        write_part(options.output, "budgets", table(found, load, quick=options.quick))
    return 0 if all(line["holds"] for line in found) else 1


def measured(name: str, *, quick: bool) -> dict[str, Any]:
    """One budget beside what is found."""
    budget = BUDGETS[name]
    command = budget.quick if quick else budget.command
    line = {
        "budget": name,
        "what": budget.what,
        "at_least" if budget.least else "at_most": budget.limit,
        "aim": budget.aim,
        "unit": budget.unit or None,
        "measured": None,
        "spread": None,
        "beside": None,
        "holds": False,
        "command": f"python bench/{command}",
    }
    try:
        value, low, high, beside = budget.read(lines_of(command))
    except RuntimeError as error:  # the others are to be measured all the same
        return {**line, "beside": str(error)}
    spread = None if low == high else [round(low, 4), round(high, 4)]
    holds = budget.holds(value)
    return {**line, "measured": round(value, 4), "spread": spread, "beside": beside or None, "holds": holds}


@cache
def lines_of(command: str) -> Lines:
    """What a benchmark prints; startup.py's exit code is its own verdict."""
    script, *arguments = command.split()
    done = subprocess.run(
        [sys.executable, str(HERE / script), *arguments], check=False, stdout=subprocess.PIPE, text=True
    )
    if done.returncode not in (0, 1) or not done.stdout:
        raise RuntimeError(f"the benchmark failed with exit code {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def table(found: Lines, load: float, *, quick: bool) -> str:
    """The budgets' part of the results; ``load`` is how busy the machine was before."""
    command = f"python bench/budgets.py{' --quick' if quick else ''} --write"
    return "\n".join(_table_lines(found, command, load))


def _table_lines(found: Lines, command: str, load: float) -> Iterator[str]:
    yield "## Budgets"
    yield ""
    yield f"{datetime.now(UTC):%Y-%m-%d}, {machine()}. Made by `{command}`:"
    yield "medians, and the lowest and highest of the runs where there are several. The load average of the"
    yield f"machine was {load:.1f} when it began; above 0.5, times are too long."
    yield ""
    yield "| what | budget | measured | holds | command |"
    yield "|---|---|---|---|---|"
    for line in found:
        sign = "≥" if "at_least" in line else "≤"
        number = line["at_least"] if "at_least" in line else line["at_most"]
        limit = f"{sign} {_shown(number)} {line['unit'] or ''}".strip()
        if line["aim"] is not None:
            limit += f" (aim {_shown(line['aim'])})"
        value = "nothing" if line["measured"] is None else _shown(line["measured"])
        if line["spread"] is not None:
            value += f" ({' to '.join(map(_shown, line['spread']))})"
        value += f"; {line['beside']}" if line["beside"] else ""
        verdict = "yes" if line["holds"] else "**no**"
        yield f"| {line['what']} | {limit} | {value} | {verdict} | `{line['command']}` |"


def _shown(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.4g}"


if __name__ == "__main__":
    raise SystemExit(main())
