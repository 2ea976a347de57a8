"""The runs: one of one tool in each case, and the flat account of how it went.

``Cannot`` says in words why there is none.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec
from canned import REPLY

from sdg_stream.simulator.settings import Fault, FaultRule, SimulatorSettings

from .place import Account, Cannot, Done, Place
from .tools import Tool
from .work import ASK, Expected, ask_rows, chain_rows, chain_stages, expected

__all__ = ["POISONED_ROWS", "Sizes"]

SLOTS, SECONDS, SIGMA = 64, 0.2, 0.8
MANY_SLOTS = 512
POISON = 999_983
POISONED_ROWS = 100
FEW = 2  # rows: the closing statistics of a tool cannot do with one


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How large the cases are.

    Attributes:
        repeats: of each case, the tools taking turns.
        zero, zero_slow: calls of tools that make more than a thousand a second, and of others.
        ask: calls at 64 slots.
        seeds: of the chain.
        many, many_slow: calls with 512 in flight.
        memory: rows of each size.
        crash: calls of the run that is killed half-way.
        refusals: calls of which one in ten is refused at first.
        limit: seconds that any one run may take.
    """

    repeats: int
    zero: int
    zero_slow: int
    ask: int
    seeds: int
    many: int
    many_slow: int
    memory: tuple[int, ...]
    crash: int
    refusals: int
    limit: float


SLOTTED = SimulatorSettings(
    latency="lognormal", latency_seconds=SECONDS, latency_sigma=SIGMA, slots=SLOTS, reply=REPLY
)
CHAIN = msgspec.structs.replace(SLOTTED, reply=None)


@cache
def _expected(kind: str, count: int) -> Expected:
    if kind == "chain":
        return expected(chain_stages(), chain_rows(count), CHAIN)
    return expected(ASK, ask_rows(count), SLOTTED)


def zero(place: Place, tool: Tool, sizes: Sizes) -> Account:
    """As many calls a second as it can make."""
    count = sizes.zero if "zero" in tool.fast else sizes.zero_slow
    with place.canned() as url:
        done = place.job(tool, "zero", url, ASK, ask_rows(count), sizes.limit)
    return {
        "calls_per_s": done.rows / done.seconds,
        "cpu_ms": 1000 * done.cpu / max(1, done.rows),
        "rows": done.rows,
        "asked": count,
    }


def saturation(place: Place, tool: Tool, sizes: Sizes) -> Account:
    """One stage, long-tailed replies."""
    known = _expected("ask", sizes.ask)
    with place.teacher(SLOTTED) as teacher:
        done = place.job(tool, "saturation", teacher.url, ASK, ask_rows(sizes.ask), sizes.limit)
        return _beside_bound(done, known, teacher.stats())


def chain(place: Place, tool: Tool, sizes: Sizes) -> Account:
    """Four stages with fan-out and filters."""
    known, rows = _expected("chain", sizes.seeds), chain_rows(sizes.seeds)
    with place.teacher(CHAIN) as teacher:
        done = place.job(tool, "chain", teacher.url, chain_stages(), rows, sizes.limit)
        return _beside_bound(done, known, teacher.stats())


def _beside_bound(done: Done, known: Expected, stats: dict[str, Any]) -> Account:
    """The makespan as the driver counted it, and as the server did."""
    return {
        "over_bound": done.seconds / known.bound,
        "server_over_bound": (stats["last_at"] - stats["first_at"]) / known.bound,
        "cpu_ms": 1000 * done.cpu / known.calls,
        "rows": done.rows,
        "asked": known.rows,
    }


def inflight(place: Place, tool: Tool, sizes: Sizes) -> Account:
    """As many in flight as a large server takes."""
    count = sizes.many if "inflight" in tool.fast else sizes.many_slow
    settings = SimulatorSettings(latency="fixed", latency_seconds=SECONDS, slots=MANY_SLOTS, reply=REPLY)
    with place.teacher(settings) as teacher:
        done = place.job(tool, "inflight", teacher.url, ASK, ask_rows(count), sizes.limit)
        stats = teacher.stats()
    return {
        "share": done.rows / done.seconds / (MANY_SLOTS / SECONDS),
        "calls_per_s": done.rows / done.seconds,
        "most_in_flight": stats["max_running"],
        "cpu_ms": 1000 * done.cpu / max(1, done.rows),
        "rows": done.rows,
        "asked": count,
    }


