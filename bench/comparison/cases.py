"""The cases: what they are called, what is done, and what is taken from how it went."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from . import runs
from .place import Account, Place
from .tools import Tool

__all__ = ["CASES", "Case"]


class Case(msgspec.Struct, frozen=True):
    """One case.

    Attributes:
        title: for people.
        about: what is done, in a sentence or two.
        run: one run of one tool.
        value: the key of what tools are ranked by, ``more_is_better`` or not.
        columns: further keys, each with its heading.
        also: those of them by which tools are ranked as well, less being better.
        repeats: as often as asked for at most; some cost much and scatter little.
        why: why something is ahead of sdg_stream; shown where that is so.
    """

    title: str
    about: str
    run: Callable[[Place, Tool, runs.Sizes], Account]
    value: str
    heading: str
    more_is_better: bool
    columns: dict[str, str]
    repeats: int = 99
    also: tuple[str, ...] = ()
    why: str = ""


BOUND = "makespan / bound"
WORK = {"cpu_ms": "CPU ms a call", "rows": "rows", "asked": "of"}
ONLY_POSTS = "a bare loop only posts: no rendering, parsing, journal, cache or progress"
WHOLE_RUN = (
    "our time includes opening the run, the preflight's questions (a call to the model before the first one) "
    "and making everything durable at the end; from the first call of the work to the last reply see the "
    "column beside it"
)
ONLY_CLIENT = "it holds an HTTP client and a list of prompts, no SQLite, templates or progress"
BESIDE_BOUND = {"server_over_bound": "first call of the work to last reply / bound", **WORK}
CASES = {
    "zero": Case(
        "Client ceiling at zero latency",
        "A server that answers at once; prompts of 2 kB, one call a row, rows written to a file. "
        "instructlab-sdg packs 256 prompts into one HTTP call; all others make a call for each prompt.",
        runs.zero,
        "calls_per_s",
        "calls/s",
        True,
        WORK,
        also=("cpu_ms",),
        why=ONLY_POSTS,
    ),
    "saturation": Case(
        "Saturation: 64 slots, long-tailed replies",
        "One call a row; service times lognormal, mean 200 ms, sigma 0.8. The makespan is the tool's own, "
        "from when it has been imported until its rows are in the file.",
        runs.saturation,
        "over_bound",
        BOUND,
        False,
        BESIDE_BOUND,
        why=WHOLE_RUN,
    ),
    "chain": Case(
        "Four stages with fan-out and filters",
        "Ten questions from a seed in one reply, each judged, answered, judged; the same server.",
        runs.chain,
        "over_bound",
        BOUND,
        False,
        BESIDE_BOUND,
        repeats=2,
        why=WHOLE_RUN,
    ),
    "inflight": Case(
        "512 in flight",
        "512 slots, 200 ms a reply: 2,560 calls a second at best.",
        runs.inflight,
        "share",
        "share of 2,560 calls/s",
        True,
        {"calls_per_s": "calls/s", "most_in_flight": "most in slots", **WORK},
        why=ONLY_POSTS,
    ),
    "memory": Case(
        "Peak memory",
        "One call a row at zero latency; the process and its children, shared pages once.",
        runs.memory,
        "mb_1000",
        "MB at 1,000 rows",
        False,
        {"mb_10000": "at 10,000", "mb_100000": "at 100,000"},
        repeats=1,
        also=("mb_10000", "mb_100000"),
        why=ONLY_CLIENT,
    ),
    "startup": Case(
        "Start-up",
        "Each in a fresh process: the import, the help of the command line, and a whole job of two rows on a "
        "server that answers at once.",
        runs.startup,
        "first_row_s",
        "two rows, s",
        False,
        {"import_s": "import, s", "help_s": "--help, s"},
        also=("import_s", "help_s"),
        why=ONLY_CLIENT,
    ),
    "crash": Case(
        "Killed half-way and run again",
        "kill -9 when half of the calls are answered; then the same job again in the same folder, as a tool "
        "goes on with one. What was under way had no answer yet, and is asked again by every tool: the more, "
        "the busier it kept the server.",
        runs.crash,
        "answers_lost",
        "answered calls made again",
        False,
        {
            "repeated": "calls made again",
            "under_way": "under way at the kill",
            "rows": "rows in the end",
            "asked": "of",
        },
        repeats=2,
    ),
    "poison": Case(
        "A poison record",
        f"{runs.POISONED_ROWS} rows, one of which the server always answers with a 400.",
        runs.poison,
        "rows",
        f"rows of {runs.POISONED_ROWS}",
        True,
        {"times_asked": "times asked", "exit": "exit code", "seconds": "seconds", "said": "what is said"},
        repeats=1,
    ),
    "refusals": Case(
        "10 % of the attempts get a 429",
        "Without Retry-After, drawn by prompt and attempt, on the server of the saturation case.",
        runs.refusals,
        "over_bound",
        BOUND,
        False,
        {"lost": "rows lost", "seconds": "seconds"},
        repeats=2,
    ),
}
