"""The budgets of the design: how much is allowed, by which command it is measured, and how that is read."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

__all__ = ["BUDGETS", "Budget", "Found", "Lines"]

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
    in the lines of ``command``, or of ``quick`` where that is wanted: fewer or smaller runs, as long as they
    measure the same. ``why`` is shown where it does not hold: the reason, and what was tried.
    """

    what: str
    limit: float
    unit: str
    command: str
    quick: str
    read: Callable[[Lines], Found]
    least: bool = False
    aim: float | None = None
    why: str = ""

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
        ours = [line for line in lines if line["case"] == case and "peak_mb" in line]
        least = min(line["input_rows"] for line in ours)
        peaks = [line["peak_mb"] for line in ours if line["input_rows"] == least]
        return Found(statistics.median(peaks), min(peaks), max(peaks))

    return read


def growth(case: str) -> Callable[[Lines], Found]:
    """Peak memory of the largest input over that of the smallest."""

    def read(lines: Lines) -> Found:
        ours = [line for line in lines if line["case"] == case]
        [value] = (line["largest_over_smallest"] for line in ours if "largest_over_smallest" in line)
        most, peak_mb = max((line["input_rows"], line["peak_mb"]) for line in ours if "peak_mb" in line)
        return Found(value, value, value, f"{peak_mb} MB at {most:,}")

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


def kept_busy(lines: Lines) -> Found:
    """Share of the slots that all leaf nodes together take, and one at a time beside it."""
    value = _line(lines, how="together")["busy"]
    beside = ""
    for line in lines:
        if "by_leaf_over_together" in line:
            alone = _line(lines, how="by_leaf")["busy"]
            ratio = line["by_leaf_over_together"]
            beside = f"leaf by leaf: {alone:.2f}, and {ratio:.1f} times as long"
    return Found(value, value, value, beside)


def _line(lines: Lines, **wanted: str) -> dict[str, Any]:
    for line in lines:
        if all(line.get(key) == value for key, value in wanted.items()):
            return line
    raise RuntimeError(f"the benchmark broke off: it printed no line with {wanted}")


ONE_STAGE = ("saturation.py --case one_stage --repeat 3", "saturation.py --case one_stage --calls 1600")
CHAIN = (
    "saturation.py --case chain --order input none --repeat 7",
    "saturation.py --case chain --order input none --seeds 60",
)
CALLS = "transport.py --server canned --case bare whole_aiohttp whole_lean"
WHOLE = (f"{CALLS} --calls 12000 --repeat 7", f"{CALLS} --calls 12000 --repeat 3")
WALL = ("durability.py --only wall --pairs 5", "durability.py --only wall --pairs 2")
CPU = ("durability.py --only cpu --pairs 5", "durability.py --only cpu --pairs 3")
MEMORY = ("memory.py", "memory.py --rows 1000 100000 --calls 1000 10000")
START = ("startup.py 20", "startup.py 5")
FUSION = ("hot_path.py --only row_fusion --repeat 41", "hot_path.py --only row_fusion --repeat 21")
GENERATE = ("generate.py", "generate.py --only together")
AGAINST_BARE = "whole run at zero latency, calls/s over those of a bare aiohttp loop, {} transport"
CPU_A_CALL = "whole run at zero latency, CPU a call, {} transport"
OF_AIOHTTP = (
    "aiohttp alone costs 0.09 to 0.13 ms a call here, of which a lean HTTP/1.1 client needs 0.02 to 0.05; "
    "this transport is taken only where a proxy or streamed replies are asked for, since http and https go "
    "over the lean one; tried: one timeout object kept per deadline, no connector limit, no cookie jar, "
    "bodies as bytes: what is left is aiohttp's own request and response objects (profile: client.py "
    "`_request`, client_reqrep.py)"
)
OF_MEMORY = (
    "1,000 rows are done before buffers, page cache and the allocator's arenas of the threads that write "
    "have been filled once; from 100,000 on it stays the same, well below what 1,000 may take; tried: half "
    "as many bytes held between two commits (3 MB less; done where no call is made, else it costs 0.02 ms "
    "of CPU a call), a page cache of 512 KiB (0.7 MB less), a thread of its own for the journal (nothing), "
    "one arena (MALLOC_ARENA_MAX=1: 3 MB less, for who wants it)"
)
OF_CALLS = (
    "buffers that are filled once, as with the rows; and where the disk keeps a commit waiting for a third "
    "of a second and more, the roots that go on meanwhile: up to 64 a slot, about 4 kB each here, so that "
    "the teacher is kept busy. Both are bounded, and below what 1,000 calls may take"
)
OF_JOURNAL = (
    "single pairs of runs scatter by more than the budget where other programs share the machine; medians of "
    "0.036 to 0.051 ms were seen on the same code the same day; tried: larger batches (half as many commits "
    "cost 0.02 ms less, and 2 MB more), pages of 8 and 16 KiB (no less), no spilling of the page cache (a "
    "quarter less, at three times the memory)"
)
OF_BLOCKS = (
    "the five blocks' own work is 2.5 us of 4.4 us a record on this machine, whose speed varies by 10 % from "
    "minute to minute (shared host); tried: following one record without lists (took 8 % off), a filter that "
    "leaves values of the wanted type alone"
)

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
        aim=0.8, why=OF_AIOHTTP),
    "cpu_lean": Budget(CPU_A_CALL.format("lean"),
        0.25, "ms", *WHOLE, cpu("whole_lean"), aim=0.12),
    "cpu_aiohttp": Budget(f"{CPU_A_CALL.format('aiohttp')} (proxies, streamed replies)",
        0.25, "ms", *WHOLE, cpu("whole_aiohttp"), aim=0.12, why=OF_AIOHTTP),
    "journal_wall": Budget("journal and cache at 64 slots and 200 ms: wall time over that without",
        1.01, "", *WALL, wall),
    "journal_cpu": Budget("journal and cache at zero latency: CPU a call more",
        0.06, "ms", *CPU, of_case("cpu", "cpu_ms_a_call_more", "cpu_ms_a_call_more_spread"),
        why=OF_JOURNAL),
    "memory_rows": Budget("peak memory at 1,000 rows through five row blocks",
        80, "MB", *MEMORY, peak("rows")),
    "memory_calls": Budget("peak memory at 1,000 calls", 80, "MB", *MEMORY, peak("calls")),
    "growth_rows": Budget("peak memory at very many rows over that at 1,000",
        1.2, "", *MEMORY, growth("rows"), why=OF_MEMORY),
    "growth_calls": Budget("peak memory at very many calls over that at 1,000",
        1.2, "", *MEMORY, growth("calls"), why=OF_CALLS),
    "import": Budget("import sdg_stream", 0.1, "s", *START, started("import")),
    "help": Budget("python -m sdg_stream --help", 0.2, "s", *START, started("help")),
    "first_row": Budget("first row of run on a fast teacher", 1.0, "s", *START, started("first_row")),
    "row_blocks": Budget("five row blocks fused",
        200_000, "records/s a core", *FUSION, of_case("row_fusion", "per_s", "spread_per_s"), least=True,
        why=OF_BLOCKS),
    "generate_busy": Budget(
        "teacher busy until the drain tail, generate of 20 leaf nodes, 64 slots",
        0.95, "", *GENERATE, kept_busy, least=True),
}  # fmt: skip
"""By name; in the order of the design's table."""