def memory(place: Place, tool: Tool, sizes: Sizes) -> Account:
    """Peak memory at several sizes; a size that would take too long, judging by the last, is not tried."""
    found: Account = {}
    for count, before in zip(sizes.memory, (0, *sizes.memory), strict=False):
        seconds = found.get(f"seconds_{before}", 0.0)
        assert isinstance(seconds, float)
        foreseen = seconds * count / max(1, before)
        if foreseen > sizes.limit:
            found[f"mb_{count}"] = f"not tried: about {foreseen:.0f} s at its speed"
            continue
        with place.canned() as url:
            try:
                done = place.job(tool, "memory", url, ASK, ask_rows(count), sizes.limit, weigh=True)
            except Cannot as error:
                found[f"mb_{count}"] = str(error)
                continue
        found[f"mb_{count}"] = done.peak_mb
        found[f"seconds_{count}"] = done.seconds
    return found


def startup(place: Place, tool: Tool, sizes: Sizes) -> Account:
    """Import, help, and two rows of a teacher that answers at once; each in a fresh process."""
    found: Account = {"import_s": place.command(tool, ("-c", tool.imports), sizes.limit)}
    if tool.help is None:
        found["help_s"] = "no command line for generation"
    else:
        found["help_s"] = place.command(tool, tool.help, sizes.limit)
    with place.canned() as url:
        found["first_row_s"] = place.job(tool, "startup", url, ASK, ask_rows(FEW), sizes.limit).wall
    return found


def crash(place: Place, tool: Tool, sizes: Sizes) -> Account:
    """Killed with ``kill -9`` half-way, and run again."""
    count = sizes.crash
    with place.teacher(SLOTTED) as teacher:

        def half_way() -> bool:
            return bool(teacher.stats()["sequences"] >= count // 2)

        place.job(tool, "crash", teacher.url, ASK, ask_rows(count), sizes.limit, kill_when=half_way)
        killed = teacher.settled()
        try:
            done = place.job(tool, "crash", teacher.url, ASK, ask_rows(count), sizes.limit, again=True)
        except Cannot as error:
            raise Cannot(f"when run again, it {error}") from error
        stats = teacher.stats()
    return {
        "answers_lost": max(0, stats["repeated_prompts"] - killed["aborted"]),
        "repeated": stats["repeated_prompts"],
        "under_way": killed["aborted"],
        "seconds": done.wall,
        "rows": done.rows,
        "asked": count,
    }


def poison(place: Place, tool: Tool, sizes: Sizes) -> Account:
    """One record whose request is always refused."""
    settings = msgspec.structs.replace(SLOTTED, poison=f" {POISON}.")
    rows = [*ask_rows(POISONED_ROWS)]
    rows[POISONED_ROWS // 3]["number"] = POISON
    with place.teacher(settings) as teacher:
        done = place.job(tool, "poison", teacher.url, ASK, rows, sizes.limit, may_fail=True)
        stats = teacher.stats()
    return {
        "rows": done.rows,
        "times_asked": stats["statuses"].get("400", 0),
        "exit": "ran out of time" if done.code is None else done.code,
        "seconds": done.seconds,
        "said": done.said,
    }


def refusals(place: Place, tool: Tool, sizes: Sizes) -> Account:
    """One attempt in ten gets a 429 without Retry-After."""
    known = _expected("ask", sizes.refusals)
    rule = FaultRule(match="You are a judge", rate=0.1, fault=Fault(status=429))
    with place.teacher(msgspec.structs.replace(SLOTTED, faults=(rule,))) as teacher:
        rows = ask_rows(sizes.refusals)
        done = place.job(tool, "refusals", teacher.url, ASK, rows, sizes.limit, may_fail=True)
    if done.code is None:
        raise Cannot(f"did not end within {sizes.limit:.0f} s")
    return {
        "over_bound": done.seconds / known.bound if done.rows == known.rows else f"lost rows: {done.said}",
        "lost": known.rows - done.rows,
        "seconds": done.seconds,
    }
