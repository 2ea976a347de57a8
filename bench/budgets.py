"""Every budget of the design, measured: how much is allowed, what it is, by which command, and if it holds.

    python bench/budgets.py                       # all, half an hour
    python bench/budgets.py --quick               # smaller and fewer runs, some minutes
    python bench/budgets.py --only row_blocks cpu_lean
    python bench/budgets.py --write               # and put the table into bench/RESULTS.md

Each budget is read off the JSON lines of another benchmark, run with the command that is shown; a command
that serves several of them runs once. Medians, and the lowest and highest of the runs where there are
several; what does not hold says why. One JSON line a budget; the exit code is 1 if one does not hold. A
busy machine makes times longer: trust ratios before milliseconds, and look at what a bare loop takes in the
same run.
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
from typing import Any

from budget_list import BUDGETS, Lines
from results_file import RESULTS, machine, write_part

HERE = Path(__file__).parent


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


def measured(name: str, *, quick: bool, run: Callable[[str], Lines] = lines_of) -> dict[str, Any]:
    """One budget beside what is found in the lines that its command prints."""
    budget = BUDGETS[name]
    command = budget.quick if quick else budget.command
    line: dict[str, Any] = {
        "budget": name,
        "what": budget.what,
        "at_least" if budget.least else "at_most": budget.limit,
        "aim": budget.aim,
        "unit": budget.unit or None,
        "measured": None,
        "spread": None,
        "beside": None,
        "holds": False,
        "why": budget.why or None,
        "command": f"python bench/{command}",
    }
    try:
        value, low, high, beside = budget.read(run(command))
    except RuntimeError as error:  # the others are to be measured all the same
        return {**line, "beside": str(error), "why": None}
    spread = None if low == high else [round(low, 4), round(high, 4)]
    holds = budget.holds(value)
    line |= {"measured": round(value, 4), "spread": spread, "beside": beside or None, "holds": holds}
    return {**line, "why": None} if holds else line


def table(found: Lines, load: float, *, quick: bool) -> str:
    """The budgets' part of the results; ``load`` is how busy the machine was before."""
    names = [line["budget"] for line in found]
    only = "" if names == [*BUDGETS] else f" --only {' '.join(names)}"
    command = f"python bench/budgets.py{' --quick' if quick else ''}{only} --write"
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
    if reasons := [f"- **{line['what']}**: {line['why']}." for line in found if line["why"]]:
        yield from ("", "What does not hold, why, and what was tried:", "", *reasons)


def _shown(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.4g}"


if __name__ == "__main__":
    raise SystemExit(main())
