"""The tables of ``RESULTS.md``: medians, spread, and each tool held against sdg_stream."""

from __future__ import annotations

import msgspec

from .cases import CASES, Case
from .records import Record, Records, Spread, spread_of, words_of
from .tools import TOOLS, Tool

__all__ = ["Facts", "render"]

OURS = "sdg_stream"
EVEN = 0.02  # medians that lie nearer than this share are called even
INTRODUCTION = """\
Every tool does the same work on the same simulated teacher, in an environment and a process of its own, at
the best settings that were found for it; they stand below each table, and the drivers in `bench/peers/` say
why. The tools take turns. Values are medians, with the lowest and the highest of the runs. *Bound* is the
best makespan of a client that does not know how long replies take: greedy list scheduling over the known
service times. *Beside ours* is how many times worse than sdg_stream's the tool's median is; below 1 it is
better. Bare clients are ceilings: they keep and resume nothing."""
WORDS = 160  # characters of what a tool says


class Facts(msgspec.Struct, kw_only=True):
    """What is true of a whole comparison."""

    machine: str
    command: str
    versions: dict[str, str]
    missing: dict[str, str] = {}
    sizes: dict[str, object] = {}


def render(records: Records, facts: Facts) -> str:
    """The comparison's part of ``RESULTS.md``."""
    kept = [record for name in CASES for record in records.of(name).values()]
    parts = [_head(facts, kept)]
    parts += [_case(name, case, records, facts) for name, case in CASES.items() if records.of(name)]
    return "\n\n".join(parts)


def _head(facts: Facts, kept: list[Record]) -> str:
    seconds = sum(record.seconds for record in kept)
    days = sorted({record.date[:10] for record in kept})
    dates = " to ".join(dict.fromkeys([*days[:1], *days[-1:]]))
    versions = ", ".join(f"{name} {version}" for name, version in facts.versions.items())
    made = f"Made by `{facts.command}`; the runs took {seconds / 60:.0f} minutes."
    lines = [
        "## Comparison with other tools",
        f"{dates}, {facts.machine}. {made}",
        f"Versions: {versions}.",
        INTRODUCTION,
    ]
    lines += [f"Not installed: {name}: {reason}" for name, reason in facts.missing.items()]
    return "\n\n".join(lines)


def _case(name: str, case: Case, records: Records, facts: Facts) -> str:
    rows, settings = [], []
    ours = spread_of(records.of_tool(name, OURS), case.value)
    for tool in TOOLS.values():
        found = records.of_tool(name, tool.name)
        if tool.name in facts.missing or not (found or name in tool.unable):
            continue
        rows.append(_row(name, case, tool, found, ours))
        if found:
            settings.append(f"{tool.name}: {_settings(name, tool)}")
    headings = ["tool", case.heading, "spread", "beside ours", *case.columns.values()]
    table = ["| " + " | ".join(headings) + " |", "|---" * len(headings) + "|", *rows]
    verdict = _verdict(name, case, records)
    return "\n\n".join(
        [f"### {case.title}", case.about, "\n".join(table), verdict, f"Settings: {'; '.join(settings)}."]
    )


def _row(name: str, case: Case, tool: Tool, found: list[Record], ours: Spread | None) -> str:
    label = _label(tool)
    value = spread_of(found, case.value)
    others = [_cell(found, key) for key in case.columns]
    if value is None:
        reason = _short(words_of(found, case.value) or tool.unable.get(name, "no result"))
        return f"| {label} | - {reason} | | | " + " | ".join(others) + " |"
    spread = (
        f"{_number(value.low)} to {_number(value.high)} ({value.count})" if value.count > 1 else "one run"
    )
    beside = _ratio(value, ours, case)
    return f"| {label} | {_number(value.median)} | {spread} | {beside} | " + " | ".join(others) + " |"


def _cell(found: list[Record], key: str) -> str:
    value = spread_of(found, key)
    return (
        _short(words_of([r for r in found if not r.reason], key)) if value is None else _number(value.median)
    )


def _ratio(value: Spread, ours: Spread | None, case: Case) -> str:
    """How many times worse than ours; above 1 is worse, whichever direction is better."""
    found = times_worse(value.median, ours.median, more_is_better=case.more_is_better) if ours else None
    return "" if found is None else f"{found:.2f}"


def times_worse(value: float, ours: float, *, more_is_better: bool) -> float | None:
    """How many times worse than ours a value is; below 1 it is better; None where nothing can be divided."""
    above, below = (ours, value) if more_is_better else (value, ours)
    return above / below if below > 0 else None


def _verdict(name: str, case: Case, records: Records) -> str:
    """Whether we lead the tools, and if not, who does and by how much; which ceilings are above us; why."""
    keys = {case.value: case.heading, **{key: case.columns[key] for key in case.also}}
    behind: list[str] = []
    above: list[str] = []
    for key, heading in keys.items():
        more = case.more_is_better and key == case.value
        found = {tool: spread_of(records.of_tool(name, tool), key) for tool in TOOLS}
        values = {tool: value.median for tool, value in found.items() if value is not None}
        for tool in ahead(values, more_is_better=more) if OURS in values else []:
            told = f"{tool} {_number(values[tool])} against {_number(values[OURS])} ({heading})"
            (above if TOOLS[tool].client else behind).append(told)
    words = ["sdg_stream leads the tools, or is even with the best."]
    if behind:
        words = [f"**sdg_stream does not lead everywhere here.** Better: {'; '.join(behind)}."]
    if above:
        words.append(f"Ceilings above it: {'; '.join(above)}.")
    if case.why and (behind or above):
        words.append(f"Why: {case.why}.")
    return " ".join(words)


def ahead(values: dict[str, float], *, more_is_better: bool) -> list[str]:
    """The tools whose median is better than ours by more than what counts as even."""
    found = []
    for tool, value in values.items():
        above, below = (value, values[OURS]) if more_is_better else (values[OURS], value)
        if above > below * (1 + EVEN):
            found.append(tool)
    return found


def _label(tool: Tool) -> str:
    return f"{tool.name} (bare client)" if tool.client else tool.name


def _settings(name: str, tool: Tool) -> str:
    setting = tool.setting(name)
    options = [f"{key} {value}" for key, value in setting.options.items()]
    return ", ".join([f"{setting.concurrency} in flight", *options])


def _number(value: float) -> str:
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _short(text: str) -> str:
    one = " ".join(text.split()).replace("|", "/")
    return one if len(one) <= WORDS else f"{one[:WORDS]}..."
